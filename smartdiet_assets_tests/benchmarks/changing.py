"""Logbooks on the server that change from round to round, and what it costs to mirror them.

Here: storing a collection, changing some of its documents, the contestants that read or mirror it. Not here: which
sizes and shares are measured (`incremental`, `growth`, `memory`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import bson
from psycopg import sql
from pymongo import ReplaceOne
from pymongo.database import Database

from smartdiet_assets.extract.mongodb.documents import fetch_window
from smartdiet_assets.extract.window import Window, WindowRequest, plan_window
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets_tests.benchmarks.loading import BATCH_SIZE, load_batches, store_batches
from smartdiet_assets_tests.benchmarks.logbooks import TABLE, Logbooks, build_logbooks
from smartdiet_assets_tests.benchmarks.measuring import Contestant, Work
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers

#: After all dates of the documents; each round of changes is a day later than the one before, beyond any overlap.
_FIRST_CHANGE = datetime(2024, 1, 1)


@dataclass
class ChangingLogbooks:
    """A mirrored collection of logbooks, a PostgreSQL database of its own beside it."""

    documents: int
    logbooks: Logbooks
    mongo: Database[Any]
    connection: Connection
    day: datetime = _FIRST_CHANGE
    result: MirrorResult | None = None
    window: Window | None = None
    read: int = 0
    _originals: list[dict[str, Any]] = field(default_factory=list)

    def mirror(self, kind: str = "newest") -> None:
        """Mirror the table."""
        request = WindowRequest("full" if kind == "full" else "newest")
        self.result = mirror_table(
            self.logbooks.schema, self.logbooks.table, self.mongo, self.connection, run_id="benchmark", request=request
        )

    def drop(self) -> None:
        """Leave no table, and nothing known of it."""
        self.connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(TABLE)))
        self.connection.execute("DELETE FROM smartdiet.sync_state WHERE table_name = %s", [TABLE])
        self.connection.execute("CHECKPOINT")

    def change(self, documents: int) -> None:
        """Change that many documents, spread over the collection, and plan what a run will read.

        Their new dates lie apart and beyond the overlap of those before, so that a run reads these and nothing else:
        one of them has been changed and mirrored alone, a day earlier, to leave the changes before behind.
        """
        self._replace(1)
        self.mirror()
        self._replace(documents)
        row = self.connection.execute(
            "SELECT watermark FROM smartdiet.sync_state WHERE table_name = %s", [TABLE]
        ).fetchone()
        assert row is not None
        self.window = plan_window(self.logbooks.table, WindowRequest("newest"), watermark=row[0])
        self.connection.execute("CHECKPOINT")

    def _replace(self, documents: int) -> None:
        self.day += timedelta(days=1)
        places = [number * self.documents // documents for number in range(documents)]
        changes = [
            {
                **self._originals[place],
                "water": self.day.toordinal() + place,
                "update_date": self.day + timedelta(milliseconds=number),
            }
            for number, place in enumerate(places)
        ]
        for start in range(0, documents, BATCH_SIZE):
            self.mongo[TABLE].bulk_write(
                [ReplaceOne({"_id": change["_id"]}, change) for change in changes[start : start + BATCH_SIZE]]
            )

    def read_window(self) -> None:
        """Read what the run would read, with the driver alone."""
        assert self.window is not None
        batches = fetch_window(self.mongo, self.logbooks.table, self.window, BATCH_SIZE)
        self.read = sum(len(bson.decode_all(batch)) for batch in batches)

    def enter_change(self, name: str, reading: str, documents: int) -> list[Contestant]:
        """Enter a run after that many changes, and reading the same alone, which comes first."""

        def check() -> Work:
            assert self.result is not None
            load = self.result.load
            assert (load.updated, load.inserted, load.deleted) == (documents, 0, 0), load
            return {}

        def check_read() -> Work:
            assert self.read == documents, self.read
            return {}

        return [
            Contestant(reading, self.read_window, check_read, lambda: self.change(documents)),
            Contestant(name, self.mirror, check),
        ]

    def enter_full(self, name: str) -> Contestant:
        """Enter the first load of the whole collection."""

        def check() -> Work:
            assert self.result is not None
            assert self.result.load.inserted == self.documents
            return {}

        return Contestant(name, lambda: self.mirror("full"), check, self.drop)


@contextmanager
def open_changing(servers: Servers, *sizes: int) -> Iterator[list[ChangingLogbooks]]:
    """Store and mirror a collection of each size, each in databases of its own, dropped at the end."""
    with ExitStack() as stack:
        collections = []
        for size in sizes:
            logbooks = build_logbooks(size)
            mongo = stack.enter_context(servers.open_mongo())
            connection = stack.enter_context(servers.open_postgres())
            store_batches(mongo, TABLE, logbooks.batches)
            for name in ("creation_date", "update_date"):
                mongo[TABLE].create_index(name)
            load_batches(connection, logbooks.schema, logbooks.parents, logbooks.users)
            originals = [document for batch in logbooks.batches for document in bson.decode_all(batch)]
            changing = ChangingLogbooks(size, logbooks, mongo, connection, _originals=originals)
            changing.mirror("full")
            collections.append(changing)
        yield collections
