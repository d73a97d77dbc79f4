"""`smartdiet refresh postgres` as an operator meets it, and the job in Dagster: through a real SSH server."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smartdiet_assets.assets.refresh import REFRESH_POSTGRES_JOB
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import PostgresPair, assert_same
from smartdiet_assets_tests.support import running
from smartdiet_assets_tests.support.remote import build_access, set_ssh_variables
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer

CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"
ROWS = "SELECT (SELECT min(id) FROM parents), (SELECT count(*) FROM children)"
OLD, NEW = [(101, 20)], [(1, 400)]


@pytest.fixture
def served(
    postgres_pair: PostgresPair, ssh_server: InProcessSshServer, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> PostgresPair:
    """Two databases, filled, and the variables that say so: the source here, the target behind an SSH server."""
    for run, first, count in ((postgres_pair.source, 1, 400), (postgres_pair.target, 101, 20)):
        run(
            "CREATE TABLE parents (id int PRIMARY KEY, name text)",
            "CREATE TABLE children (id serial PRIMARY KEY, parent int REFERENCES parents)",
            f"INSERT INTO parents SELECT g, 'p' || g FROM generate_series({first}, {first} + 9) g",
            f"INSERT INTO children (parent) SELECT {first} + g % 10 FROM generate_series(1, {count}) g",
        )
    server = postgres_pair.server
    for prefix, database in (("", postgres_pair.source_name), ("REMOTE_", postgres_pair.target_name)):
        monkeypatch.setenv(f"{prefix}POSTGRES_HOST", server.host)
        monkeypatch.setenv(f"{prefix}POSTGRES_PORT", str(server.port))
        monkeypatch.setenv(f"{prefix}POSTGRES_USER", server.user)
        monkeypatch.setenv(f"{prefix}POSTGRES_PASSWORD", server.password)
        monkeypatch.setenv(f"{prefix}POSTGRES_DATABASE", database)
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    monkeypatch.setenv("DAGSTER_HOME", str(own_environment))
    return postgres_pair


def refresh(*arguments: str) -> running.Result:
    return running.smartdiet("refresh", "postgres", *arguments)


def test_the_local_database_is_copied_into_the_remote_one_whose_name_must_be_typed(served: PostgresPair) -> None:
    refused = refresh()
    assert refused.returncode == 2
    assert f"type --target-name {served.target_name}" in " ".join(refused.stderr.split())
    assert refused.stdout.startswith(f"Target: database {served.target_name} of PostgreSQL at ")
    assert served.target(ROWS) == OLD
    done = refresh("--target-name", served.target_name)
    assert done.returncode == 0, done.stderr
    assert "public.children: 400 copied" in done.stderr
    assert_same(served)


def test_the_other_direction_and_json(served: PostgresPair) -> None:
    dry = refresh("--to", "local", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "Dry run: nothing was written." in dry.stdout
    assert served.source(ROWS) == NEW
    result = refresh("--to", "local", "--json")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["tables"]["public.children"]["rows"] == 20
    assert printed["consistent"] is True
    assert served.source(ROWS) == OLD


def test_the_variables_of_the_replaced_tool_hold_and_options_come_before_them(
    served: PostgresPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.source("CREATE SCHEMA app", "CREATE TABLE app.logs (id int)", "INSERT INTO app.logs VALUES (1)")
    for name, value in {
        "POSTGRES_DATA_SAMPLE_PERCENT": "50",
        "POSTGRES_INCLUDE_SCHEMAS": "public, app",
        "POSTGRES_EXCLUDE_SCHEMAS": "nothing*,ap*",
        "POSTGRES_INCLUDE_TABLES": "parents,children,logs",
        "POSTGRES_EXCLUDE_TABLES": "app.logs",
        "POSTGRES_EXCLUDE_DATA_TABLES": "children",
        "MAX_DUMP_SIZE_MB": "100",
        "REMOTE_POSTGRES_PATH": "/home/old",
    }.items():
        monkeypatch.setenv(name, value)
    misspelled = refresh("--dry-run")
    assert misspelled.returncode == 2
    assert "neither database has a schema nothing*" in " ".join(misspelled.stderr.split())
    monkeypatch.setenv("POSTGRES_EXCLUDE_SCHEMAS", "ap*")
    done = refresh("--target-name", served.target_name)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "MAX_DUMP_SIZE_MB and REMOTE_POSTGRES_PATH of the replaced tool: no effect" in shown
    assert "A sample: 50%" in shown
    parents, children = served.target("SELECT (SELECT count(*) FROM parents), (SELECT count(*) FROM children)")[0]
    assert 0 < parents < 10
    assert children == 0
    assert served.target("SELECT to_regclass('app.logs')") == [(None,)]
    options = ("--sample", "100", "--exclude-data", "logs", "--exclude-schema", "pg_toast", "--exclude", "xyz")
    assert refresh("--dry-run", *options).returncode == 2
    done = refresh("--target-name", served.target_name, "--sample", "100", "--exclude-data", "app.logs")
    assert done.returncode == 0, done.stderr
    assert served.target(ROWS) == NEW


def test_the_job_refreshes_and_says_what_it_did(served: PostgresPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTDIET_REFRESH_JOBS", "true")
    job = build_definitions(load_schema(CONFIG), read_environment()).resolve_job_def(REFRESH_POSTGRES_JOB)

    def run(**config: Any) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(run_config={"ops": {"copy_postgres": {"config": config}}}, raise_on_error=False)

    assert not run(target_name=served.source_name).success
    assert served.target(ROWS) == OLD
    result = run(target_name=served.target_name, exclude_data=["children"], remove_extra=True)
    assert result.success
    outputs = [event.step_output_data.metadata for event in result.all_events if event.is_successful_output]
    assert outputs[-1]["rows"].value == 10
    assert served.target("SELECT (SELECT min(id) FROM parents), (SELECT count(*) FROM children)") == [(1, 0)]
