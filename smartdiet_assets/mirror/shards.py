"""The first load of a large collection in shards: planned, copied by whoever is at hand, and published by a run.

Every step leaves what it did behind, so whatever is killed, the next run of the table goes on with what is missing.
What was saved since the plan was made is found by its date, by the run that follows the publication at once: the stored
watermark is not later than the source's clock was then.

Here: when a load is one in shards, and the order of it. Not here: which ranges there are (`extract`), and what is done
to PostgreSQL (`load.shards`).
"""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, Unpack
from uuid import uuid4

from psycopg import Connection

from smartdiet_assets.errors import TooManyRejectsError, UndeclaredFieldsError
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load import bulk
from smartdiet_assets.load.beside import ALONE, Beside
from smartdiet_assets.load.execution import fetch_value
from smartdiet_assets.load.fragments import relations_of
from smartdiet_assets.load.limits import LOCK_TIMEOUT
from smartdiet_assets.load.opening import Load, open_load
from smartdiet_assets.load.protection import find_changes
from smartdiet_assets.load.records.fields import SeenFields, plan_fields
from smartdiet_assets.load.records.shards import Copied, Shard, ShardPlan
from smartdiet_assets.load.result import LoadResult, RowsLostError
from smartdiet_assets.load.run import conclude
from smartdiet_assets.load.shards.plan import abandon_plan, drop_plan, read_usable_plan, store_plan
from smartdiet_assets.load.shards.publishing import take_shards
from smartdiet_assets.load.write import Conclusion
from smartdiet_assets.mirror.run_options import RunOptions, plan_load_window
from smartdiet_assets.mirror.shared_reading import Member
from smartdiet_assets.mirror.sources.interface import RangeSource, Source
from smartdiet_assets.schema.drift import SeenField, compose_advice, list_fields
from smartdiet_assets.schema.model import Table

#: So many that a few of them at work are a small part, and so large that what each costs beside its documents is too.
_FEWEST_SHARDS = 48
_MOST_DOCUMENTS = 500_000
#: Two are what there is without a sample: one of nothing but the unusual, and one of the rest.
_FEWEST_RANGES = 3


class ShardsWanted(Exception):  # noqa: N818 - nothing is wrong
    """A load is to be one in shards: nothing of it is left."""


class CopyShards(Protocol):
    """Copies the missing shards of a first load, or raises."""

    def __call__(
        self, source: Source, connection: Connection, plan: ShardPlan, **options: Unpack[RunOptions]
    ) -> None: ...


