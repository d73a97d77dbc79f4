"""What the doctor finds on MongoDB, and that one fault of the server is one complaint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.integration.checks.checked import Checked
from smartdiet_assets_tests.integration.doctor.conftest import Examine
from smartdiet_assets_tests.integration.mirror import compact

SECRET = "Marked-s3cret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A server that asks for a password, with a user `outsider` who may read another database only."""
    for server in run_server(EmbeddedMongo(tmp_path_factory.mktemp("guarded"), require_auth=True)):
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.diet.users.insert_one({})
            client.elsewhere.command("createUser", "outsider", pwd=SECRET, roles=[{"role": "read", "db": "elsewhere"}])
        yield server


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A server outside of any replica set."""
    folder = tmp_path_factory.mktemp("standalone")
    yield from run_server(EmbeddedMongo(folder, options={"replica_set_name": None}))


def use(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_server_that_is_gone_is_one_complaint(faults: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, MONGODB_URL=f"mongodb://reader:{SECRET}@127.0.0.1:{find_free_port()}/", CONNECT_TIMEOUT="2")
    connection, rest = faults()
    assert (connection.part, connection.check, connection.status) == ("mongodb", "connection", "failed")
    assert "no server answers" in connection.sentence
    assert rest.status == "not_examined"
    assert SECRET not in str(connection)


@pytest.mark.parametrize("after", [0, 2_000])
def test_a_server_that_falls_silent_is_given_up(
    faults: Examine, mongo_server: EmbeddedMongo, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(mongo_server.port) as proxy:
        stall = proxy.strike(Fault("stall", after=after, times=None))
        url = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        use(monkeypatch, MONGODB_URL=url, CONNECT_TIMEOUT="2")
        *_, connection, rest = faults()
    assert stall.struck
    assert (connection.check, connection.status, rest.status) == ("connection", "failed", "not_examined")


def test_a_password_that_is_wrong_is_one_complaint(
    faults: Examine, guarded: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, MONGODB_URL=guarded.uri.replace(guarded.password, SECRET))
    connection, rest = faults()
    assert "refuses the user or the password" in connection.sentence
    assert (connection.status, rest.status) == ("failed", "not_examined")
    assert SECRET not in str(connection)


def test_a_url_that_cannot_be_used_is_one_complaint_without_its_password(
    faults: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, MONGODB_URL=f"mongodb://reader:{SECRET}@more@127.0.0.1/")
    found, rest = faults()
    assert "cannot be used as written" in found.sentence
    assert rest.status == "not_examined"
    assert "s3cret" not in str(found)


def test_a_user_that_may_not_read_the_database_is_told_the_statement(
    faults: Examine, guarded: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"mongodb://outsider:{SECRET}@{guarded.host}:{guarded.port}/?directConnection=true&authSource=elsewhere"
    use(monkeypatch, MONGODB_URL=url, MONGODB_DATABASE="diet")
    found, rest = faults()
    assert (found.check, found.status, rest.status) == ("collections", "failed", "not_examined")
    assert found.statements == (
        'db.getSiblingDB("elsewhere").grantRolesToUser("outsider", [{role: "read", db: "diet"}])',
    )
    assert SECRET not in str(found)


def test_a_database_that_is_missing_or_another_applications_is_one_complaint(
    faults: Examine, healthy: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, MONGODB_DATABASE="nowhere")
    found, rest = faults()
    assert "has no database nowhere" in found.sentence
    assert rest.status == "not_examined"
    client = healthy.source.client
    client[f"{healthy.source.name}_other"].unrelated.insert_one({})
    use(monkeypatch, MONGODB_DATABASE=f"{healthy.source.name}_other")
    [found] = faults()
    assert "has none of the 5 declared collections: check MONGODB_DATABASE" in found.sentence
    client.drop_database(f"{healthy.source.name}_other")


def test_a_collection_that_is_missing_is_named_with_its_tables(faults: Examine, healthy: Checked) -> None:
    healthy.source.meals.drop()
    [found] = faults()
    assert (found.check, found.status) == ("collections", "failed")
    assert "has no such collection, and its tables would stay empty" in found.sentence
    assert found.details == ("meals, read by meals",)
    assert found.statements == ('db.createCollection("meals")',)


def test_a_collection_that_was_renamed_is_suggested(faults: Examine, healthy: Checked) -> None:
    healthy.source.people.rename("peoples")
    [found] = faults()
    assert found.details == ("people, read by people, person_events, person_menus, person_seen; did you mean peoples?",)


def test_a_date_without_an_index_is_a_warning_with_the_statement(faults: Examine, healthy: Checked) -> None:
    healthy.source.people.drop_index("update_date_1")
    healthy.source.teams.drop_indexes()
    [found] = faults()
    assert (found.check, found.status) == ("indexes", "warning")
    assert set(found.statements) == {
        'db.getCollection("people").createIndex({"update_date": 1})',
        'db.getCollection("teams").createIndex({"update_date": 1})',
        'db.getCollection("teams").createIndex({"creation_date": 1})',
    }
    healthy.source.people.create_index("update_date")
    healthy.source.teams.create_index("update_date")
    healthy.source.teams.create_index("creation_date")
    assert faults() == []


def test_change_streams_are_opened_where_they_are_declared(faults: Examine, healthy: Checked) -> None:
    Path("compact.yaml").write_text(compact.CAPTURED)
    found = faults()
    # What captured tables need beside the stream is a matter of the next sync.
    assert not [one for one in found if one.part == "mongodb"]


def test_change_streams_on_a_server_alone_are_one_failure(
    faults: Examine, healthy: Checked, standalone: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        for name in healthy.source.list_collection_names():
            for field in ("update_date", "creation_date"):
                client[healthy.source.name][name].create_index(field)
    use(monkeypatch, MONGODB_URL=standalone.uri)
    assert faults() == [], "without capture: change_stream it serves"
    Path("compact.yaml").write_text(compact.CAPTURED)
    [found] = [one for one in faults() if one.part == "mongodb"]
    assert (found.check, found.status) == ("change streams", "failed")
    assert "run MongoDB as a replica set" in found.sentence
    assert "teams, events, people" in found.sentence
