"""A mirror of an old file on real servers: documents in, runs, and what is in the tables afterwards.

Here: what the tests of this folder share. Not here: the file itself (`old_file`), or tests.
"""

import itertools
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from bson import ObjectId
from psycopg import sql
from psycopg.rows import tuple_row
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.old_file import compose_old_file

JANUARY, MARCH, MAY = datetime(2024, 1, 10), datetime(2024, 3, 10), datetime(2024, 5, 10)
NEWEST, FULL = WindowRequest("newest"), WindowRequest("full")

#: What a document of a collection needs to become a row, besides its dates and its references.
_FIELDS: dict[str, dict[str, Any]] = {
    "appointmenttypes": {"title": "Bilan"},
    "users": {"firstname": "Ada", "lastname": "Martin", "email": "ada@example.org", "role": "CUSTOMER"},
    "events": {"__t": "webinar", "start_date": JANUARY, "end_date": JANUARY},
    "coachings": {"status": "COACHING_STATUS_STARTED"},
    "quizzquestions": {"title": "Combien ?", "type": "QUIZZ_QUESTION_TYPE_NUMERIC"},
    "messages": {"content": "Bonjour"},
    "offers": {"duration": 365, "coaching_credit": 4},
    "periods": {"number_of_days": 14, "order": 1, "status": "active"},
    "days": {"is_success": True, "date": JANUARY},
}


def identify(collection: str, number: int) -> ObjectId:
    """The id of a numbered document: in the order of the numbers, its time the tests' January."""
    code = sum(collection.encode()) % 65536
    return ObjectId(f"659dee80{code:04x}{0:06x}{number:06x}")


class OldMirror:
    """Mirrors tables of an old file, a run at a time."""

    def __init__(self, folder: Path, source: Database[Any], target: psycopg.Connection[Any]) -> None:
        self.path = folder / "old_schemas.yaml"
        self.source = source
        self.target = target
        self._runs = itertools.count(1)

    def declare(self, *tables: str, text: str = "", **settings: dict[str, Any]) -> None:
        """Declare the named tables and all they point at; settings are further keys of a table's section."""
        self.path.write_text(text or compose_old_file(*tables, settings=settings))
        self.schema = load_schema(self.path)

    def save(self, collection: str, number: int, at: datetime | None = MARCH, **fields: Any) -> ObjectId:
        """Write a document as the application would, or write it again; None leaves it without dates."""
        identity = identify(collection, number)
        dates = {} if at is None else {"creation_date": min(at, JANUARY), "update_date": at}
        plain = {"name": f"{collection} {number}", "type": "T", **_FIELDS.get(collection, {})}
        document = {"_id": identity, **plain, **dates, **fields}
        self.source[collection].replace_one({"_id": identity}, document, upsert=True)
        return identity

    def sync(
        self, request: WindowRequest = NEWEST, tables: Collection[str] = (), *, batch_size: int = 100, **more: Any
    ) -> dict[str, MirrorResult]:
        """Run every table once (or those named), parents first."""
        run_id = f"run-{next(self._runs)}"
        return {
            table.name: mirror_table(
                self.schema, table, self.source, self.target,
                run_id=run_id, request=request, batch_size=batch_size, **more,
            )
            for table in self.schema.tables.values()
            if not tables or table.name in tables
        }  # fmt: skip

    def rows(self, table: str, *columns: str) -> list[Any]:
        """Columns of all rows, sorted; values alone where there is one column."""
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
        )
        found = self.target.cursor(row_factory=tuple_row).execute(query).fetchall()
        return sorted((row[0] if len(columns) == 1 else row for row in found), key=repr)

    def rejects(self, table: str) -> list[tuple[str, str, str]]:
        """The (document id, column, reason) of a table's rejects."""
        query = "SELECT document_id, column_name, reason FROM smartdiet.rejected_rows WHERE table_name = %s ORDER BY 1"
        return self.target.cursor(row_factory=tuple_row).execute(query, [table]).fetchall()
