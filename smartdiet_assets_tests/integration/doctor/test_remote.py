"""What the doctor finds on the way to servers behind an SSH server."""

from collections.abc import Iterator

import dagster as dg
import pytest

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.doctor.run import examine_all
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.integration.doctor.conftest import Examine
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.remote import build_access, set_ssh_variables
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer

SECRET = "Marked-s3cret"


@pytest.fixture
def remote(
    healthy: Checked,
    ssh_server: InProcessSshServer,
    mongo_server: EmbeddedMongo,
    postgres_resource: PostgresResource,
    monkeypatch: pytest.MonkeyPatch,
) -> InProcessSshServer:
    """Both databases reached through SSH."""
    variables = {
        "TRANSFER_SOURCE": "remote",
        "TRANSFER_DESTINATION": "remote",
        "REMOTE_MONGODB_URL": mongo_server.uri,
        "REMOTE_MONGODB_DATABASE": healthy.source.name,
        **{
            f"REMOTE_POSTGRES_{field.upper()}": getattr(postgres_resource, field)
            for field in ("host", "port", "database", "user", "password")
        },
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    return ssh_server


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def spell(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.part, one.check, one.status) for one in found]


BEHIND = [("mongodb", "connection", "not_examined"), ("postgres", "connection", "not_examined")]


def test_on_a_good_way_everything_passes_over_one_login(remote: InProcessSshServer) -> None:
    found = list(examine_all())
    assert [one for one in found if one.status != "passed"] == []
    assert [one.check for one in found if one.part == "ssh"] == ["connection", "host key", "login"]
    assert remote.log.logins == 1
    [connection] = [one for one in found if (one.part, one.check) == ("postgres", "connection")]
    assert "through SSH server" in connection.sentence


def test_an_ssh_server_that_is_gone_is_one_complaint(
    remote: InProcessSshServer, faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_SERVER_PORT", str(find_free_port()))
    found = faults()
    assert spell(found) == [("ssh", "connection", "failed"), *BEHIND]
    assert "REMOTE_SERVER_URL" in found[0].sentence


def test_a_host_key_that_is_not_the_known_one_is_one_complaint(
    remote: InProcessSshServer, faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_SERVER_HOST_KEY", remote.keys.public("other_host"))
    assert spell(faults()) == [("ssh", "host key", "failed"), *BEHIND]


def test_a_login_that_is_refused_is_one_complaint_without_its_password(
    remote: InProcessSshServer, faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_SERVER_PASSWORD", SECRET)
    found = faults()
    assert spell(found) == [("ssh", "login", "failed"), *BEHIND]
    assert SECRET not in str(found)


def test_a_key_file_that_cannot_be_read_is_one_complaint(
    remote: InProcessSshServer, faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_SERVER_KEY_FILE", "/nowhere/key")
    assert spell(faults()) == [("ssh", "settings", "failed"), *BEHIND]


def test_a_port_that_is_not_forwarded_is_its_servers_complaint(
    remote: InProcessSshServer, faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_POSTGRES_PORT", str(find_free_port()))
    found = faults()
    assert spell(found) == [("postgres", "connection", "failed"), ("postgres", "the rest", "not_examined")]
    assert "as seen from the SSH server" in found[0].sentence
    monkeypatch.setattr(remote, "forwards", False)
    found = faults()
    assert {one.part for one in found if one.failed} == {"mongodb", "postgres"}
    assert all("does not allow connections" in one.sentence and not one.statements for one in found if one.failed)


def test_a_variable_of_the_ssh_server_that_cannot_be_used_leaves_out_what_is_behind_it(
    remote: InProcessSshServer, faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_SERVER_PORT", "none")
    monkeypatch.setenv("TRANSFER_DESTINATION", "local")
    assert spell(faults()) == [("settings", "variables", "failed"), BEHIND[0]]


def test_each_step_in_dagster_examines_its_way(
    remote: InProcessSshServer, healthy: Checked, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_SERVER_PASSWORD", SECRET)
    job = build_definitions(healthy.mirrored.schema, read_environment()).resolve_job_def("doctor")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert len(failures) == 2
    assert all(one is not None and (one.description or "").startswith("SSH login: ") for one in failures)
    assert SECRET not in str(result.all_events)
