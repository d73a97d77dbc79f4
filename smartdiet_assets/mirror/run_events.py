"""What is kept of a run of `smartdiet sync`, a line of JSON an event: what Dagit shows, and no value of a document."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Discriminator, TypeAdapter

from smartdiet_assets.mirror.failures import TableFailure
from smartdiet_assets.mirror.table_run import MirrorResult


@dataclass(frozen=True, slots=True)
class RunHead:
    """What a run is: `at` are seconds since 1970, `tables` in their order, `schema_files` what declares them."""

    run_id: str
    at: float
    tables: tuple[str, ...]
    schema_files: tuple[str, ...]
    since: str | None
    full: bool
    kind: Literal["run"] = "run"


@dataclass(frozen=True, slots=True)
class TableBegun:
    """A table's run began."""

    table: str
    at: float
    kind: Literal["begun"] = "begun"


@dataclass(frozen=True, slots=True)
class TableSaid:
    """A line of a table that is worth an event; of its progress, where it was by then."""

    table: str
    at: float
    line: str
    warning: bool = False
    documents_read: int = 0
    documents_expected: int | None = None
    kind: Literal["said"] = "said"


@dataclass(frozen=True, slots=True)
class TableEnded:
    """What a table's run came to: one of the two."""

    table: str
    at: float
    result: MirrorResult | None = None
    failure: TableFailure | None = None
    kind: Literal["ended"] = "ended"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over; what has no end by now was interrupted."""

    at: float
    kind: Literal["over"] = "over"


Event = RunHead | TableBegun | TableSaid | TableEnded | RunEnded


#: Of a line of a file.
ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Discriminator("kind")])
