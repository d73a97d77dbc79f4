"""What a failure leaves behind, what a user is told of it, and what Dagster tries again."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from pydantic import BaseModel

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.analytics import write_analytics
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.errors import TransientError
from smartdiet_assets.mirror.failures import describe_error, translate_error
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.matomo_mirror import ACTION, CONFIG, VIEW, VISIT, Matomo
from smartdiet_assets_tests.support.partitions import with_few_partitions

SECRET = "hunter2-s3cret"


def tell(matomo: Matomo, *, retried: bool = False, **changes: Any) -> str:
    """Mirror the visits with other settings; what a user is told, and whether Dagster tries again."""
    matomo.resource = matomo.resource.model_copy(update=changes)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is shows in what is told
        matomo.run(VISIT)
    table = matomo.schema.tables[VISIT]
    error = translate_error(caught.value, table)
    assert isinstance(error, TransientError) == retried
    text = describe_error(error, table)
    assert "\n" not in text
    assert SECRET not in text
    # The check says the same in one sentence too.
    assert not matomo.resource.check().ok
    return text


def test_no_server(matomo: Matomo) -> None:
    told = tell(matomo, retried=True, port=1)
    assert told.endswith(":1 failed: no server answers; check it, MATOMO_HOST and MATOMO_PORT (error 2003)")


def test_a_wrong_password(matomo: Matomo) -> None:
    told = tell(matomo, password=SECRET)
    assert "the server refuses the user or the password; check MATOMO_USER and MATOMO_PASSWORD" in told


def test_no_such_database(matomo: Matomo) -> None:
    assert "the server has no such database; check MATOMO_DATABASE" in tell(matomo, database="nowhere")


def test_a_missing_table(matomo: Matomo) -> None:
    matomo.execute(f"DROP TABLE {VISIT}")
    assert tell(matomo) == (
        "matomo_log_visit: reading Matomo's table matomo_log_visit failed: there is no such table; "
        "check MATOMO_DATABASE and MATOMO_TABLE_PREFIX (error 1146)"
    )


def test_a_missing_privilege(matomo: Matomo, matomo_database: str) -> None:
    user = f"'u_{matomo_database}'@'127.0.0.1'"
    matomo.execute(f"CREATE USER {user} IDENTIFIED BY '{SECRET}'")
    login = {"user": f"u_{matomo_database}", "password": SECRET}
    try:
        assert "the user may not use this database, or there is none of that name" in tell(matomo, **login)
        matomo.execute(f"GRANT SELECT ON {matomo_database}.{ACTION} TO {user}")
        assert "the user has no right to read it; GRANT SELECT on the database's tables" in tell(matomo, **login)
        for table in (VISIT, VIEW):
            matomo.execute(f"GRANT SELECT ON {matomo_database}.{table} TO {user}")
        # Reading is all it takes.
        assert matomo.resource.check().ok
        assert matomo.run()[VISIT].load.rows == 0
    finally:
        matomo.execute(f"DROP USER {user}")


def test_tls_settings_that_cannot_be_used(matomo: Matomo) -> None:
    assert "the MATOMO_SSL variables cannot be used as written" in tell(matomo, ssl_ca="/nowhere/ca.pem")


def test_a_server_without_tls_is_not_talked_to_when_tls_is_asked_for(matomo: Matomo, tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2",
         "-keyout", str(tmp_path / "ca.key"), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    assert "no encrypted connection could be made; check the MATOMO_SSL variables" in tell(
        matomo, ssl_ca=str(certificate)
    )


def test_killed_in_mid_batch_the_next_run_ends_as_if_nothing_had_happened(
    matomo: Matomo, postgres_database: str, postgres: psycopg.Connection
) -> None:
    write_analytics(matomo.source, seed=1, scale=0.001)
    matomo.run(ACTION)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "smartdiet_assets_tests.integration.matomo.killed_run",
            BaseModel.model_dump_json(matomo.resource, exclude={"access"}), postgres_database, "40",
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CONFIG.parents[1],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert "40 documents read" in process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()
    assert "80 documents read" in process.stdout.readline()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert postgres.execute("SELECT to_regclass('matomo_log_visit')").fetchone() == (None,)
    matomo.run()
    matomo.assert_mirrored()


@pytest.mark.usefixtures("configured_servers")
def test_a_connection_lost_in_mid_read_is_retried_by_dagster_and_completes(
    matomo: Matomo, mariadb_server: EmbeddedMariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_analytics(matomo.source, seed=1, scale=0.001)
    monkeypatch.setenv("RETRY_DELAY", "0.1")
    with FaultProxy(mariadb_server.port) as proxy:
        matomo.resource = matomo.resource.model_copy(update={"port": proxy.port})
        for name in ("host", "port", "database", "user", "password"):
            monkeypatch.setenv(f"MATOMO_{name.upper()}", str(getattr(matomo.resource, name)))
        fault = proxy.strike(Fault("reset", after=20_000))
        job = build_definitions(with_few_partitions(load_schema(CONFIG)), read_environment()).resolve_job_def("mirror")
        assert job.partitions_def is not None
        with dg.DagsterInstance.ephemeral() as instance:
            newest = job.partitions_def.get_last_partition_key()
            result = job.execute_in_process(instance=instance, partition_key=newest)
    assert fault.struck == 1
    retried = {event.step_key for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"}
    assert retried == {ACTION}
    matomo.assert_mirrored()
