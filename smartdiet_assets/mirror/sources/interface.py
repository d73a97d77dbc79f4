"""What a run needs of a source, whatever kind it is.

A kind of source is a module beside this one that puts its reading (`extract`) and its transformation (`transform`)
together, and opens it on the server it is configured on (`resources`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from smartdiet_assets.extract.mongodb.change_stream import Changes
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.records.fields import SeenFields
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.forgotten import Forgotten
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.transform.batch import TransformedBatch


class Source(Protocol):
    """What a run needs of a source. A batch is whatever `transform` takes.

    Attributes:
        schema, table: what is mirrored; the table may have columns that were found at the source.
        unmirrored_columns: columns of the source that are not mirrored.
        removes_each_run: its keys are cheap enough to look in every run for rows whose document went.
        ranges: what reads it in ranges of ids, where a first load may; None where it is read in one piece.
        changes: what tells of changes, where a table is captured from that; None where it is read by dates or keys.
    """

    schema: Schema
    table: Table
    unmirrored_columns: tuple[str, ...]
    removes_each_run: bool

    @property
    def ranges(self) -> RangeSource | None: ...

    @property
    def changes(self) -> ChangeSource | None: ...

    def fetch_clock(self) -> datetime:
        """Fetch the source's own time, naive UTC."""

    def fetch_window(self, window: Window, after_key: object) -> Generator[Any]:
        """Stream the batches of a window; `after_key` is the newest mirrored key, for a window by key."""

    def estimate_documents(self, window: Window) -> int | None:
        """Estimate how many documents a window has, while it is read; None where that is not known."""

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[Any]:
        """Stream the batches of the documents with the given encoded ids."""

    def find_named(self, chunks: Iterator[list[str]]) -> Iterator[list[str]]:
        """Find the encoded ids of documents by what the table's records call them; see `transform.protection`."""

    def fetch_keys(self) -> Iterator[IdBatch]:
        """Stream all keys there are, in chunks."""

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        """Ask again which of some ids are there, by what the table's records call them."""

    def transform(self, batch: Any) -> TransformedBatch:
        """Turn a batch into rows and rejects."""

    def leave_out(self, forgotten: Forgotten | None) -> None:
        """Leave out what was forgotten, in all that is transformed from here on."""

    def look_at_fields(self, everything: bool, little_left_out: bool) -> None:
        """Begin to look which fields the documents have, in all that is read from here on.

        Args:
            everything: whether the operator asked for all documents: no field of theirs is to be missed then.
            little_left_out: what an earlier run found, `SeenFields.little_left_out`.
        """

    def look_no_more(self) -> None:
        """Note that what is read from here on was tried before, and does not tell what documents have."""

    def list_fields(self) -> SeenFields | None:
        """List which fields were seen; None where nobody wants to know, or no document was looked at."""


class Server(Protocol):
    """A configured server, as its resource gives it. What opens a kind of source knows which resource that is."""

    def open(self) -> AbstractContextManager[Any]: ...


class SourceOpener(Protocol):
    """What is asked of a kind of source before there is one: where its server is, and the source of a table there."""

    def build_server(self, environment: Environment) -> Server:
        """Build the resource of the configured server."""

    def open_server(self, environment: Environment) -> AbstractContextManager[Any]:
        """Open the configured server for the block, without importing Dagster."""

    def check(self, server: Any, tables: Sequence[Table]) -> CheckResult:
        """Say in one sentence what keeps the mirror from reading tables, if anything does."""

    def open(
        self, server: Any, schema: Schema, table: Table, *, batch_size: int, clock: datetime | None = None
    ) -> AbstractContextManager[Source]:
        """Open the source of a table for as long as the block.

        Args:
            server: the opened resource.
            batch_size: documents or rows per batch.
            clock: a reading of the server's clock from before, naive UTC.
        """

    def translate(self, error: Exception, table: Table) -> Exception:
        """Turn an error of its driver into one of ours; any other stays as it is."""


class RangeSource(Protocol):
    """What reads all documents in ranges of their ids, each document in one range."""

    def count_all(self) -> int:
        """Count all documents, about."""

    def identify(self) -> str:
        """Say what tells the documents' place from another of its name."""

    def plan_ranges(self, ranges: int) -> Sequence[bytes]:
        """Plan about so many ranges of about the same size, encoded; fewer than two where it cannot."""

    def is_better_whole(self, beside: Sequence[Table] = ()) -> bool:
        """Tell whether to ask for whole documents, as the table needs most of them, with others beside it."""

    def fetch_range(self, encoded: bytes, *, whole: bool, beside: Sequence[Any] = ()) -> Generator[Any]:
        """Stream the batches of a range, with all that sources beside it need."""

    def decode(self, batch: Any) -> Any:
        """Decode a batch into what each of them takes."""


class ChangeSource(Protocol):
    """What tells of every change, deletions too, from a position on."""

    def open_position(self) -> str:
        """Open the change stream and give the position it is at."""

    def fetch_changes(self, position: str) -> Iterator[Changes]:
        """Stream what changed after a position, up to now."""

    @property
    def table(self) -> Table: ...

    def fetch_deleted(self, document_ids: Sequence[str]) -> list[str]:
        """Fetch which of the documents with the given encoded ids are not there."""

    def convert_ids(self, document_ids: Sequence[str]) -> IdBatch:
        """Convert encoded ids to document column values; those the column cannot hold are left out."""
