"""What others attached to the tables: a run that cannot do its work names it at once, and so does the doctor."""

import time
from collections.abc import Callable

import pytest

from smartdiet_assets_tests.integration.target.conftest import NOW, Target

SWALLOW = """
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER swallowing BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()
"""
CHANGE = """
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := ''x''; RETURN NEW; END';
CREATE TRIGGER changing BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION change()
"""
RULE = "CREATE RULE diverting AS ON INSERT TO {table} DO INSTEAD NOTHING"
#: More changed rows than this are an error of the statement, not of a row.
RAISE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''value %'', NEW; END';
CREATE TRIGGER refusing AFTER UPDATE OR DELETE ON {table} EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize(
    ("attach", "name"),
    [(SWALLOW, "swallowing"), (RULE, "diverting"), (CHANGE, "changing")],
    ids=["swallow", "rule", "change"],
)
def test_a_trigger_or_rule_that_swallows_or_changes_rows_is_named(target: Target, attach: str, name: str) -> None:
    target.expect("sync")
    target.postgres.execute(attach.format(table="parents").encode())
    target.mongo.parents.insert_many([{"name": "new", "creation_date": NOW, "update_date": NOW} for _ in range(2)])
    started = time.monotonic()
    result = target.run("sync", "parents")
    assert time.monotonic() - started < 15, "nothing that stays as it is is tried again"
    assert result.returncode == 1
    said = " ".join((result.stdout + result.stderr).split())
    assert name in said
    assert "another session" not in said
    found = " ".join(target.run("doctor").stdout.split())
    assert name in found
    kind = "RULE" if name == "diverting" else "TRIGGER"
    statement = f"ALTER TABLE public.parents DISABLE {kind} {name};"
    assert statement in found
    target.postgres.execute(statement.encode())
    target.expect("sync")
    assert target.count("parents") == 5


def test_a_trigger_that_raises_is_named_without_what_it_says(target: Target) -> None:
    target.expect("sync")
    target.postgres.execute(RAISE.format(table="parents").encode())
    target.edit()
    result = target.run("sync", "parents")
    said = " ".join((result.stdout + result.stderr).split())
    assert (result.returncode, "the trigger refusing" in said, "value" in said) == (1, True, False)


def test_row_security_is_named_and_found(target: Target, connect_as: Callable[[str], str]) -> None:
    role = connect_as("owner")
    target.postgres.execute(f"GRANT ALL ON SCHEMA public TO {role}".encode())
    target.postgres.execute(f"GRANT CREATE ON DATABASE {target.resource.database} TO {role}".encode())
    target.expect("sync")
    target.postgres.execute("ALTER TABLE kids ENABLE ROW LEVEL SECURITY; ALTER TABLE kids FORCE ROW LEVEL SECURITY")
    target.edit()
    result = target.run("sync")
    said = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 1
    assert "row security hides its rows" in said
    found = target.run("doctor")
    assert found.returncode == 1
    assert "ALTER TABLE public.kids NO FORCE ROW LEVEL SECURITY;" in found.stdout
    target.postgres.execute("ALTER TABLE public.kids NO FORCE ROW LEVEL SECURITY")
    target.expect("sync")
    target.expect("doctor")
    # With a policy that hides nothing, runs work.
    target.postgres.execute("ALTER TABLE kids FORCE ROW LEVEL SECURITY; CREATE POLICY everything ON kids USING (true)")
    target.expect("sync")
    assert "row security may hide rows" in target.expect("doctor")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_publication_of_all_tables_stops_no_deletion(target: Target, when: str) -> None:
    publish = f"CREATE PUBLICATION everything_{when} FOR ALL TABLES"
    if when == "before":
        target.postgres.execute(publish.encode())
    target.expect("sync")
    if when == "after":
        target.postgres.execute(publish.encode())
        target.edit()
        result = target.run("sync")
        said = " ".join((result.stdout + result.stderr).split())
        assert result.returncode == 1
        found = " ".join(target.run("doctor").stdout.split())
        statement = "ALTER TABLE public.tags REPLICA IDENTITY USING INDEX tags_kid_id_tag_key;"
        assert statement in said
        assert statement in found
        target.postgres.execute(statement.encode())
        target.expect("sync")
        target.expect("doctor")
    else:
        target.use_all_commands()
