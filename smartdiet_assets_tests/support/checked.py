"""A mirror of the compact application whose checks can be evaluated, and the words that tests of them share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from pymongo.database import Database

from smartdiet_assets.checks.evaluation import Servers, evaluate_checks
from smartdiet_assets.checks.mongodb import CheckedMongo
from smartdiet_assets.checks.outcome import KINDS, CheckOutcome, list_kinds
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import Application, reference
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.reading import read_once

Found = dict[tuple[str, str], CheckOutcome]


class Checked:
    """An application, its mirror, and the checks of all tables."""

    def __init__(self, mirrored: Mirrored) -> None:
        self.mirrored = mirrored
        self.application = Application(mirrored.mongo)
        self.servers = Servers(postgres=self._lend, sources={"mongodb": CheckedMongo(read_once(mirrored.mongo))})

    @contextmanager
    def _lend(self) -> Iterator[psycopg.Connection[Any]]:
        yield self.mirrored.connection

    @property
    def asked(self) -> set[tuple[str, str]]:
        """Every check of every table that has it."""
        schema = self.mirrored.schema
        return {(name, kind) for name, table in schema.tables.items() for kind in list_kinds(schema, table)}

    @property
    def source(self) -> Database[Any]:
        return self.mirrored.mongo

    def save(self, collection: str, number: int, **fields: Any) -> None:
        self.application.save(collection, number, compact.birth(collection, number), fields)

    def save_company(self) -> None:
        """Save some documents of every collection; every table has rows."""
        for number in range(3):
            self.save("teams", number)
            self.save("events", number)
        for number in range(3):
            references = [reference("events", event) for event in range(number + 1)]
            self.save(
                "people", number, team=reference("teams", 1), registered=references, liked=references, seen=references
            )
            self.save("notes", number)
            self.save("meals", number, plates=number)

    def sync(self) -> None:
        # What waits for a parent in a later table is there after the second run.
        self.mirrored.run()
        self.mirrored.run()

    def pass_a_second(self) -> None:
        """Let the last runs be of the second after the documents', which ids without dates are compared by."""
        self.execute("UPDATE smartdiet.sync_state SET updated_at = updated_at + interval '1 second'")

    def execute(self, statement: str, values: Any = None) -> int:
        return self.mirrored.connection.execute(statement, values).rowcount

    def evaluate(self, sample: int | None = None, **options: Any) -> Found:
        wanted = {name: list(KINDS) for name in self.mirrored.schema.tables}
        outcomes = evaluate_checks(self.mirrored.schema, wanted, self.servers, sample=sample, **options)
        return {(outcome.table, outcome.kind): outcome for outcome in outcomes}

    def failures(self, **options: Any) -> Found:
        return {key: outcome for key, outcome in self.evaluate(**options).items() if not outcome.passed}


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
