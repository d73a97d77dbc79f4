"""The resources as Dagster runs and shows them: from variables, overridable in a run, without a secret in sight."""

import subprocess
import sys
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from pymongo.database import Database

from smartdiet_assets.errors import ServerUnreachableError
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.configured import build_mongo_resource, build_postgres_resource


@dg.asset
def probe(mongo: MongoResource, postgres: PostgresResource) -> dg.MaterializeResult[Any]:
    with postgres.connect() as connection:
        row = connection.execute("SELECT current_database()").fetchone()
    return dg.MaterializeResult(
        metadata={"postgres": str(row and row[0]), "mongo": mongo.open_database().name, "port": postgres.port}
    )


def build_repository() -> RepositoryDefinition:
    resources = {"mongo": build_mongo_resource(), "postgres": build_postgres_resource()}
    return dg.Definitions(assets=[probe], resources=resources).get_repository_def()


def run_probe(run_config: dict[str, Any] | None = None) -> dict[str, Any]:
    resources = {"mongo": build_mongo_resource(), "postgres": build_postgres_resource()}
    result = dg.materialize([probe], resources=resources, run_config=run_config)
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}


def test_a_run_uses_what_the_environment_says(
    configured_servers: None, postgres_resource: PostgresResource, mongo_database: Database[dict[str, Any]]
) -> None:
    assert run_probe() == {
        "postgres": postgres_resource.database,
        "mongo": mongo_database.name,
        "port": postgres_resource.port,
    }


def test_a_run_config_overrides_the_environment(configured_servers: None) -> None:
    config = {"mongo": {"config": {"database": "other"}}, "postgres": {"config": {"database": "postgres"}}}
    metadata = run_probe({"resources": config})
    assert (metadata["mongo"], metadata["postgres"]) == ("other", "postgres")


def test_dagit_shows_the_variables_and_never_what_they_hold(
    configured_servers: None, postgres_resource: PostgresResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URL", "mongodb://reader:s3cret-url@localhost/?directConnection=true")
    shown = serialize_value(RepositorySnap.from_def(build_repository()))
    assert postgres_resource.password not in shown
    assert "s3cret-url" not in shown
    assert "POSTGRES_PASSWORD" in shown
    assert "MONGODB_URL" in shown


def test_without_variables_the_defaults_are_used_and_shown(
    configured_servers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POSTGRES_PORT", "POSTGRES_PASSWORD", "MONGODB_URL"):
        monkeypatch.delenv(name)
    with build_postgres_resource().process_config_and_initialize_cm() as postgres:
        assert (postgres.port, postgres.password) == (5432, "")
    with build_mongo_resource().process_config_and_initialize_cm() as mongo:
        assert mongo.url == "mongodb://localhost:27017"


def test_the_launchpad_offers_the_variable_and_no_mask_in_its_place(configured_servers: None) -> None:
    """Dagster fills the launchpad with the defaults and puts a mask for a field marked as secret: runs would log in
    with the mask. So the fields are not marked, and the default is the name of the variable.
    """
    for resource, field in ((build_postgres_resource(), "password"), (build_mongo_resource(), "url")):
        found = resource.get_resource_definition().config_schema.config_type.fields[field]
        assert not found.is_secret
        assert list(found.default_value) == ["env"]


REMOTE = {
    "REMOTE_SERVER_URL": "127.0.0.1",
    "REMOTE_SERVER_USER": "tunnel",
    "REMOTE_SERVER_PASSWORD": "s3cret-ssh",
    "REMOTE_SERVER_PORT": "1",
}


@pytest.fixture
def remote_settings(configured_servers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSH server that does not answer."""
    for name, value in REMOTE.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("remote_settings")
@pytest.mark.parametrize("place", ["local", "remote"])
def test_dagit_shows_both_forms_of_access_and_the_names_of_their_variables(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("TRANSFER_SOURCE", place)
    shown = serialize_value(RepositorySnap.from_def(build_repository()))
    assert "s3cret-ssh" not in shown
    assert set(REMOTE) <= {name for name in REMOTE if name in shown}
    fields = build_mongo_resource().get_resource_definition().config_schema.config_type.fields
    assert set(fields["access"].config_type.fields) == {"local", "remote"}
    assert list(fields["access"].default_value) == [place]


@pytest.mark.usefixtures("remote_settings")
def test_a_run_config_chooses_the_form_and_the_environment_fills_it() -> None:
    own = {"password": "own"}
    with pytest.raises(ServerUnreachableError, match=r"SSH server 127.0.0.1:1 does not answer"):
        run_probe({"resources": {"postgres": {"config": {**own, "access": {"remote": {}}}}}})
    with pytest.raises(ServerUnreachableError, match=r"SSH server \(given by the run configuration\) does not answer"):
        run_probe({"resources": {"postgres": {"config": {**own, "access": {"remote": {"port": 2, **own}}}}}})


@pytest.mark.usefixtures("remote_settings")
def test_a_run_config_chooses_the_local_form_where_the_environment_says_remote(
    postgres_resource: PostgresResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_DESTINATION", "remote")
    local = {name: getattr(postgres_resource, name) for name in ("host", "port", "database", "user", "password")}
    found = run_probe({"resources": {"postgres": {"config": {**local, "access": {"local": {}}}}}})
    assert found["postgres"] == postgres_resource.database


@pytest.mark.parametrize(
    ("access", "sentence"),
    [
        ({"local": {"server": "gate"}}, 'Received unexpected config entry "server"'),
        ({"remote": {}}, "Missing required config entr"),
        ({"local": {}, "remote": {}}, "You can only specify a single field"),
    ],
)
def test_a_wrong_mix_is_refused(configured_servers: None, access: dict[str, Any], sentence: str) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=sentence):
        run_probe({"resources": {"postgres": {"config": {"access": access}}}})


def test_loading_the_code_location_does_not_load_what_opens_tunnels() -> None:
    code = "import sys, smartdiet_assets.definitions; print('paramiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_failed_run_keeps_the_password_out_of_its_events(
    configured_servers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "wrong-s3cret")
    with dg.instance_for_test() as instance:
        result = dg.materialize(
            [probe],
            resources={"mongo": build_mongo_resource(), "postgres": build_postgres_resource()},
            instance=instance,
            raise_on_error=False,
        )
        assert not result.success
        events = "\n".join(serialize_value(record) for record in instance.all_logs(result.run_id))
    assert "refuses the user or the password" in events
    assert "wrong-s3cret" not in events
