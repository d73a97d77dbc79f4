"""A kind of source of its own, as somebody would add one: files of comma-separated values in a folder.

What a kind has to bring is all here: its object and keys (`schema`), how it is opened and read (`mirror.sources`), and
what the checks ask of it (`checks`).
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from smartdiet_assets.checks.facts import ContentFacts, SourceFacts
from smartdiet_assets.checks.sources import Asked
from smartdiet_assets.errors import ServerUnreachableError, SmartdietError, SourceTableError
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.declaration import RowColumnDeclaration, TableDeclaration
from smartdiet_assets.schema.document_id import IdBatch, decode_document_id
from smartdiet_assets.schema.forgotten import Forgotten
from smartdiet_assets.schema.model import CollectionRules, Schema, Table
from smartdiet_assets.schema.section import Section, key
from smartdiet_assets.schema.sources import SourceKind
from smartdiet_assets.transform.batch import TransformedBatch
from smartdiet_assets.transform.matomo import build_row_transformer

CSV = SourceKind(
    name="csv", title="the folder", server="The folder of files", technology="csv", resource="folder", key="csv_file",
    shown=("source_table", "on_delete"),
)  # fmt: skip
Page = list[tuple[bytes, ...]]


class CsvTableDeclaration(TableDeclaration):
    """One file of the folder."""

    role: ClassVar[str] = CSV.name
    source_kind: ClassVar[SourceKind] = CSV

    csv_file: str = key("", "The file that it mirrors.", CSV)
    columns: tuple[RowColumnDeclaration, ...] = key((), "The columns, in order.", expects="a list of columns")

    def complete(self, name: str, section: Section) -> dict[str, object]:
        return {"source_table": self.csv_file}


@dataclass(frozen=True)
class Folder:
    """The configured server."""

    path: Path

    @contextmanager
    def open(self) -> Iterator["Folder"]:
        yield self


class CsvSource:
    """The lines of one file, the newest last."""

    unmirrored_columns = ()
    removes_each_run = True
    ranges = None
    changes = None

    def __init__(self, schema: Schema, table: Table, path: Path, batch_size: int) -> None:
        self.schema, self.table = schema, table
        self._path, self._size = path, batch_size
        self._names = [column.source_column for column in table.stored_columns]
        self._key = table.column(table.document_column).source_column
        self._convert = build_row_transformer(table, dict.fromkeys(self._names, "varchar"))

    def read(self) -> list[dict[str, str]]:
        with self._path.open(newline="") as file:
            return list(csv.DictReader(file))

    def fetch_clock(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    def fetch_window(self, window: Window, after_key: object) -> Iterator[Page]:
        lines = [line for line in self.read() if not isinstance(after_key, int) or int(line[self._key]) > after_key]
        for start in range(0, len(lines), self._size):
            yield self._take(lines[start : start + self._size])

    def estimate_documents(self, window: Window) -> int | None:
        return None

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[Page]:
        wanted = {decode_document_id(text) for text in document_ids}
        yield self._take([line for line in self.read() if line[self._key] in wanted])

    def leave_out(self, forgotten: Forgotten | None) -> None:
        pass

    def find_named(self, chunks: Iterator[list[str]]) -> Iterator[list[str]]:
        return chunks

    def look_at_fields(self, everything: bool, little_left_out: bool) -> None:
        pass

    def look_no_more(self) -> None:
        pass

    def list_fields(self) -> None:
        return None

    def fetch_keys(self) -> Iterator[IdBatch]:
        yield IdBatch([int(line[self._key]) for line in self.read()])

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        wanted = {decode_document_id(text) for text in document_ids}
        yield IdBatch([int(line[self._key]) for line in self.read() if line[self._key] in wanted])

    def transform(self, batch: Page) -> TransformedBatch:
        return self._convert(batch)

    def _take(self, lines: list[dict[str, str]]) -> Page:
        return [tuple(line[name].encode() for name in self._names) for line in lines]


class CsvOpener:
    """Opens the files of a folder; see `SourceOpener`."""

    def build_server(self, environment: Environment) -> Folder:
        return Folder(environment.schemas_path.parent)

    def check(self, server: Folder, tables: Sequence[Table]) -> CheckResult:
        missing = [table.origin for table in tables if not (server.path / table.origin).exists()]
        return CheckResult(name=CSV.name, ok=not missing, sentence=f"no file {missing[0]}" if missing else "")

    @contextmanager
    def open(
        self, server: Folder, schema: Schema, table: Table, *, batch_size: int, clock: datetime | None = None
    ) -> Iterator[CsvSource]:
        yield CsvSource(schema, table, server.path / table.origin, batch_size)

    def translate(self, error: Exception, table: Table) -> Exception:
        if isinstance(error, FileNotFoundError):
            return SourceTableError(f"{table.name}: there is no file {table.origin}")
        return ServerUnreachableError(f"{table.name}: the folder is away") if isinstance(error, OSError) else error


OPENER = CsvOpener()


class CheckedCsv:
    """What the checks ask of the folder; see `CheckedSource` and `OpenedSource`."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.tables: dict[str, Table] = {}
        self.faults: dict[str, SmartdietError] = {}

    @contextmanager
    def open(self, tables: Sequence[Table]) -> Iterator["CheckedCsv"]:
        self.tables = {table.name: table for table in tables}
        yield self

    def fetch_facts(self, asked: Asked) -> Iterator[tuple[Table, SourceFacts]]:
        for table in asked.tables:
            source = CsvSource(asked.schema, table, self._folder.path / table.origin, 1_000)
            facts = SourceFacts(clock=source.fetch_clock(), max_delay=CollectionRules().max_delay)
            facts.expected = len(source.read())
            yield table, facts

    def compare(self, postgres: Connection, asked: Asked) -> Iterator[tuple[Table, ContentFacts | SmartdietError]]:
        for table in asked.tables:
            yield table, SourceTableError(f"the contents of {table.origin} are not compared")