def leave_to_shards(source: Source, load: Load, window: Window, *, wanted: bool) -> None:
    """Leave a first load of many documents to be one in shards; what is left of such a load is dropped otherwise.

    Raises:
        ShardsWanted: it is one.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    ranges, known = source.ranges, load.last_state.has_shards
    may_be = wanted and ranges is not None and _may_be_sharded(load, window)
    if may_be and ranges is not None and (known or ranges.count_all() > load.table.shard_documents):
        raise ShardsWanted
    if known:
        drop_plan(load.connection, load.table, load.schema_name)


def plan_in_shards(
    source: Source,
    connection: Connection,
    *,
    like: ShardPlan | None = None,
    beside: Beside = ALONE,
    **options: Unpack[RunOptions],
) -> ShardPlan | None:
    """Plan a first load, or find the plan to go on with; None where a run does without shards.

    Args:
        like: the plan of another table of the collection, whose ranges it is to have.
        beside: the related tables whose loads come first.

    Raises:
        ReadsAloneError: it cannot be planned before those.
        LoadConflictError, psycopg.Error, pymongo.errors.PyMongoError: see `mirror_table`.
    """
    # Read before the first document, as of any load.
    source_clock = source.fetch_clock()
    found: ShardPlan | None = None
    with suppress(ShardsWanted), _open_load(source, connection, beside, **options) as load:
        window = plan_load_window(load, options["request"], source_clock, options.get("global_date_threshold"))
        ranges = source.ranges
        if ranges is None or not _may_be_sharded(load, window):
            raise ShardsWanted
        digest = digest_declaration(load.table, ranges)
        found = read_usable_plan(load.connection, load.table, load.schema_name, digest)
        documents = ranges.count_all()
        if found is not None or documents <= load.table.shard_documents:
            raise ShardsWanted
        plan = like or _make_plan(ranges, source_clock, documents)
        if len(plan.shards) < _FEWEST_RANGES:
            raise ShardsWanted
        plan = replace(plan, digest=digest, shards=[replace(shard, copied=None) for shard in plan.shards])
        store_plan(load, plan)
        found = plan
    return found


def _make_plan(ranges: RangeSource, source_clock: datetime, documents: int) -> ShardPlan:
    bounds = ranges.plan_ranges(max(_FEWEST_SHARDS, documents // _MOST_DOCUMENTS))
    return ShardPlan(
        plan_id=str(uuid4()),
        digest="",
        source_clock=source_clock,
        documents_expected=documents,
        whole=ranges.is_better_whole(),
        shards=[Shard(number, encoded) for number, encoded in enumerate(bounds, 1)],
    )


def load_in_shards(
    source: Source,
    connection: Connection,
    copy: CopyShards,
    *,
    together: Member | None = None,
    **options: Unpack[RunOptions],
) -> "FirstLoad | None":
    """Load a table for the first time, in shards; None where that cannot be, or another run did.

    Args:
        together: the table among others of its collection, of which one at a time copies shards.

    Raises:
        LoadConflictError, psycopg.Error, pymongo.errors.PyMongoError: see `mirror_table`; the copied shards are kept.
        TooManyRejectsError, UndeclaredFieldsError: what was read may not be loaded; nothing of it is kept.
    """
    started = time.perf_counter()
    with together.take_turn() if together is not None else nullcontext():
        plan = plan_in_shards(source, connection, **options)
        if plan is None:
            return None
        if plan.missing:
            copy(source, connection, plan, **options)
    copied_at = time.perf_counter()
    first: FirstLoad | None = None
    try:
        with suppress(ShardsWanted), _open_load(source, connection, ALONE, **options) as load:
            window = plan_load_window(load, options["request"], plan.source_clock, options.get("global_date_threshold"))
            first = _publish(source, load, window)
            if first is None:
                raise ShardsWanted
    except (RowsLostError, TooManyRejectsError, UndeclaredFieldsError):
        # It would fail for ever by what was copied; read again, the documents may be better.
        abandon_plan(connection, source.table, options.get("lock_timeout", LOCK_TIMEOUT))
        raise
    if first is None:
        return None
    return replace(
        first,
        elapsed=time.perf_counter() - started,
        seconds={**first.load.seconds, "shards": copied_at - started},
    )


def _open_load(
    source: Source, connection: Connection, beside: Beside, **options: Unpack[RunOptions]
) -> AbstractContextManager[Load]:
    taken = ("lock_timeout", "on_stage", "bulk", "rekey")
    kept: dict[str, Any] = {name: value for name, value in options.items() if name in taken}
    return open_load(connection, source.schema, source.table, options["run_id"], beside=beside, **kept)


def _may_be_sharded(load: Load, window: Window) -> bool:
    """Tell whether a load reads all documents into an empty table, and the next one reads what changed."""
    table = load.table
    if not table.shard_documents or table.force_reimport or window != Window("full") or load.state.watermark:
        return False
    last = load.last_state
    if load.state.reimport and find_changes(table, last.protection, last.key_fingerprint):
        # What was taken out of it as it is protected otherwise now goes when all of it is there again, not before.
        return False
    empty = bulk.compose_is_empty(relations_of(table))
    return load.created or bool(fetch_value(load.connection, empty))


def digest_declaration(table: Table, ranges: RangeSource) -> str:
    """Compute a digest of the declaration, the key and the collection that a plan is good for.

    Args:
        table: as its schema has it (`load.structure.companion.place`).
    """
    key = table.pseudonyms.fingerprint if table.pseudonyms is not None else ""
    return hashlib.sha256(f"{table.code_version} {key} {ranges.identify()}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class FirstLoad:
    """What a first load in shards came to; see `MirrorResult`."""

    load: LoadResult
    elapsed: float
    seconds: Mapping[str, float]
    collapsed: int
    nulled: Counter[str]
    clamped: Counter[str]
    undeclared: tuple[SeenField, ...]


def _publish(source: Source, load: Load, window: Window) -> FirstLoad | None:
    """Publish what was copied, in the open transaction of a load: readers see all of the table or nothing.

    None, and the load is to be undone, where shards are missing or the plan is not good any more.

    Raises:
        UndeclaredFieldsError: documents have fields that no table declares, and that is to fail.
        TooManyRejectsError: more documents are rejected than the table allows.
    """
    ranges = source.ranges
    if ranges is None or not _may_be_sharded(load, window):
        return None
    plan = read_usable_plan(load.connection, load.table, load.schema_name, digest_declaration(load.table, ranges))
    if plan is None or plan.missing:
        return None
    found = [copied.found for copied in plan.copied]
    collection = load.table.mongo_collection
    seen = _join_seen(plan.copied)
    if seen is not None and seen.undeclared and source.schema.rules_of(collection).undeclared == "fail":
        advice = compose_advice(collection, seen.undeclared)
        raise UndeclaredFieldsError(load.table.name, collection, list_fields(seen.undeclared), advice)
    newest = max(filter(None, (copied.newest for copied in plan.copied)), default=None)
    end = Conclusion(
        watermark=min(newest, plan.source_clock) if newest else None,
        full=True,
        read_from=window.extend(None),
        little_left_out=seen.little_left_out if seen is not None else None,
    )
    result = conclude(load, take_shards(load, plan), end)
    drop_plan(load.connection, load.table, load.schema_name)
    if seen is not None:
        load.at_commit.extend(plan_fields(collection, seen, load.run_id))
    return FirstLoad(
        load=result,
        elapsed=0.0,
        seconds=result.seconds,
        collapsed=sum(one["collapsed"] for one in found),
        nulled=sum((Counter(one["nulled"]) for one in found), Counter()),
        clamped=sum((Counter(one["clamped"]) for one in found), Counter()),
        undeclared=tuple(seen.undeclared) if seen is not None else (),
    )


def _join_seen(copied: Sequence[Copied]) -> SeenFields | None:
    """Join which fields the documents of all shards have; None where nobody looked, or at no document."""
    parts = [one.found["seen"] for one in copied if one.found["seen"] is not None]
    # Of some another table looked at the fields.
    looked_at_all = all(one.found["seen"] is not None for one in copied if one.documents_read)
    if not parts:
        return None
    present = [part["present"] for part in parts if part["present"] is not None or part["lasting"] or part["passing"]]
    complete = present and looked_at_all and None not in present
    little = [part["little_left_out"] for part in parts if part["little_left_out"] is not None]
    return SeenFields(
        lasting=_join_fields([part["lasting"] for part in parts]),
        passing=_join_fields([part["passing"] for part in parts]),
        undeclared=_join_fields([part["undeclared"] for part in parts]),
        little_left_out=little[-1] if little else None,
        present=sorted(set().union(*present)) if complete else None,
    )


def _join_fields(parts: Sequence[Sequence[dict[str, Any]]]) -> list[SeenField]:
    """Add up how often fields were seen; where one was not, as many documents were looked at for it as for others."""
    looked_at = sum(max((line["looked_at"] for line in part), default=0) for part in parts)
    times: Counter[tuple[str, str]] = Counter()
    for line in (line for part in parts for line in part):
        times[line["path"], line["bson_type"]] += line["times"]
    return [SeenField(path, kind, seen, looked_at) for (path, kind), seen in sorted(times.items())]
