"""The record of a first load in shards: what was planned, and which shards are there; `smartdiet.load_shards`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from smartdiet_assets.load.execution import Connection, PlannedStatement, execute, fetch_all
from smartdiet_assets.schema.model import Table

_PLAN = """\
INSERT INTO smartdiet.load_shards
  (table_name, number, plan_id, digest, source_clock, documents_expected, whole, run_id, bounds)
SELECT %(table)s, x.number, %(plan_id)s, %(digest)s, %(source_clock)s, %(documents_expected)s, %(whole)s, %(run)s,
  x.bounds
FROM unnest(%(bounds)s::bytea[]) WITH ORDINALITY AS x (bounds, number)"""

_READ = sql.SQL("""\
SELECT plan_id, digest, source_clock, documents_expected, whole, number, bounds, copied_at IS NOT NULL, documents_read,
  rows, rejects, typed, newest, found
FROM smartdiet.load_shards
WHERE schema_name = current_schema() AND table_name = %s
ORDER BY number""")

#: Waits for a run that copies the shard now.
_CLAIM = sql.SQL("""\
SELECT number
FROM smartdiet.load_shards
WHERE schema_name = current_schema() AND table_name = %s AND number = %s AND plan_id = %s AND copied_at IS NULL
FOR UPDATE""")

_NOTE = sql.SQL("""\
UPDATE smartdiet.load_shards
SET
  copied_at = now(), seconds = extract(epoch FROM clock_timestamp() - now()), run_id = %(run)s,
  documents_read = %(documents_read)s, rows = %(rows)s, rejects = %(rejects)s, typed = %(typed)s, newest = %(newest)s,
  found = %(found)s
WHERE schema_name = current_schema() AND table_name = %(table)s AND number = %(number)s""")

_FORGET = sql.SQL("DELETE FROM smartdiet.load_shards WHERE schema_name = current_schema() AND table_name = %s")


@dataclass(frozen=True, slots=True)
class Copied:
    """What a shard came to.

    Attributes:
        typed: documents whose id the document column does not tell.
        newest: the largest source date seen, naive UTC.
        found: further counts, and the names and types of the fields seen.
    """

    documents_read: int
    rows: int
    rejects: int
    typed: int
    newest: datetime | None
    found: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of ids; `bounds` as its source encoded it, `copied` once its rows are there."""

    number: int
    bounds: bytes
    copied: Copied | None = None


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A first load in shards.

    Attributes:
        digest: of what the plan is good for.
        source_clock: the source's time before the first document was read, naive UTC.
        documents_expected: about how many documents there were then.
        whole: whether whole documents are read.
    """

    plan_id: str
    digest: str
    source_clock: datetime
    documents_expected: int
    whole: bool
    shards: Sequence[Shard]

    @property
    def missing(self) -> list[Shard]:
        """The shards that are not there yet."""
        return [shard for shard in self.shards if shard.copied is None]

    @property
    def copied(self) -> list[Copied]:
        """What those came to that are."""
        return [shard.copied for shard in self.shards if shard.copied is not None]


def plan_shards(table: Table, plan: ShardPlan, run_id: str) -> PlannedStatement:
    """Plan to store a plan."""
    return _PLAN, {
        "table": table.name,
        "plan_id": plan.plan_id,
        "digest": plan.digest,
        "source_clock": plan.source_clock,
        "documents_expected": plan.documents_expected,
        "whole": plan.whole,
        "run": run_id,
        "bounds": [shard.bounds for shard in plan.shards],
    }


def read_plan(connection: Connection, table: Table) -> ShardPlan | None:
    """Read how far the first load of a table is, None where none is under way."""
    lines = fetch_all(connection, _READ, [table.name])
    if not lines:
        return None
    shards = [
        Shard(number, bytes(bounds), Copied(*counts) if copied else None)
        for *_, number, bounds, copied, documents, rows, rejects, typed, newest, found in lines
        for counts in [(documents, rows, rejects, typed, newest, found)]
    ]
    plan_id, digest, source_clock, documents_expected, whole = lines[0][:5]
    return ShardPlan(plan_id, digest, source_clock, documents_expected, whole, shards)


def claim_shard(connection: Connection, table: Table, plan: ShardPlan, number: int) -> bool:
    """Claim a shard until the end of the transaction; False where it is there by now, or the plan is not any more.

    Raises:
        psycopg.errors.LockNotAvailable: another run copies it, for longer than the lock timeout.
    """
    return bool(fetch_all(connection, _CLAIM, [table.name, number, plan.plan_id]))


def note_copied(connection: Connection, table: Table, number: int, copied: Copied, run_id: str) -> None:
    """Note what a shard came to, in the transaction of its rows."""
    values = {
        "documents_read": copied.documents_read,
        "rows": copied.rows,
        "rejects": copied.rejects,
        "typed": copied.typed,
        "newest": copied.newest,
        "found": Jsonb(copied.found),
    }
    execute(connection, _NOTE, {"table": table.name, "number": number, "run": run_id, **values})


def forget_plan(connection: Connection, table: Table) -> None:
    """Forget the first load of a table."""
    execute(connection, _FORGET, [table.name])
