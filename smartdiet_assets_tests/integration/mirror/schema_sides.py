"""Two mirrors in two schemas of one database, and what people are told of each. Not here: tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pymongo.database import Database

from smartdiet_assets.checks.evaluation import Servers, evaluate_checks
from smartdiet_assets.checks.mongodb import CheckedMongo
from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.doctor.leftovers import examine_leftovers
from smartdiet_assets.load.records.inspection import RejectedRow, fetch_rejects
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import Application, local_midnight, reference
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.reading import read_once

Connection = psycopg.Connection[Any]


class Side:
    """One mirror of the compact schema, in a PostgreSQL schema of its own, with a source of its own."""

    def __init__(self, path: Path, mongo: Database[Any], url: str, search_path: str) -> None:
        self.url = f"{url}?options=-csearch_path%3D{search_path}"
        self.connection: Connection = psycopg.connect(self.url, autocommit=True)
        self.mirrored = Mirrored(load_schema(path), mongo, self.connection)
        self.application = Application(mongo)

    def save(self, collection: str, number: int, **fields: Any) -> None:
        self.application.save(collection, number, compact.birth(collection, number), fields)

    def failures(self) -> list[str]:
        """What `check --all` finds."""
        servers = Servers(postgres=self._lend, sources={"mongodb": CheckedMongo(read_once(self.mirrored.mongo))})
        wanted = {name: list(KINDS) for name in self.mirrored.schema.tables}
        outcomes = evaluate_checks(self.mirrored.schema, wanted, servers, sample=None)
        return [f"{o.table} {o.kind}: {o.sentence}" for o in outcomes if not o.passed and o.kind != "no_rejects"]

    @contextmanager
    def _lend(self) -> Iterator[Connection]:
        yield self.connection


def fill(sides: tuple[Side, Side]) -> None:
    """The first has more of everything, and some of it waits for what never comes."""
    for side, size in zip(sides, (4, 2), strict=True):
        for number in range(size):
            side.save("events", number)
            side.save("meals", number, menu=reference("events", number), day=local_midnight(5, 1), plates=number)
        side.save("teams", 1, parent=reference("teams", 2 if side is sides[0] else 1))
        side.save("people", 0, liked=[reference("events", n) for n in range(3)], team=reference("teams", 1))


def leftovers(side: Side) -> list[str]:
    found = examine_leftovers(side.connection, side.mirrored.schema)
    return [statement for finding in found for statement in finding.statements]


def rejects(side: Side) -> list[RejectedRow]:
    return list(fetch_rejects(side.connection, list(side.mirrored.schema.tables)))
