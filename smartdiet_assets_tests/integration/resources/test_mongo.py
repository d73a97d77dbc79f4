"""The MongoDB resource on a real server: what its check says, and that its password never shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import InitResourceContext, build_init_resource_context
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.errors import ConfigurationError, ServerUnreachableError
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.mongo_errors import translate_mongo_error


@pytest.fixture
def context() -> InitResourceContext:
    return build_init_resource_context()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A server that asks for a password, with a document that the user `outsider` may not read."""
    server = EmbeddedMongo(tmp_path_factory.mktemp("guarded"), require_auth=True)
    with server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.diet.users.insert_one({})
            client.elsewhere.command(
                "createUser", "outsider", pwd="s3cret", roles=[{"role": "read", "db": "elsewhere"}]
            )
        yield server


def test_the_check_passes_on_a_database_with_documents(
    mongo_resource: MongoResource, mongo_database: Database[dict[str, Any]]
) -> None:
    mongo_database.users.insert_one({})
    assert mongo_resource.check().ok


def test_the_check_says_that_the_database_is_missing(mongo_resource: MongoResource) -> None:
    result = mongo_resource.check()
    assert not result.ok
    assert f"has no database {mongo_resource.database}, or one without collections" in result.sentence


def test_the_check_says_that_no_server_answers() -> None:
    url = f"mongodb://reader:s3cret@127.0.0.1:{find_free_port()}"
    result = MongoResource(url=url, database="diet", server_selection_timeout=0.5).check()
    assert "no server answers" in result.sentence
    assert "127.0.0.1" in result.sentence
    assert "s3cret" not in result.sentence


def test_the_check_says_that_the_password_is_wrong(guarded: EmbeddedMongo) -> None:
    resource = MongoResource(url=guarded.uri.replace(guarded.password, "wrong-s3cret"), database="diet")
    result = resource.check()
    resource.close()
    assert "refuses the user or the password" in result.sentence
    assert "s3cret" not in result.sentence


def test_the_check_says_that_the_user_may_not_read(guarded: EmbeddedMongo) -> None:
    url = f"mongodb://outsider:s3cret@{guarded.host}:{guarded.port}/?directConnection=true&authSource=elsewhere"
    resource = MongoResource(url=url, database="diet")
    result = resource.check()
    resource.close()
    assert "the user may not do this" in result.sentence
    assert "s3cret" not in result.sentence


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://reader:s3c/ret@db:27017/",
        "mongodb://reader:s3c@ret@db",
        "mongodb://reader:s3c?ret@db",
        "mongodb://reader:s3c%ret@db",
        "mongodb://db:s3cret",
        "mongodb://reader:s3cret@db:99999/",
        "reader:s3cret@db",
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_without_any_part_of_the_password(url: str) -> None:
    result = MongoResource(url=url, database="diet").check()
    assert "cannot be used as written" in result.sentence
    for part in ("s3c", "ret@", "s3cret"):
        assert part not in result.sentence


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://u:s3cret@a:1,b:2/?replicaSet=x", "MongoDB at a:1,b:2"),
        ("mongodb+srv://u:s3cret@cluster.example.org/db?w=1", "MongoDB at cluster.example.org"),
        ("mongodb://[::1]:27017", "MongoDB at [::1]:27017"),
        ("mongodb://u:s3c/ret@db", "MongoDB"),
    ],
)
def test_a_server_is_named_by_its_hosts_alone(url: str, shown: str) -> None:
    resource = MongoResource(url=url)
    assert resource.describe() == shown
    assert "s3c" not in repr(resource)
    assert "s3c" not in str(resource)


def test_one_client_serves_a_run_and_is_closed_also_when_it_fails(
    mongo_resource: MongoResource, context: InitResourceContext
) -> None:
    def fail_a_step() -> None:
        with mongo_resource.yield_for_execution(context) as resource:
            clients.extend([resource.client(), resource.open_database().client])
            raise RuntimeError("a step failed")

    clients: list[MongoClient[dict[str, Any]]] = []
    with pytest.raises(RuntimeError, match="a step failed"):
        fail_a_step()
    client, same = clients
    assert same is client
    with pytest.raises(Exception, match="Cannot use MongoClient after close"):
        client.admin.command("ping")


def test_a_server_that_goes_away_is_a_transient_error(tmp_path: Path, mongo_server: EmbeddedMongo) -> None:
    with EmbeddedMongo(tmp_path / "mongo") as server:
        resource = MongoResource(url=server.uri, database="diet", server_selection_timeout=0.5)
        users = resource.open_database().users
        users.insert_many([{"_id": number} for number in range(10)])
        documents = users.find(batch_size=2)
        next(documents)
        server.kill()
        with pytest.raises(PyMongoError) as caught:
            list(documents)
        assert type(translate_mongo_error(caught.value, "reading users")) is ServerUnreachableError
        resource.close()


def test_a_resource_that_dagster_has_not_initialized_says_so() -> None:
    from dagster import EnvVar

    with pytest.raises(ConfigurationError, match="not initialized"):
        MongoResource(url=EnvVar("MONGODB_URL")).client()
