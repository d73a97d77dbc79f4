"""What one evaluation of all checks asks of the servers: a bounded number of statements, and nothing that writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from smartdiet_assets.checks.mongodb import CheckedMongo
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.reading import read_once

#: Snapshot and settings, structure, states, rejects, counts, fields seen, changed documents; nothing to search for.
STATEMENTS = 11
#: Rows of a table; rejects of a collection.
STATEMENTS_OF_CONTENT = 1
#: Three for the changes, two to count for all tables, one sample and its end.
QUERIES_OF_A_COLLECTION = 7


class CountingCursor(psycopg.Cursor[Any]):
    """Notes what is executed."""

    statements: ClassVar[list[str]] = []

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string(self)
        type(self).statements.append(text)
        return super().execute(query, *arguments, **options)


class CountingListener(CommandListener):
    """Notes the name of each command."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def test_all_checks_take_a_bounded_number_of_statements(
    checked: Checked, mongo_server: EmbeddedMongo, postgres_database: str
) -> None:
    checked.save("teams", 9)
    tables = checked.mirrored.schema.tables
    collections = {table.mongo_collection for table in tables.values()}
    listener = CountingListener()
    CountingCursor.statements = []

    @contextmanager
    def lend() -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(postgres_database, cursor_factory=CountingCursor) as connection:
            yield connection

    with MongoClient[dict[str, Any]](mongo_server.uri, event_listeners=[listener]) as client:
        database = client[checked.source.name]
        sources = {"mongodb": CheckedMongo(read_once(database))}
        checked.servers = replace(checked.servers, postgres=lend, sources=sources)
        assert not checked.failures(sample=100)
    bound = STATEMENTS + STATEMENTS_OF_CONTENT * (len(tables) + len(collections))
    assert len(CountingCursor.statements) <= bound
    queries = [command for command in listener.commands if command in ("find", "aggregate", "getMore")]
    assert len(queries) <= QUERIES_OF_A_COLLECTION * len(collections)
    assert set(listener.commands) <= {"find", "aggregate", "getMore", "hello", "ping", "endSessions", "killCursors"}
    assert all(text.lstrip().startswith(("SELECT", "SET TRANSACTION", "WITH")) for text in CountingCursor.statements)


def test_an_evaluation_writes_nothing(checked: Checked) -> None:
    before = checked.mirrored.versions()
    checked.execute("UPDATE notes SET text = 'x'")
    altered = checked.mirrored.versions()
    assert altered != before
    checked.evaluate()
    assert checked.mirrored.versions() == altered
