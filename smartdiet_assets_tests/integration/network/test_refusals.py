"""A server that refuses a command: once, and everything ends as if it had not; always, and one sentence says so.

Every command of the command line meets every command it sends, refused; every code that may pass is met by a run.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import Int64, ObjectId, json_util
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.errors import TransientError
from smartdiet_assets.extract.mongodb.change_stream import fetch_changes
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets_tests.integration.conftest import Printed, Smartdiet
from smartdiet_assets_tests.support.broken import NOW
from smartdiet_assets_tests.support.command_proxy import CommandProxy, Rule
from smartdiet_assets_tests.support.refreshed import Pair, find_leftovers, read_bytes

pytestmark = pytest.mark.timeout(300)

SCHEMA = """
tables:
  parents: {include_base: true, on_delete: delete}
  kids:
    include_base: true
    on_delete: delete
    additional_columns: [{name: parent_id, sql_type: VARCHAR, foreign_key: parents(id), mongo_field: parent}]
"""
CAPTURED = f"collections: {{parents: {{capture: change_stream}}, kids: {{capture: change_stream}}}}\n{SCHEMA}"
#: What a server, a router, Atlas or a look-alike says for a while, and then no more.
PASSING = (
    6, 7, 24, 43, 50, 70, 89, 91, 112, 133, 134, 136, 150, 175, 189, 202, 234, 237, 246, 249, 262, 279, 292, 391, 462,
    8000, 9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 16500,
)  # fmt: skip
#: By command line: whether it needs the tables to be there, and reads MongoDB at all.
COMMANDS = {
    ("sync", "--full"): False,
    ("check", "--all"): True,
    ("compare", "mongo", "local", "--data"): True,
    ("infer", "kids", "--all"): True,
    ("infer", "kids", "--sample", "2"): True,
    ("reconcile",): True,
    ("doctor",): True,
}
#: Codes that the driver itself meets in different ways: as an error of the network, of a cursor, of time, any other.
KINDS = (11600, 43, 50, 16500)
#: What a client does by itself, and whose refusal nobody learns of.
_ASIDE = frozenset({"endSessions", "killCursors", "saslStart", "saslContinue", "ping"})


@dataclass
class Stage:
    """A source behind a proxy, and the mirror of it."""

    proxy: CommandProxy
    mongo: Database[Any]
    postgres: psycopg.Connection[Any]
    smartdiet: Smartdiet

    def rows(self) -> dict[str, list[Any]]:
        """Every row, with the transaction that wrote it."""
        found = {}
        for name in ("parents", "kids"):
            if self.postgres.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone() == (True,):
                query = sql.SQL("SELECT t::text, t.xmin::text FROM {} AS t ORDER BY 1").format(sql.Identifier(name))
                found[name] = self.postgres.execute(query).fetchall()
        return found

    def assert_mirrored(self) -> None:
        """The tables are what the documents say, by their ids and by every check."""
        self.proxy.act()
        for name in ("parents", "kids"):
            ids = self.postgres.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(name))).fetchall()
            assert {text for (text,) in ids} == {str(d["_id"]) for d in self.mongo[name].find({}, {"_id": 1})}
        checked = self.smartdiet("check", "--all")
        assert checked.code == 0, checked.out + checked.err

    def list_sent(self, *command: str) -> list[tuple[str, str]]:
        """Each command with its collection that a command line sends."""
        self.proxy.act()
        self.proxy.seen.clear()
        ended = self.smartdiet(*command)
        assert ended.code == 0, ended.out + ended.err
        greeting = {"hello", "ismaster", "isMaster"}
        return [sent for sent in dict.fromkeys(self.proxy.seen) if sent[0] not in _ASIDE | greeting]


@pytest.fixture
def stage(
    configured_servers: None,
    mongo_server: EmbeddedMongo,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    smartdiet: Smartdiet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Stage]:
    path = tmp_path / "tables.yaml"
    path.write_text(SCHEMA)
    parents = [ObjectId() for _ in range(4)]
    dates = {"creation_date": NOW, "update_date": NOW}
    mongo_database.parents.insert_many([{"_id": parent, **dates} for parent in parents])
    mongo_database.kids.insert_many([{"parent": parent, **dates} for parent in parents * 2])
    for collection, field in itertools.product((mongo_database.parents, mongo_database.kids), dates):
        collection.create_index(field)
    with CommandProxy(mongo_server) as proxy:
        for name, value in {
            "MONGODB_URL": proxy.uri,
            "SMARTDIET_SCHEMAS": str(path),
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "RETRY_DELAY": "0.02",
            "CONNECT_TIMEOUT": "3",
            "BATCH_SIZE": "3",
        }.items():
            monkeypatch.setenv(name, value)
        yield Stage(proxy, mongo_database, postgres, smartdiet)


def assert_one_sentence(printed: Printed, codes: tuple[int, ...] = (1, 2)) -> None:
    said = printed.out + printed.err
    assert printed.code in codes, said
    assert "Traceback" not in said
    assert "injected" not in said, "the server's own words may hold values"
    assert "cannot be used as written" not in said, "the URL is not to blame"
    assert "{}" not in said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_any_command_that_is_refused_once_is_asked_again(stage: Stage, command: tuple[str, ...]) -> None:
    stage.smartdiet("sync")
    before = stage.rows()
    sent = stage.list_sent(*command)
    assert sent
    rules = stage.proxy.act(
        *(Rule(name, code, about or None) for (name, about), code in zip(sent, itertools.cycle(KINDS), strict=False))
    )
    ended = stage.smartdiet(*command)
    assert ended.code == 0, ended.out + ended.err
    assert [rule.struck for rule in rules] == [1] * len(rules), sent
    assert {table: len(rows) for table, rows in stage.rows().items()} == {"parents": 4, "kids": 8}
    if command[0] != "sync":
        assert stage.rows() == before
    stage.assert_mirrored()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_any_command_that_is_always_refused_is_said_in_bounded_time(stage: Stage, command: tuple[str, ...]) -> None:
    stage.smartdiet("sync")
    before = stage.rows()
    for (name, collection), code in zip(stage.list_sent(*command), itertools.cycle(KINDS), strict=False):
        if command[0] == "sync" and collection == "parents":
            continue
        stage.proxy.act(Rule(name, code, collection or None, times=None))
        ended = stage.smartdiet(*command)
        # What the doctor may not see need not keep a run from succeeding.
        assert_one_sentence(ended, codes=(0, 1, 2) if command == ("doctor",) else (1, 2))
    assert {table: len(rows) for table, rows in stage.rows().items()} == {"parents": 4, "kids": 8}
    if command[0] != "sync":
        assert stage.rows() == before
    stage.assert_mirrored()


def test_codes_that_may_pass_are_met_by_a_read_and_tried_again(stage: Stage) -> None:
    """At its first answer, and in the middle of it."""
    resource = MongoResource(url=stage.proxy.uri, database=stage.mongo.name, retry_delay=0.001)
    for code in PASSING:
        rules = stage.proxy.act(*(Rule(name, code, collection="kids") for name in ("find", "getMore")))
        assert len(resource.read(lambda database: list(database.kids.find(batch_size=3)))) == 8
        assert [rule.struck for rule in rules] == [1, 1], code
    resource.close()


def test_codes_that_may_pass_are_met_by_a_run_and_tried_again(stage: Stage) -> None:
    """Before the run, at the first read of a table, and in the middle of it."""
    places = itertools.product(("find", "getMore"), ("parents", "kids"))
    rules = [Rule(name, code, collection=about) for (name, about), code in zip(places, KINDS, strict=True)]
    stage.proxy.act(*rules, Rule("listCollections", KINDS[0]))
    ended = stage.smartdiet("sync")
    assert ended.code == 0, ended.out + ended.err
    assert [rule.struck for rule in rules] == [1] * 4
    stage.assert_mirrored()


@pytest.mark.parametrize("label", ["RetryableError", "SystemOverloadedError", "RetryableWriteError"])
def test_an_error_that_the_server_labels_so_is_tried_again(stage: Stage, label: str) -> None:
    [rule] = stage.proxy.act(Rule("getMore", 999_999, collection="kids", labels=[label]))
    assert stage.smartdiet("sync").code == 0
    assert rule.struck == 1
    stage.assert_mirrored()


@pytest.mark.parametrize("code", [2, 13, 18, 59, 999_999])
def test_a_code_that_stays_is_tried_once_and_nothing_is_written(stage: Stage, code: int) -> None:
    stage.proxy.act(Rule("getMore", code, times=None))
    ended = stage.smartdiet("sync")
    assert_one_sentence(ended, codes=(1,))
    # 2 may be what a server says that does not know what the majority is: it is asked without that, once.
    assert sum(sent == ("getMore", "parents") for sent in stage.proxy.seen) == (2 if code == 2 else 1)
    assert not any(stage.rows().values())


@pytest.mark.parametrize("command", [("status",), ("rejects",)], ids=" ".join)
def test_what_only_reads_postgresql_does_not_ask_mongodb(stage: Stage, command: tuple[str, ...]) -> None:
    stage.smartdiet("sync")
    stage.proxy.seen.clear()
    stage.proxy.act(Rule("*", 11600, times=None))
    assert stage.smartdiet(*command).code == 0
    assert not stage.proxy.seen


# --- servers that are not the embedded one


def test_a_server_that_does_not_know_hello_is_greeted_as_of_old(stage: Stage) -> None:
    stage.proxy.act(Rule("hello", 59, having="'hello'", times=None))
    assert stage.smartdiet("sync").code == 0
    assert stage.smartdiet("check", "--all").code == 0
    assert stage.smartdiet("doctor").code == 0
    assert ("isMaster", "") in stage.proxy.seen


@pytest.mark.parametrize("code", [72, 9, 303])
def test_whatever_a_server_without_majority_reads_says_it_is_read_without_them(stage: Stage, code: int) -> None:
    [rule] = stage.proxy.act(Rule("*", code, having="'majority'", times=None))
    assert stage.smartdiet("sync").code == 0
    assert rule.struck
    assert {table: len(rows) for table, rows in stage.rows().items()} == {"parents": 4, "kids": 8}


def test_a_server_without_majority_reads_is_read_without_them(stage: Stage) -> None:
    [rule] = stage.proxy.act(Rule("*", 148, having="'majority'", times=None))
    assert stage.smartdiet("sync").code == 0
    assert rule.struck
    assert stage.smartdiet("reconcile").code == 0
    assert stage.smartdiet("compare", "mongo", "local", "--data").code == 0
    doctor = stage.smartdiet("doctor")
    assert "may be mirrored" in " ".join(doctor.out.split())
    assert doctor.code == 0
    stage.assert_mirrored()


def test_every_read_of_a_run_asks_for_what_the_majority_has(stage: Stage) -> None:
    [asking] = stage.proxy.act(Rule("*", having="'readConcern': {'level': 'majority'", times=0))
    assert stage.smartdiet("sync").code == 0
    reads = [name for name, _ in stage.proxy.seen if name in ("find", "aggregate", "count")]
    assert asking.met == len(reads)


OLD, NEW = {"maxWireVersion": 8}, {"minWireVersion": 99, "maxWireVersion": 99}


@pytest.mark.parametrize(("command", "fields"), [(("sync",), OLD), (("doctor",), NEW), (("infer", "kids"), OLD)])
def test_a_server_of_another_age_is_named_as_that(
    stage: Stage, command: tuple[str, ...], fields: dict[str, Any]
) -> None:
    stage.proxy.act(Rule("hello", how="merge", times=None, fields=fields))
    ended = stage.smartdiet(*command)
    assert_one_sentence(ended)
    assert "the server's version is none the driver can talk to" in " ".join((ended.out + ended.err).split())


def test_a_server_without_sessions_serves_all_but_change_streams(stage: Stage) -> None:
    stage.proxy.act(Rule("hello", how="merge", times=None, fields={"logicalSessionTimeoutMinutes": None}))
    assert stage.smartdiet("sync").code == 0
    stage.assert_mirrored()
    Path("tables.yaml").write_text(CAPTURED)
    stage.proxy.act(Rule("hello", how="merge", times=None, fields={"logicalSessionTimeoutMinutes": None}))
    ended = stage.smartdiet("sync")
    assert_one_sentence(ended, codes=(1,))
    assert "the server has no sessions, which change streams are read in" in ended.err


@pytest.mark.parametrize(
    ("command", "url", "said"),
    [
        (("sync",), "mongodb+srv://nowhere.invalid/", "DNS does not tell the servers of MONGODB_URL"),
        (("doctor",), "mongodb+srv://nowhere.invalid/", "DNS does not tell the servers of MONGODB_URL"),
        (("infer", "kids"), "&authMechanism=MONGODB-AWS", "install it: pip install 'pymongo[aws]'"),
        (("sync",), "&authMechanism=GSSAPI", "install it: pip install 'pymongo[gssapi]'"),
        (("doctor",), "secondary", "none that the readPreference of MONGODB_URL allows"),
    ],
)
def test_what_is_wrong_around_a_url_is_not_the_url(
    stage: Stage,
    mongo_server: EmbeddedMongo,
    command: tuple[str, ...],
    url: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    direct = mongo_server.uri
    if url == "secondary":
        url = direct.replace("directConnection=true", "replicaSet=secantus&readPreference=secondary")
    elif url.startswith("&"):
        url = f"{direct.replace('//', '//u%40X@')}{url}" if "GSSAPI" in url else f"{direct}{url}"
    monkeypatch.setenv("MONGODB_URL", url)
    ended = stage.smartdiet(*command)
    assert_one_sentence(ended)
    assert said in " ".join((ended.out + ended.err).split())


# --- change streams


@pytest.fixture
def captured(stage: Stage, tmp_path: Path) -> Stage:
    (tmp_path / "tables.yaml").write_text(CAPTURED)
    assert stage.smartdiet("sync").code == 0
    return stage


@pytest.mark.parametrize("times", [1, 3, None])
def test_an_empty_answer_is_not_the_end_of_a_stream(captured: Stage, times: int | None) -> None:
    """A router answers so while its shards are asked."""
    captured.mongo.kids.insert_many([{"n": n, "creation_date": NOW, "update_date": NOW} for n in range(700)])
    captured.proxy.act(Rule("getMore", collection="kids", how="empty", times=times))
    ended = captured.smartdiet("sync", "--json")
    assert ended.code == 0, ended.err
    assert "captured_to" not in ended.out
    captured.assert_mirrored()


def test_a_stream_that_gets_nowhere_is_said_by_the_command_and_read_on_by_the_next(
    captured: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch_changes.__kwdefaults__ is not None
    monkeypatch.setitem(fetch_changes.__kwdefaults__, "patience", 1.0)
    [(text,)] = captured.postgres.execute(
        "SELECT change_position FROM smartdiet.sync_state WHERE table_name = 'kids'"
    ).fetchall()
    captured.mongo.kids.insert_many([{"n": n, "creation_date": NOW, "update_date": NOW} for n in range(10)])
    nothing = {
        "id": Int64(1),
        "ns": f"{captured.mongo.name}.kids",
        "firstBatch": [],
        "postBatchResumeToken": json_util.loads(text)["token"],
    }
    captured.proxy.act(
        Rule(
            "aggregate", collection="kids", having="$changeStream", how="merge", fields={"cursor": nothing}, times=None
        ),
        Rule("getMore", collection="kids", how="empty", times=None),
    )
    ended = captured.smartdiet("sync")
    assert ended.code == 0, ended.out + ended.err
    assert "kids: its change stream was read up to" in ended.err
    captured.proxy.act()
    assert captured.smartdiet("sync").code == 0
    captured.assert_mirrored()


@pytest.mark.parametrize("code", [136, 11600, 43])
def test_the_first_opening_of_a_stream_is_never_a_lost_position(stage: Stage, code: int, tmp_path: Path) -> None:
    (tmp_path / "tables.yaml").write_text(CAPTURED)
    stage.proxy.act(Rule("aggregate", code, collection="kids", having="$changeStream", times=4))
    ended = stage.smartdiet("sync")
    assert "is lost:" not in ended.err
    if ended.code:
        assert stage.smartdiet("sync").code == 0
    stage.assert_mirrored()


@pytest.mark.parametrize(
    ("name", "code"),
    [("aggregate", 136), ("aggregate", 43), ("aggregate", 16500), ("getMore", 136), ("getMore", 234), ("getMore", 50),
     ("getMore", 11600)],
)  # fmt: skip
def test_a_stream_that_is_refused_once_is_read_on(captured: Stage, name: str, code: int) -> None:
    captured.mongo.kids.insert_many([{"n": n, "creation_date": NOW, "update_date": NOW} for n in range(300)])
    [rule] = captured.proxy.act(Rule(name, code, collection="kids"))
    assert captured.smartdiet("sync").code == 0
    assert rule.struck == 1
    captured.assert_mirrored()


# --- refresh


def refresh_behind(pair: Pair, proxy: CommandProxy, **options: Any) -> None:
    """Refresh as a command does, both sides behind the proxy, with hardly any wait between tries."""
    build = pair.build_refresh

    def build_behind(**more: Any) -> Any:
        refresh = build(**more)
        for side in ("_source", "_target"):
            database = getattr(refresh, side).database
            setattr(refresh, side, MongoResource(url=proxy.uri, database=database, retry_delay=0.02))
        return refresh

    pair.build_refresh = build_behind  # type: ignore[method-assign]
    try:
        pair.refresh(**options)
    finally:
        pair.build_refresh = build  # type: ignore[method-assign]


@pytest.fixture
def pair(mongo_server: EmbeddedMongo, mongo_client: Any, mongo_database: Database[Any]) -> Iterator[Pair]:
    pair = Pair(mongo_server, mongo_database, mongo_client[f"{mongo_database.name}_target"])
    pair.fill()
    yield pair
    mongo_client.drop_database(pair.target.name)


@pytest.mark.parametrize("options", [{}, {"sample": 50.0}], ids=["whole", "sample"])
def test_a_refresh_that_is_refused_once_copies_all_the_same(
    pair: Pair, mongo_server: EmbeddedMongo, options: dict[str, Any]
) -> None:
    with CommandProxy(mongo_server) as proxy:
        refresh_behind(pair, proxy, **options)
        expected = read_bytes(pair.target)
        sent = dict.fromkeys(name for name, _ in proxy.seen if name not in _ASIDE | {"hello", "ismaster"})
        for name, code in zip(sent, itertools.cycle((43, 10107)), strict=False):
            [rule] = proxy.act(Rule(name, code, passing=1))
            refresh_behind(pair, proxy, **options)
            assert rule.struck or rule.met <= 1, name
            assert read_bytes(pair.target) == expected, f"{name} {code}"
            assert find_leftovers(pair.target) == []


def test_a_refresh_that_is_always_refused_leaves_the_target_as_it_was(pair: Pair, mongo_server: EmbeddedMongo) -> None:
    with CommandProxy(mongo_server) as proxy:
        for name, code in (("find", 43), ("insert", 16500), ("create", 10107), ("createIndexes", 50)):
            before = read_bytes(pair.target)
            proxy.act(Rule(name, code, passing=1, times=None))
            with pytest.raises(TransientError) as caught:
                refresh_behind(pair, proxy)
            proxy.act()
            assert "injected" not in str(caught.value)
            assert {n: d for n, d in read_bytes(pair.target).items() if not n.startswith("_smartdiet")} == before
