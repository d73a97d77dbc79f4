"""The rows of one of Matomo's tables."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pymysql
from pymysql.connections import Connection

from smartdiet_assets.extract.matomo import documents as matomo
from smartdiet_assets.extract.matomo.structure import (
    check_source_table,
    extend_table,
    fetch_source_table,
    list_unmirrored,
)
from smartdiet_assets.extract.window import Window
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.matomo_errors import translate_matomo_error
from smartdiet_assets.resources.matomo_server import MatomoConnections, MatomoServer
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.forgotten import Forgotten
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX, compose_source_name
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.transform.matomo import build_row_transformer

if TYPE_CHECKING:
    from smartdiet_assets.resources.matomo import MatomoResource


class MatomoSource:
    """The rows of one of Matomo's tables.

    Opening it compares the table on the server with the declaration.

    Raises:
        SourceTableError: the server lacks a declared column.
        pymysql.Error: it has no such table, or the user may not read it.
    """

    removes_each_run = True
    ranges = None
    changes = None

    def __init__(
        self,
        schema: Schema,
        table: Table,
        connection: Connection,
        batch_size: int = 5_000,
        *,
        table_prefix: str = DEFAULT_PREFIX,
    ) -> None:
        self._connection = connection
        self._batch_size = batch_size
        time_column = table.column(table.time_column).source_column if table.time_column else ""
        name = compose_source_name(table.source_table, table_prefix)
        self._found = fetch_source_table(connection, name, time_column)
        check_source_table(table, self._found)
        self.table = extend_table(table, self._found)
        self.schema = schema.model_copy(update={"tables": {**schema.tables, table.name: self.table}})
        self.unmirrored_columns = list_unmirrored(self.table, self._found)
        self.transform = build_row_transformer(
            self.table, {column.name: column.data_type for column in self._found.columns.values()}
        )

    def leave_out(self, forgotten: Forgotten | None) -> None:
        # Documents are forgotten, and none of its tables points at any.
        pass

    def look_at_fields(self, everything: bool, little_left_out: bool) -> None:
        # Its columns are found when it is opened: `unmirrored_columns`.
        pass

    def look_no_more(self) -> None:
        pass

    def list_fields(self) -> None:
        return None

    def fetch_clock(self) -> datetime:
        return matomo.fetch_server_clock(self._connection)

    def fetch_window(self, window: Window, after_key: object) -> Generator[list[matomo.Row]]:
        return matomo.fetch_window(self._connection, self.table, self._found, window, after_key, self._batch_size)

    def estimate_documents(self, window: Window) -> int | None:
        # The connection is busy with the window; what was asked before it tells of the whole table.
        return self._found.rows if window.reads_everything else None

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[list[matomo.Row]]:
        return matomo.fetch_by_keys(self._connection, self.table, self._found, document_ids)

    def find_named(self, chunks: Iterator[list[str]]) -> Iterator[list[str]]:
        return chunks

    def fetch_keys(self) -> Iterator[IdBatch]:
        return map(IdBatch, matomo.fetch_keys(self._connection, self.table, self._found))

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        place = [column.name for column in self.table.stored_columns].index(self.table.document_column)
        for rows in matomo.fetch_by_keys(self._connection, self.table, self._found, document_ids):
            keys = [key for row in rows if (key := row[place]) is not None]
            yield IdBatch([int(key) if matomo.has_integer_key(self.table) else key.decode() for key in keys])


class MatomoOpener:
    """Opens tables of the configured Matomo; see `SourceOpener`."""

    def build_server(self, environment: Environment) -> MatomoResource:
        from smartdiet_assets.resources.matomo import build_matomo_resource

        return build_matomo_resource(environment)

    def open_server(self, environment: Environment) -> AbstractContextManager[MatomoServer]:
        return closing(MatomoServer(environment))

    def check(self, server: MatomoConnections, tables: Sequence[Table]) -> CheckResult:
        return server.check([table.source_table for table in tables])

    @contextmanager
    def open(
        self, server: MatomoConnections, schema: Schema, table: Table, *, batch_size: int, clock: datetime | None = None
    ) -> Iterator[MatomoSource]:
        with server.connect() as connection:
            yield MatomoSource(schema, table, connection, batch_size, table_prefix=server.table_prefix)

    def translate(self, error: Exception, table: Table) -> Exception:
        if isinstance(error, pymysql.Error):
            return translate_matomo_error(error, f"{table.name}: reading Matomo's table {table.source_table}")
        return error


OPENER = MatomoOpener()
