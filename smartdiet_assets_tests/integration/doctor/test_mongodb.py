"""What the doctor finds on MongoDB, and that one fault of the server is one complaint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Int64
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.doctor.run import examine_all
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.integration.doctor.conftest import Examine
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.command_proxy import CommandProxy, Rule
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy

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
        use(monkeypatch, MONGODB_URL=url, CONNECT_TIMEOUT="2", RETRY_DELAY="0.02")
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


def test_dates_that_are_no_dates_are_a_warning_with_their_number_and_types(faults: Examine, healthy: Checked) -> None:
    for value in ("2024-03-01T10:00:00Z", "2024-03-01", Int64(1_700_000_000_000), None):
        healthy.source.people.insert_one({"creation_date": None, "update_date": value})
    healthy.source.teams.insert_one({"creation_date": [SECRET], "update_date": {"a": 1}})
    [found] = faults()
    assert (found.check, found.status) == ("dates", "warning")
    assert "every run reads all of them again. Make them Dates, or declare incremental: none" in found.sentence
    assert set(found.details) == {
        "people: update_date of 3 documents (2 string, 1 long)",
        "teams: update_date of 1 document (1 object)",
        "teams: creation_date of 1 document (1 array)",
    }
    assert SECRET not in str(found)


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


# --- what a server refuses that is not the embedded one, or a user who may only read


@pytest.fixture
def behind(mongo_server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandProxy]:
    """The server, behind a proxy that refuses what it is told to."""
    with CommandProxy(mongo_server) as proxy:
        use(monkeypatch, MONGODB_URL=proxy.uri, CONNECT_TIMEOUT="3", RETRY_DELAY="0.02")
        yield proxy


@pytest.mark.parametrize("code", [13, 59, 115, 8000])
@pytest.mark.parametrize("command", ["buildInfo", "connectionStatus"])
def test_what_no_run_asks_is_not_held_against_the_server(
    faults: Examine, healthy: Checked, behind: CommandProxy, command: str, code: int
) -> None:
    [rule] = behind.act(Rule(command, code, message="CMD_NOT_ALLOWED: not allowed", times=None))
    assert faults() == []
    assert rule.struck == 1


@pytest.mark.parametrize("code", [166, 13, 59])
def test_indexes_that_cannot_be_read_are_not_examined_rather_than_well(
    faults: Examine, healthy: Checked, behind: CommandProxy, code: int
) -> None:
    behind.act(Rule("listIndexes", code, collection="people", times=None))
    [found] = faults()
    assert (found.check, found.status) == ("indexes", "not_examined")
    assert "people" in found.sentence
    assert ("which have the indexes of what they are views of" in found.sentence) == (code == 166)
    unseen, well = (one for one in examine_all() if (one.part, one.check) == ("mongodb", "indexes"))
    assert (unseen.status, well.status) == ("not_examined", "passed")
    assert well.sentence.startswith("Every other collection")
    behind.act(Rule("listIndexes", code, times=None))
    [unseen] = (one for one in examine_all() if (one.part, one.check) == ("mongodb", "indexes"))
    assert unseen.status == "not_examined"


def test_a_view_has_no_change_stream(faults: Examine, healthy: Checked, behind: CommandProxy) -> None:
    Path("compact.yaml").write_text(compact.CAPTURED)
    behind.act(Rule("aggregate", 166, having="$changeStream", times=None))
    [found] = [one for one in faults() if one.part == "mongodb"]
    assert (found.check, found.status) == ("change streams", "failed")
    assert "declare capture: dates" in found.sentence


def test_collections_that_are_refused_alike_share_a_line(
    faults: Examine, healthy: Checked, behind: CommandProxy
) -> None:
    behind.act(Rule("find", 13, collection="people", times=None), Rule("find", 13, collection="teams", times=None))
    found = [one for one in faults() if one.check == "collections"]
    assert [one.sentence.split(" failed")[0] for one in found] == ["reading teams, people"]


@pytest.mark.parametrize("code", [11600, 50, 16500, 2])
def test_no_sentence_has_a_place_left_open(faults: Examine, healthy: Checked, behind: CommandProxy, code: int) -> None:
    behind.act(Rule("find", code, times=None))
    said = [one.sentence for one in faults()]
    assert said
    assert not [sentence for sentence in said if "{}" in sentence or "\0" in sentence or "injected" in sentence]


def test_a_read_preference_that_no_member_meets_is_named(
    faults: Examine, mongo_server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = mongo_server.uri.replace("directConnection=true", "replicaSet=secantus&readPreference=secondary")
    use(monkeypatch, MONGODB_URL=url, CONNECT_TIMEOUT="2", RETRY_DELAY="0.02")
    *_, connection, rest = faults()
    assert "none that the readPreference of MONGODB_URL allows" in connection.sentence
    assert (connection.check, connection.status, rest.status) == ("connection", "failed", "not_examined")
