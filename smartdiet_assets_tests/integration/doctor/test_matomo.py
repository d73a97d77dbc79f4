"""What the doctor finds on Matomo's server."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.doctor.run import examine_all
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets_tests.integration.matomo.conftest import matomo  # noqa: F401
from smartdiet_assets_tests.support.matomo_mirror import CONFIG, Matomo

SECRET = "Marked-s3cret"


@pytest.fixture
def configured(
    matomo: Matomo,  # noqa: F811
    configured_servers: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Matomo:
    """The project's tables of Matomo alone, mirrored; the schema file is `analytics.yaml`."""
    path = tmp_path / "analytics.yaml"
    path.write_text(CONFIG.read_text())
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    for field in ("host", "port", "database", "user", "password"):
        monkeypatch.setenv(f"MATOMO_{field.upper()}", str(getattr(matomo.resource, field)))
    matomo.run()
    return matomo


def faults() -> list[Finding]:
    return [one for one in examine_all() if one.status != "passed"]


def test_on_a_good_set_up_everything_passes(configured: Matomo) -> None:
    assert faults() == []
    found = list(examine_all())
    assert "mongodb" not in {one.part for one in found}, "no table is read from there"
    assert {one.check for one in found if one.part == "matomo"} == {"connection", "clock", "tables", "indexes"}


def test_a_column_that_is_missing_is_a_failure(configured: Matomo) -> None:
    configured.execute("ALTER TABLE matomo_log_visit DROP COLUMN custom_dimension_1, DROP COLUMN profilable")
    [found] = faults()
    assert (found.part, found.check, found.status) == ("matomo", "tables", "failed")
    assert "has no columns profilable, custom_dimension_1" in found.sentence or (
        "has no columns custom_dimension_1, profilable" in found.sentence
    )


def test_a_table_that_is_missing_is_a_failure_and_the_others_are_examined(configured: Matomo) -> None:
    configured.execute("DROP TABLE matomo_log_action")
    [found] = faults()
    assert "reading matomo_log_action" in found.sentence
    assert "MATOMO_TABLE_PREFIX" in found.sentence


def test_a_time_without_an_index_is_a_warning_and_its_statement_suffices(configured: Matomo) -> None:
    with configured.source.cursor() as cursor:
        cursor.execute("SHOW INDEX FROM matomo_log_visit WHERE Column_name = 'visit_last_action_time'")
        names = {str(row[2]) for row in cursor.fetchall()}
    for name in names:
        configured.execute(f"DROP INDEX `{name}` ON matomo_log_visit")
    [found] = faults()
    assert (found.check, found.status) == ("indexes", "warning")
    configured.execute(found.statements[0].rstrip(";"))
    assert faults() == []


def test_a_user_that_may_not_read_is_told_the_statement_and_it_suffices(
    configured: Matomo, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"reader_{configured.resource.database}"
    configured.execute(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{SECRET}'")
    configured.execute(f"GRANT INSERT ON `{configured.resource.database}`.* TO '{name}'@'%'")
    monkeypatch.setenv("MATOMO_USER", name)
    monkeypatch.setenv("MATOMO_PASSWORD", SECRET)
    [found] = faults()
    assert (found.check, found.status) == ("tables", "failed")
    assert "may not read matomo_log_action, matomo_log_visit, matomo_log_link_visit_action" in found.sentence
    configured.execute(found.statements[0].rstrip(";"))
    assert faults() == []
    assert SECRET not in str(found)
    configured.execute(f"DROP USER '{name}'@'%'")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"MATOMO_PASSWORD": SECRET}, "refuses the user or the password"),
        ({"MATOMO_DATABASE": "nowhere"}, "no such database"),
        ({"MATOMO_PORT": "free"}, "no server answers"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_complaint(
    configured: Matomo, variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(find_free_port()) if value == "free" else value)
    connection, rest = faults()
    assert (connection.part, connection.check, connection.status) == ("matomo", "connection", "failed")
    assert sentence in connection.sentence
    assert rest.status == "not_examined"
    assert SECRET not in str(connection)


def test_where_nothing_says_where_matomo_is_it_is_left_out(configured: Matomo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATOMO_HOST")
    monkeypatch.delenv("MATOMO_DATABASE")
    [found] = faults()
    assert (found.part, found.status) == ("matomo", "not_examined")
    assert "neither MATOMO_HOST nor MATOMO_DATABASE is set" in found.sentence
    configured.postgres.execute("DROP TABLE matomo_log_link_visit_action")
    assert faults() == [found], "its tables are not missed"


def test_tables_with_every_column_of_matomo_need_matomo_to_be_compared(
    configured: Matomo, postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "analytics.yaml"
    line = "    source_table: matomo_log_visit\n"
    path.write_text(CONFIG.read_text().replace(line, f"{line}    matomo_columns: all\n"))
    postgres.execute("DROP TABLE matomo_log_link_visit_action, matomo_log_visit, matomo_log_action CASCADE")
    configured.declare(path, path.read_text())
    configured.run()
    assert faults() == []
    monkeypatch.setenv("MATOMO_PORT", str(find_free_port()))
    found = faults()
    assert [(one.part, one.check, one.status) for one in found] == [
        ("matomo", "connection", "failed"),
        ("matomo", "the rest", "not_examined"),
        ("postgres", "tables", "not_examined"),
    ]
    assert "matomo_log_visit" in found[-1].sentence
