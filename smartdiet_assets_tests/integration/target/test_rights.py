"""Roles with the least they need."""

from collections.abc import Callable

from smartdiet_assets_tests.integration.target.conftest import Target


def test_a_role_without_the_right_to_create_schemas_works_in_one_made_for_it(
    target: Target, connect_as: Callable[[str], str]
) -> None:
    role = connect_as("clerk")
    refused = target.run("sync")
    assert refused.returncode == 2
    target.postgres.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {role}".encode())
    target.postgres.execute("CREATE SCHEMA smartdiet")
    target.postgres.execute(f"GRANT USAGE, CREATE ON SCHEMA smartdiet TO {role}".encode())
    target.use_all_commands()
