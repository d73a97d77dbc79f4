"""What the doctor finds before any server: variables, the `.env`, schema files, Dagster's folder and storage."""

import re
from pathlib import Path

import psycopg
import pytest

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.doctor.run import DoctorReport, examine_all
from smartdiet_assets.resources.dagster_home import choose_dagster_home
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.integration.doctor.conftest import Examine
from smartdiet_assets_tests.support.checked import Checked

SECRET = "Marked-s3cret"
CONFIG = Path(__file__).parents[3] / "config"


def test_on_a_good_set_up_everything_passes(healthy: Checked) -> None:
    findings = list(examine_all())
    assert [finding for finding in findings if finding.status != "passed"] == []
    assert {finding.part for finding in findings} == {"settings", "schema", "dagster", "mongodb", "postgres"}
    assert DoctorReport(findings, 0).exit_code == 0


def test_it_changes_nothing(healthy: Checked, tmp_path: Path) -> None:
    before = healthy.mirrored.versions()
    list(examine_all())
    assert healthy.mirrored.versions() == before
    assert not (tmp_path / "dagster").exists()


def test_a_variable_that_cannot_be_used_is_named_and_the_other_servers_are_examined(
    faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", SECRET)
    monkeypatch.setenv("BATCH_SIZE", SECRET)
    found = faults()
    assert [(one.part, one.status, one.sentence) for one in found] == [
        ("settings", "failed", "POSTGRES_PORT must be a port, 1 to 65535."),
        ("settings", "failed", "BATCH_SIZE must be a whole number, 1 or more."),
        ("postgres", "not_examined", "Not examined: POSTGRES_PORT cannot be used."),
    ]


def test_the_variables_are_as_before_afterwards(healthy: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("POSTGRES_PORT", "none")
    before = dict(os.environ)
    list(examine_all())
    assert dict(os.environ) == before


def test_a_remote_place_without_its_ssh_server_is_not_taken_for_a_local_one(
    faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_SOURCE", "remote")
    assert [(one.part, one.status) for one in faults()] == [("settings", "failed"), ("mongodb", "not_examined")]


def test_an_env_file_that_cannot_be_read_ends_the_examination_with_2(healthy: Checked) -> None:
    Path(".env").write_bytes(b"\xff\xfe")
    findings = list(examine_all())
    assert [finding.status for finding in findings] == ["failed", "not_examined"]
    assert "must be a UTF-8 text file" in findings[0].sentence
    assert DoctorReport(findings, 0).exit_code == 2


def test_a_slip_of_the_pen_in_the_env_file_is_a_warning_without_its_value(faults: Examine) -> None:
    Path(".env").write_text(f"POSTGRES_PASSWROD={SECRET}\nDAGSTER_CLOUD_TOKEN={SECRET}\n")
    [found] = faults()
    assert (found.status, found.details) == ("warning", ("POSTGRES_PASSWROD: did you mean POSTGRES_PASSWORD?",))


def test_every_problem_of_a_schema_file_is_listed_and_the_servers_are_examined(faults: Examine) -> None:
    path = Path("compact.yaml")
    path.write_text(path.read_text().replace("VARCHAR(8)", "VARCHARR(8)", 1).replace("teams(id)", "teems(id)", 1))
    file, *rest = faults()
    assert (file.part, file.status) == ("schema", "failed")
    assert len(file.details) == 2
    assert "unknown type" in file.details[0]
    assert {(one.part, one.status, one.sentence) for one in rest} == {
        (part, "not_examined", "Not examined: the schema file cannot be used.") for part in ("mongodb", "postgres")
    }


def test_what_deserves_a_look_in_a_schema_file_is_a_warning(faults: Examine) -> None:
    path = Path("compact.yaml")
    path.write_text(path.read_text().replace("import_strategy: smart_diff", "import_strategy: array", 1))
    [found] = [one for one in faults() if one.part == "schema"]
    assert (found.status, len(found.details)) == ("warning", 1)
    assert "cannot see items that were removed" in found.details[0]


def test_a_schema_file_that_is_missing_is_a_finding(faults: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTDIET_SCHEMAS", "/nowhere/tables.yaml")
    assert "/nowhere/tables.yaml" in faults()[0].sentence


# --- Dagster


def test_a_home_that_is_a_file_or_cannot_be_read_is_a_finding(faults: Examine, tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.write_text("")
    found = faults()
    assert [(one.part, one.check, one.status) for one in found] == [
        ("dagster", "home", "failed"), ("dagster", "storage", "not_examined"),
    ]  # fmt: skip
    home.unlink()
    home.mkdir()
    (home / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: {SECRET}, port: {SECRET}}}}}")
    [found_in_file, _] = faults()
    assert "dagster instance info" in found_in_file.sentence
    assert SECRET not in found_in_file.sentence


def test_a_damaged_file_of_runs_is_a_finding(faults: Examine, tmp_path: Path) -> None:
    history = tmp_path / "dagster" / "history"
    history.mkdir(parents=True)
    (history / "runs.db").write_bytes(b"not a database" * 100)
    [found] = faults()
    assert (found.check, found.status) == ("storage", "failed")


def test_a_storage_in_postgresql_is_examined(
    healthy: Checked, postgres_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", postgres_database)
    [found] = [one for one in examine_all() if (one.part, one.check) == ("dagster", "storage")]
    assert found.status == "passed", found.sentence
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    [found] = [one for one in examine_all() if one.status == "failed"]
    assert "does not name the storage that reads it" in found.sentence


def test_a_file_that_names_modules_which_moved_is_found_and_gets_their_new_names(
    healthy: Checked, tmp_path: Path
) -> None:
    choose_dagster_home(CONFIG)
    settings = tmp_path / "dagster" / "dagster.yaml"
    now = settings.read_text()
    before = now.replace("assets.instance.storage", "operations.instance_storage")
    settings.write_text(before.replace("assets.instance.runs", "operations.instance_runs"))
    [found] = [one for one in examine_all() if one.status == "failed"]
    assert (found.part, found.check) == ("dagster", "home")
    assert "`smartdiet home`" in found.sentence
    choose_dagster_home(CONFIG)
    assert settings.read_text() == now


def test_a_settings_file_that_cannot_be_read_is_one_finding(healthy: Checked, tmp_path: Path) -> None:
    (tmp_path / "dagster" / "dagster.yaml").mkdir(parents=True)
    [found] = [one for one in examine_all() if one.status == "failed"]
    assert (found.part, found.check) == ("dagster", "home")
    assert "cannot be used" in found.sentence


def test_an_older_file_without_our_queue_is_a_warning(healthy: Checked, tmp_path: Path) -> None:
    choose_dagster_home(CONFIG)
    assert not [one for one in examine_all() if one.status != "passed"]
    settings = tmp_path / "dagster" / "dagster.yaml"
    settings.write_text(re.sub(r"(?m)^run_coordinator:\n(  .*\n)+", "", settings.read_text()))
    [found] = [one for one in examine_all() if one.status != "passed"]
    assert (found.part, found.check, found.status) == ("dagster", "queue", "warning")
    assert f"copy the block `run_coordinator:` of {CONFIG / 'dagster.yaml'}" in found.sentence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"port": 1}, "no server answers"),
        ({"password": SECRET}, "refuses the user or the password"),
        ({"dbname": "no_such_dagster"}, "no such database"),
    ],
)
def test_a_storage_that_cannot_be_used_is_a_finding_without_its_password(
    faults: Examine,
    postgres_resource: PostgresResource,
    change: dict[str, object],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = {
        "user": postgres_resource.user, "password": postgres_resource.password, "port": postgres_resource.port,
        "dbname": postgres_resource.database, **change,
    }  # fmt: skip
    if "port" in change:
        parts["port"] = find_free_port()
    url = f"postgresql://{parts['user']}:{parts['password']}@{postgres_resource.host}:{parts['port']}/{parts['dbname']}"
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", url)
    [found] = faults()
    assert (found.part, found.check, found.status) == ("dagster", "storage", "failed")
    assert reason in found.sentence
    assert "SMARTDIET_DAGSTER_POSTGRES_URL" in found.sentence
    assert str(parts["password"]) not in str(found)


def test_a_storage_whose_user_may_create_nothing_is_a_finding_with_the_statement(
    faults: Examine, postgres: psycopg.Connection, postgres_resource: PostgresResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"dagster_{postgres_resource.database}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    url = f"postgresql://{role}:{SECRET}@{postgres_resource.host}:{postgres_resource.port}/{postgres_resource.database}"
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", url)
    [found] = faults()
    postgres.execute(found.statements[0])
    assert faults() == []
    postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
