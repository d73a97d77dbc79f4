"""A Matomo and its mirror: writing to the one, running the other, and reading what both hold.

Here: what tests of the mirror of Matomo share. The expected rows are read by the driver in its own way, so that
nothing of the product's reading takes part in them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from psycopg import sql

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.sources.matomo import MatomoSource
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_source
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema, Table

CONFIG = Path(__file__).parents[2] / "config" / "matomo_schemas.yaml"
ACTION, VISIT, VIEW = "matomo_log_action", "matomo_log_visit", "matomo_log_link_visit_action"
NEWEST = WindowRequest("newest")
FULL = WindowRequest("full")
NOON = datetime(2025, 3, 10, 12)

Row = tuple[Any, ...]


class Matomo:
    """One Matomo, its mirror, and the schema that declares it."""

    def __init__(
        self, source: "pymysql.Connection[Any]", resource: MatomoResource, postgres: psycopg.Connection
    ) -> None:
        self.source = source
        self.resource = resource
        self.postgres = postgres
        self.schema: Schema = load_schema(CONFIG)

    def declare(self, path: Path, text: str) -> None:
        """Declare other tables than the project's."""
        path.write_text(text)
        self.schema = load_schema(path)

    def redeclare(self, path: Path, *changes: tuple[str, str]) -> None:
        """Declare the project's tables with parts of the text replaced."""
        text = CONFIG.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.declare(path, text)

    # --- the source

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        with self.source.cursor() as cursor:
            cursor.execute(statement, values or None)

    def add(self, table: str, **values: Any) -> None:
        """Insert one row; what a visit or a page view needs beside the values given is filled in."""
        row = {**_NEEDED[table], **values}
        places = ", ".join(["%s"] * len(row))
        self.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))

    def add_visit(self, idvisit: int, time: datetime = NOON, **values: Any) -> None:
        self.add(VISIT, idvisit=idvisit, visit_last_action_time=time, visit_first_action_time=time, **values)

    def add_view(self, idlink_va: int, idvisit: int, time: datetime = NOON, **values: Any) -> None:
        self.add(VIEW, idlink_va=idlink_va, idvisit=idvisit, server_time=time, **values)

    # --- the mirror

    def run(self, *tables: str, request: WindowRequest = NEWEST, page_size: int = 5_000) -> dict[str, MirrorResult]:
        """Mirror tables in order, all of them when none is named."""
        results = {}
        for table in self.schema.tables.values():
            if tables and table.name not in tables:
                continue
            with self.resource.connect() as connection:
                source = MatomoSource(
                    self.schema, table, connection, page_size, table_prefix=self.resource.table_prefix
                )
                results[table.name] = mirror_source(source, self.postgres, run_id="test", request=request)
        return results

    def rows(self, table: str) -> list[Row]:
        """Read the mirrored rows in order of their key."""
        declared = self.schema.tables[table]
        return self.postgres.execute(
            sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
                sql.SQL(", ").join(sql.Identifier(column.name) for column in declared.columns),
                sql.Identifier(table),
                sql.Identifier(declared.document_column),
            )
        ).fetchall()

    def expected(self, table: str) -> list[Row]:
        """Read the rows of the source as the mirror should show them, in order of their key."""
        declared = self.schema.tables[table]
        columns = ", ".join(f"`{column.source_column}`" for column in declared.columns)
        with self.source.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {declared.document_column}")
            return [_expect(declared, row) for row in cursor.fetchall()]

    def rejects(self, table: str) -> list[Row]:
        """Read document, column, reason, expected and received of a table's rejects."""
        return self.postgres.execute(
            "SELECT document_id, column_name, reason, expected, received FROM smartdiet.rejected_rows "
            "WHERE table_name = %s ORDER BY document_id",
            [table],
        ).fetchall()

    def assert_mirrored(self) -> None:
        for table in self.schema.tables:
            assert self.rows(table) == self.expected(table), table


def _expect(table: Table, row: Row) -> Row:
    values = []
    for column, value in zip(table.columns, row, strict=True):
        expected = value
        if isinstance(value, timedelta):
            expected = (datetime.min + value).time()
        elif column.foreign_key is not None and value == 0:
            expected = None
        elif column.type.name == "numeric" and value is not None:
            expected = round(value, column.type.scale or 0)
        values.append(expected)
    return tuple(values)


_NEEDED: dict[str, dict[str, Any]] = {
    ACTION: {"name": "app.example/", "hash": 1, "type": 1},
    VISIT: {
        "idsite": 1,
        "idvisitor": b"\x00visitor",
        "config_id": b"\xffconfig\x00",
        "location_ip": b"\x51\x02\x00\x00",
        "visit_total_time": 0,
    },
    VIEW: {"idsite": 1, "idvisitor": b"\x00visitor"},
}
