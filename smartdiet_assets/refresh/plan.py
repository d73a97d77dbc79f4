"""What a refresh will do and what it did, of whatever database. Not here: finding it out, doing it, printing it.

An item is a collection or a table; its count is that of its documents or rows. No value of either is kept here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from smartdiet_assets.resources.variable_kinds import Place

#: The two places a database can be at.
PLACES: tuple[Place, ...] = get_args(Place)
#: `keep`: only in the target, stays; `remove`: only in the target, goes; `leave out`: in the source, is not copied.
Action = Literal["create", "replace", "remove", "keep", "leave out"]


@dataclass(frozen=True, slots=True)
class Side:
    """The database on one side of a refresh.

    Attributes:
        server: as a resource describes itself, without user and password.
        hosts: the hosts it is reached at, for telling whether it is this machine.
        identities: what no other database has, as the server says it; two sides that share one are the same.
    """

    place: Place
    server: str
    hosts: tuple[str, ...]
    database: str
    identities: frozenset[str]


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """What will become of one collection or table; counts may be the server's estimates, None where there is none."""

    name: str
    action: Action
    source_count: int | None = None
    target_count: int | None = None
    note: str = ""

    @property
    def copied(self) -> bool:
        """Whether it is read and written."""
        return self.action in ("create", "replace")


@dataclass(frozen=True, slots=True)
class RefreshPlan:
    """All a person is shown before anything is written.

    Attributes:
        item: what an item is called, such as `collection`.
        record: what an item consists of, in the plural, such as `documents`.
        notes: sentences that concern no single item.
    """

    source: Side
    target: Side
    item: str
    record: str
    items: Sequence[PlannedItem]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class CopiedItem:
    """What became of one collection or table; `size` in bytes."""

    name: str
    action: Action
    count: int = 0
    size: int = 0
    indexes: int = 0
    seconds: float = 0.0
    note: str = ""


@dataclass(slots=True)
class RefreshOutcome:
    """What a refresh did.

    Attributes:
        consistent: whether everything was read as it was at one moment.
        notes: sentences for the operator: what to do next, what was left out and why.
    """

    plan: RefreshPlan
    items: list[CopiedItem] = field(default_factory=list)
    consistent: bool = True
    dry_run: bool = False
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """Build what `--json` prints: both sides, each item by name, and the notes."""
        return {
            "dry_run": self.dry_run,
            "source": _side_as_json(self.plan.source),
            "target": _side_as_json(self.plan.target),
            "consistent": self.consistent,
            f"{self.plan.item}s": {item.name: _planned_as_json(item) for item in self.plan.items}
            | {item.name: self._copied_as_json(item) for item in self.items},
            "notes": [*self.plan.notes, *self.notes],
            "seconds": round(self.seconds, 3),
        }

    def _copied_as_json(self, item: CopiedItem) -> dict[str, object]:
        return {
            "action": item.action,
            self.plan.record: item.count,
            "bytes": item.size,
            "indexes": item.indexes,
            "seconds": round(item.seconds, 3),
            **({"note": item.note} if item.note else {}),
        }


def _side_as_json(side: Side) -> dict[str, object]:
    return {"place": side.place, "server": side.server, "database": side.database}


def _planned_as_json(item: PlannedItem) -> dict[str, object]:
    return {
        "action": item.action,
        "in_source": item.source_count,
        "in_target": item.target_count,
        **({"note": item.note} if item.note else {}),
    }
