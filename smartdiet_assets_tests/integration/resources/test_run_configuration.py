"""What a run configuration may do with the secrets of the environment: nothing but use them where they belong.

Whoever may start a run writes its configuration. Real runs, against a listener that asks for a password as servers do.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from smartdiet_assets.assets.doctor import DOCTOR_JOB
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.configured import (
    build_matomo_resource,
    build_mongo_resource,
    build_postgres_resource,
)

CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"

SECRETS = {
    "POSTGRES_PASSWORD": "s3cret-postgres",
    "REMOTE_POSTGRES_PASSWORD": "s3cret-remote-postgres",
    "MONGODB_URL": "mongodb://reader:s3cret-mongo@127.0.0.1:1/?directConnection=true",
    "MATOMO_PASSWORD": "s3cret-matomo",
    "REMOTE_SERVER_PASSWORD": "s3cret-ssh",
    "REMOTE_SERVER_KEY_PASSPHRASE": "s3cret-passphrase",
    "FOREIGN": "s3cret-foreign",
    "PGPASSWORD": "s3cret-libpq",
}
SETTINGS = {
    "MATOMO_HOST": "127.0.0.1",
    "MATOMO_PORT": "1",
    "POSTGRES_PORT": "1",
    "REMOTE_SERVER_URL": "127.0.0.1",
    "REMOTE_SERVER_PORT": "1",
    "REMOTE_SERVER_USER": "tunnel",
    "REMOTE_POSTGRES_HOST": "db.invalid",
    "CONNECT_TIMEOUT": "2",
}


class Listener:
    """Takes connections, asks for a password in clear text as PostgreSQL does, and keeps all it is sent."""

    def __init__(self) -> None:
        self.received = b""
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with stream:
                stream.settimeout(2)
                try:
                    while data := stream.recv(65536):
                        self.received += data
                        # What asks for encryption is told that there is none; what logs in, to send its password.
                        encrypted = data[4:8] in (struct.pack("!I", 80877103), struct.pack("!I", 80877104))
                        stream.sendall(b"N" if encrypted else b"R" + struct.pack("!II", 8, 3))
                        if data[:1] == b"p":
                            break
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def secrets(own_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, **SETTINGS}.items():
        monkeypatch.setenv(name, value)


@dg.op
def probe_postgres(postgres: PostgresResource) -> None:
    postgres.connect()


@dg.op
def probe_mongo(mongo: MongoResource) -> None:
    mongo.open_database().command("ping")


@dg.op
def probe_matomo(matomo: MatomoResource) -> None:
    with matomo.connect():
        pass


PROBES: dict[str, tuple[dg.OpDefinition, Callable[[], Any]]] = {
    "postgres": (probe_postgres, build_postgres_resource),
    "mongo": (probe_mongo, build_mongo_resource),
    "matomo": (probe_matomo, build_matomo_resource),
}


def run(resource: str, config: dict[str, Any]) -> str:
    """Run a step that connects, which must fail; all that Dagster keeps of it but the configuration itself."""
    probe, build = PROBES[resource]

    @dg.job(resource_defs={resource: build()})
    def job() -> None:
        probe()

    return run_job(job, {"resources": {resource: {"config": config}}})


def run_job(job: dg.JobDefinition, run_config: dict[str, Any]) -> str:
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(run_config=run_config, instance=instance, raise_on_error=False)
        assert not result.success
        said = "\n".join(serialize_value(record) for record in instance.all_logs(result.run_id))
    assert [secret for secret in SECRETS.values() if secret in said] == []
    return said


@pytest.mark.parametrize(
    ("resource", "config", "field"),
    [
        ("postgres", {"port": 0}, "password"),
        ("postgres", {"host": "localhost", "port": 0}, "password"),
        ("postgres", {"user": "other"}, "password"),
        ("postgres", {"ssl_mode": "disable"}, "password"),
        ("postgres", {"port": 0, "password": {"env": "POSTGRES_PASSWORD"}}, "password"),
        ("postgres", {"port": 0, "password": {"env": "REMOTE_POSTGRES_PASSWORD"}}, "password"),
        ("postgres", {"port": 0, "password": {"env": "FOREIGN"}}, "password"),
        ("postgres", {"port": 0, "password": ""}, "password"),
        ("postgres", {"access": {"remote": {}}}, "password"),
        ("postgres", {"password": "own", "access": {"remote": {"port": 0}}}, "access.remote.password"),
        ("postgres", {"password": "own", "access": {"remote": {"user": "other"}}}, "access.remote.password"),
        ("postgres", {"password": "own", "access": {"remote": {"known_hosts": "/x"}}}, "access.remote.password"),
        ("mongo", {"access": {"remote": {}}}, "url"),
        ("mongo", {"url": {"env": "FOREIGN"}}, "url"),
        ("mongo", {"url": "mongodb://127.0.0.1:0/?authMechanism=MONGODB%2DAWS"}, "url"),
        ("matomo", {"port": 0}, "password"),
        ("matomo", {"host": "localhost", "port": 0}, "password"),
        ("matomo", {"ssl_verify": False}, "password"),
        ("matomo", {"access": {"remote": {}}}, "password"),
    ],
)
def test_another_server_needs_a_secret_of_its_own(
    listener: Listener, resource: str, config: dict[str, Any], field: str
) -> None:
    said = run(resource, put_port(config, listener.port))
    assert "nothing was sent" in said
    assert field in said
    assert listener.connections == 0


@pytest.mark.parametrize("variable", ["REMOTE_SERVER_KEY_FILE", "REMOTE_SERVER_KEY_PASSPHRASE"])
def test_an_ssh_key_of_the_environment_is_not_shown_to_another_ssh_server(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REMOTE_SERVER_KEY_PASSPHRASE")
    monkeypatch.setenv(variable, "s3cret-key")
    config = {"password": "own", "access": {"remote": {"port": listener.port, "password": "own"}}}
    said = run("postgres", config)
    assert variable in said
    assert "nothing was sent" in said
    assert "s3cret-key" not in said
    assert listener.connections == 0


def test_another_server_gets_the_secret_that_was_brought_for_it(listener: Listener) -> None:
    run("postgres", {"host": "127.0.0.1", "port": listener.port, "password": "own-password"})
    assert b"own-password" in listener.received
    for config in (
        {"url": f"mongodb://127.0.0.1:{listener.port}/?directConnection=true", "server_selection_timeout": 1},
    ):
        run("mongo", config)
    run("matomo", {"port": listener.port, "password": "own-password"})
    ssh = {"port": listener.port, "password": "own", "key_passphrase": "own"}
    run("postgres", {"password": "own-password", "access": {"remote": ssh}})
    assert listener.connections > 3
    assert [secret for secret in SECRETS.values() if secret.encode() in listener.received] == []


def test_the_secret_of_the_environment_still_goes_to_its_own_server(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", str(listener.port))
    own = {"host": {"env": "POSTGRES_HOST"}, "port": {"env": "POSTGRES_PORT"}, "user": "user", "ssl_mode": ""}
    monkeypatch.setenv("POSTGRES_HOST", "127.0.0.1")
    # As the launchpad fills it in, written out, or with another database.
    for config in ({}, own, {"host": "127.0.0.1", "port": listener.port}, {"database": "other", "connect_timeout": 3}):
        listener.received = b""
        with dg.DagsterInstance.ephemeral() as instance:
            probe, build = PROBES["postgres"]
            job = dg.GraphDefinition("job", node_defs=[probe]).to_job(resource_defs={"postgres": build()})
            job.execute_in_process(
                run_config={"resources": {"postgres": {"config": config}}}, instance=instance, raise_on_error=False
            )
        assert b"s3cret-postgres" in listener.received, config


def test_the_variables_of_the_other_place_lead_there() -> None:
    said = run(
        "postgres",
        {
            "host": {"env": "REMOTE_POSTGRES_HOST"},
            "user": "postgres",
            "port": 5432,
            "password": {"env": "REMOTE_POSTGRES_PASSWORD"},
            "access": {"remote": {}},
        },
    )
    assert "SSH server 127.0.0.1:1 does not answer" in said


def list_fields(resource: str) -> Iterator[tuple[str, ...]]:
    """Every field of a resource that takes a text, a number or a flag, by its path."""

    def walk(fields: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, field in fields.items():
            kind = field.config_type
            if hasattr(kind, "fields") and not hasattr(kind, "scalar_type"):
                yield from walk(kind.fields, (*path, name))
            else:
                yield (*path, name)

    yield from walk(PROBES[resource][1]().get_resource_definition().config_schema.config_type.fields, ())


def test_no_field_takes_a_variable_that_is_not_its_own() -> None:
    """`{env: NAME}` would print, or send, any variable of the process."""
    tried = 0
    for resource in PROBES:
        for path in list_fields(resource):
            config: Any = {"env": "FOREIGN"}
            for name in reversed(path):
                config = {name: config}
            if path[:-1] != ("access", "remote"):
                config = {**config, "access": {"local": {}}}
            refused = ""
            try:
                said = run(resource, config)
            except dg.DagsterInvalidConfigError as error:
                refused = str(error)
            if refused:
                # Numbers, flags, and what takes no variable.
                assert "s3cret" not in refused
                continue
            assert f"takes {'.'.join(path)} from a variable" in said
            tried += 1
    assert tried > 30


@pytest.mark.parametrize("resource", ["postgres", "mongo", "matomo"])
@pytest.mark.parametrize("ssh", [False, True])
def test_no_message_quotes_what_came_by_run_configuration(listener: Listener, resource: str, ssh: bool) -> None:
    own = {"database": "marked-1", "access": {"local": {}}}
    own |= {"url": "mongodb://127.0.0.1:2/marked-2"} if resource == "mongo" else {
        "host": "marked-2.invalid", "user": "marked-3", "password": "marked-4", "port": 12345,
    }  # fmt: skip
    if ssh:
        own["access"] = {
            "remote": {
                "server": "marked-5.invalid", "port": 12345, "user": "marked-6", "password": "marked-7",
                "key_file": "/marked-8", "key_passphrase": "marked-9", "known_hosts": "/marked-10",
            }
        }  # fmt: skip
    said = run(resource, own)
    assert "marked" not in said
    assert "12345" not in said
    if ssh:
        own["access"]["remote"] |= {"known_hosts": "", "server": "127.0.0.1", "port": listener.port}
        said = run(resource, own)
        assert "(given by the run configuration)" in said
        assert "marked" not in said


def test_the_doctor_refuses_too_and_shows_no_key_to_a_foreign_ssh_server(listener: Listener) -> None:
    schema = load_schema(CONFIG)
    job = build_definitions(schema, read_environment()).resolve_job_def(DOCTOR_JOB)
    config = {
        "postgres": {"config": {"password": "own", "access": {"remote": {"port": listener.port}}}},
        "mongo": {"config": {"database": {"env": "FOREIGN"}}},
        "matomo": {"config": {"port": listener.port}},
    }
    said = run_job(job, {"resources": config})
    assert said.count("nothing was sent") >= 3
    assert listener.connections == 0


def test_the_configuration_of_a_job_is_not_quoted_either() -> None:
    job = build_definitions(load_schema(CONFIG), read_environment()).resolve_job_def("reconcile")
    for table in ("marked-1", {"env": "FOREIGN"}):
        said = run_job(job, {"ops": {"reconcile_tables": {"config": {"tables": [table]}}}})
        assert "names one that is not there" in said
        assert "marked-1" not in said


def put_port(config: dict[str, Any], port: int) -> dict[str, Any]:
    """Put the listener's port where a configuration has 0."""
    return {
        name: put_port(value, port)
        if isinstance(value, dict)
        else port
        if name == "port"
        else value.replace(":0/", f":{port}/")
        if isinstance(value, str)
        else value
        for name, value in config.items()
    }
