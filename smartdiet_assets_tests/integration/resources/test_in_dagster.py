"""The resources as Dagster runs and shows them: from variables, overridable in a run, without a secret in sight."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from pymongo.database import Database

from smartdiet_assets.resources.mongo import MongoResource, build_mongo_resource
from smartdiet_assets.resources.postgres import PostgresResource, build_postgres_resource


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
