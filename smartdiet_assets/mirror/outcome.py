"""What a sync did, by table: the counts a person and a script are told. Not here: printing them (`cli.reports`)."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from smartdiet_assets.schema.drift import Drift

if TYPE_CHECKING:
    from smartdiet_assets.mirror.table_run import MirrorResult


@dataclass(slots=True)
class TableOutcome:
    """What a sync did to one table, over all its passes; `rejected` is what is left rejected.

    `collapsed` counts the items read that are no rows, as another one of their document has the same key;
    `nulled` and `clamped` count values of the documents read that their columns could not hold as they were.
    `error` is empty where the table is up to date. `mode` is that of the first pass. `captured_to` is how far a change
    stream was read that did not come as far as the moment the run began; None where it did.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0
    collapsed: int = 0
    nulled: int = 0
    clamped: int = 0
    documents_read: int = 0
    mode: str = ""
    watermark: str | None = None
    captured_to: str | None = None
    seconds: float = 0.0
    error: str = ""

    def add(self, result: "MirrorResult") -> None:
        """Add what one run of the table did."""
        load, behind = result.load, result.capture.behind if result.capture else None
        for name in ("inserted", "updated", "deleted", "unchanged"):
            setattr(self, name, getattr(self, name) + getattr(load, name))
        self.rejected = load.rejected_total
        self.collapsed += result.collapsed
        self.nulled += sum(result.nulled.values())
        self.clamped += sum(result.clamped.values())
        self.documents_read += result.documents_read
        self.mode = self.mode or load.mode
        if result.watermark is not None:
            self.watermark = _iso(result.watermark)
        self.captured_to = _iso(behind) if behind is not None else None
        self.seconds = round(self.seconds + result.elapsed, 4)


@dataclass(slots=True)
class SyncOutcome:
    """What a sync did: its tables in run order, how many passes it took and how long.

    `drift` is what nobody declared in their collections, by collection, where there is any.
    """

    tables: dict[str, TableOutcome] = field(default_factory=dict)
    passes: int = 0
    seconds: float = 0.0
    drift: dict[str, Drift] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """The tables that are not up to date."""
        return [name for name, outcome in self.tables.items() if outcome.error]

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong with each of them."""
        return {name: self.tables[name].error for name in self.failed}

    @property
    def behind(self) -> dict[str, str]:
        """How far the change streams were read that did not come as far as the run's beginning."""
        return {name: table.captured_to for name, table in self.tables.items() if table.captured_to}

    def as_json(self) -> dict[str, Any]:
        """The object `--json` prints; a table that failed has an `error` beside its counts."""
        tables = {}
        for name, outcome in self.tables.items():
            values = asdict(outcome)
            for rare in ("error", "captured_to"):
                if not values[rare]:
                    del values[rare]
            tables[name] = values
        return {"tables": tables, "seconds": round(self.seconds, 3)}


def _iso(naive_utc: datetime) -> str:
    return naive_utc.isoformat(timespec="milliseconds") + "Z"
