"""One tick of the sensor on change volume: the collections are measured, and a run is asked for, or none and why.

Here: measuring the collections, asking the instance about the runs asked for before, and what a tick answers. Not here:
the counting (`extract.mongodb.change_volume`), the thresholds (`assets.change_decisions`), the sensor
(`assets.sensors`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pymongo.database import Database

from smartdiet_assets.assets.change_cursor import ChangeCursor, CollectionMemory, RunAsked, compose_run_key
from smartdiet_assets.assets.change_decisions import (
    Change,
    CollectionState,
    RunOutcome,
    Verdict,
    compose_sentences,
    judge_change,
    judge_request,
    measure_cap,
    remember,
    shorten,
)
from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.extract.mongodb.change_volume import (
    compose_create_index,
    count_changes,
    find_unindexed_fields,
    list_date_fields,
)
from smartdiet_assets.load.records.inspection import SyncPosition
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.schema.model import Schema, Table

#: The collections a run was asked for, and why; a line or two of Dagit's list of runs.
REASON_TAG = "smartdiet/reason"
_LONGEST_TAG = 100
#: How Dagster labels the runs that a sensor asks for.
_RUN_KEY_TAG = "dagster/run_key"
#: For counting one collection. With an index it takes milliseconds; without one this is what a tick may cost.
_SECONDS_TO_COUNT = 2.0


@dataclass(frozen=True, slots=True)
class _Due:
    """A collection for which a run is asked: why, and with which attempt."""

    state: CollectionState
    change: Change
    verdict: Verdict


class Tick:
    """One evaluation: what was measured of each collection, and the answer that follows."""

    def __init__(
        self,
        schema: Schema,
        names: MirrorNames,
        tables: Collection[Table],
        cursor: ChangeCursor,
        context: dg.SensorEvaluationContext,
        partition: str,
    ) -> None:
        self._schema = schema
        self._names = names
        self._tables: dict[str, list[Table]] = {}
        for table in tables:
            self._tables.setdefault(table.mongo_collection, []).append(table)
        self._context = context
        self._cursor = cursor
        self._partition = partition
        self._now = datetime.now(UTC).replace(tzinfo=None)
        self._states: dict[str, CollectionState] = {}
        self._memories: dict[str, CollectionMemory] = {}
        #: By run key: one run may have been asked for several collections.
        self._outcomes: dict[str, tuple[RunOutcome, datetime | None]] = {}
        self._unindexed: dict[str, tuple[str, ...]] = dict(cursor.unindexed)

    def measure(self, database: Database[dict[str, Any]], positions: Mapping[str, SyncPosition]) -> None:
        """Ask the source about every collection.

        Args:
            positions: of each table that ever ran, where it stands.

        Raises:
            PyMongoError: MongoDB refused, was lost, or took longer than the tick may.
        """
        clock = fetch_server_clock(database)
        check_all = self._started_anew
        for collection, tables in self._tables.items():
            fields = list_date_fields(tables)
            if check_all or collection in self._unindexed:
                self._find_unindexed(database, collection, fields)
            memory = self._cursor.collections.get(collection, CollectionMemory())
            state = self._measure_collection(database, collection, fields, positions, memory, clock)
            if state.uncounted and collection not in self._unindexed:
                self._find_unindexed(database, collection, fields)
            self._states[collection] = state
            self._memories[collection] = remember(memory, state, self._find_outcome(memory.asked)[0])

    def answer(self) -> dg.SensorResult:
        """Ask for one run where collections are due, or skip with the numbers; the cursor either way."""
        changes = {name: judge_change(state, self._memories[name]) for name, state in self._states.items()}
        due, waiting = self._sort_out(changes)
        if due:
            request = self._compose_request(due)
            return dg.SensorResult(run_requests=[request], cursor=self._dump(told=False))
        lines = ["Nothing is due." if not waiting else "Nothing is asked for now.", *waiting]
        lines += compose_sentences({name: (change, self._states[name].rules) for name, change in changes.items()})
        tell = self._started_anew or self._unindexed != dict(self._cursor.unindexed)
        return dg.SensorResult(
            skip_reason="\n".join([*lines, *(self._describe_unindexed() if tell else [])]), cursor=self._dump(told=tell)
        )

    @property
    def _started_anew(self) -> bool:
        """Whether the sensor was started since its operator was last told about indexes."""
        return self._cursor.started is None or self._cursor.started != (self._context.last_sensor_start_time or 0.0)

    def _find_unindexed(self, database: Database[dict[str, Any]], collection: str, fields: tuple[str, ...]) -> None:
        found = find_unindexed_fields(database, collection, fields)
        if found:
            self._unindexed[collection] = found
        else:
            self._unindexed.pop(collection, None)

    def _measure_collection(
        self,
        database: Database[dict[str, Any]],
        collection: str,
        fields: tuple[str, ...],
        positions: Mapping[str, SyncPosition],
        memory: CollectionMemory,
        clock: datetime,
    ) -> CollectionState:
        tables, rules = self._tables[collection], self._schema.collections[collection]
        state = CollectionState(
            rules=rules,
            partition=self._partition,
            clock=clock,
            never_ran=tuple(table.name for table in tables if table.name not in positions),
        )
        if state.never_ran:
            return state
        # Dates tell nothing of the tables that are read whole each time, nor of what a stream tells beside them
        # (deletions), and a stream's position is lost when it is left for long: those run after `max_delay` at the
        # latest.
        dated = [table for table in tables if table.incremental != "none"]
        uncounted = "its dates say nothing" if len(dated) < len(tables) else ""
        if rules.capture == "change_stream":
            uncounted = "its change stream may tell more than dates"
        watermarks = [positions[table.name].watermark for table in dated]
        known = [watermark for watermark in watermarks if watermark is not None]
        state = replace(
            state,
            watermark=min(known) if known and len(known) == len(watermarks) else None,
            last_run=min(positions[t.name].last_run for t in tables).astimezone(UTC).replace(tzinfo=None),
            uncounted=uncounted,
        )
        if dated and (state.watermark is None or rules.sync_after.share is not None):
            state = replace(state, documents=database[collection].estimated_document_count())
        if state.watermark is None:
            return state
        volume = count_changes(
            database,
            collection,
            fields,
            since=state.watermark,
            clock=clock,
            cap=measure_cap(rules, state.documents, memory.known_ahead),
            seconds=_SECONDS_TO_COUNT,
        )
        if volume is None:
            uncounted = f"it cannot be counted in {_SECONDS_TO_COUNT:g} s"
        elif volume.untold and not uncounted:
            uncounted = "the dates of some documents are no dates and say nothing"
        return replace(state, volume=volume, uncounted=uncounted)

    def _find_outcome(self, asked: RunAsked | None) -> tuple[RunOutcome, datetime | None]:
        """Find how the run asked for ended, and when (naive UTC)."""
        if asked is None:
            return "unknown", None
        if asked.run_key not in self._outcomes:
            self._outcomes[asked.run_key] = self._fetch_outcome(asked)
        return self._outcomes[asked.run_key]

    def _fetch_outcome(self, asked: RunAsked) -> tuple[RunOutcome, datetime | None]:
        filters = dg.RunsFilter(tags={_RUN_KEY_TAG: asked.run_key})
        records = self._context.instance.get_run_records(filters, limit=1)
        if not records:
            return "unknown", None
        ended = records[0].end_time
        finished = None if ended is None else datetime.fromtimestamp(ended, UTC).replace(tzinfo=None)
        return ("success" if records[0].dagster_run.is_success else "failure"), finished

    def _sort_out(self, changes: Mapping[str, Change]) -> tuple[dict[str, _Due], list[str]]:
        """Tell the collections to ask a run for from those that wait, with a line for each of these."""
        due: dict[str, _Due] = {}
        waiting: list[str] = []
        for name, change in changes.items():
            if not change.reason:
                continue
            asked = self._memories[name].asked
            verdict = judge_request(self._states[name], asked, *self._find_outcome(asked), self._now)
            if verdict.waits:
                waiting.append(f"{name}: {change.reason}, but {verdict.waits}.")
            else:
                due[name] = _Due(self._states[name], change, verdict)
        return due, waiting

    def _compose_request(self, due: Mapping[str, _Due]) -> dg.RunRequest:
        run_key = compose_run_key(
            {name: (one.state.base, one.state.position, one.verdict.attempt) for name, one in due.items()}
        )
        for name, one in due.items():
            asked = RunAsked(
                run_key=run_key,
                base=one.state.base,
                position=one.state.position,
                attempt=one.verdict.attempt,
                asked_at=self._now,
                ahead=one.state.volume.ahead if one.state.volume else 0,
            )
            self._memories[name] = self._memories[name].model_copy(update={"asked": asked})
        tables = self._list_tables(due)
        return dg.RunRequest(
            run_key=run_key,
            partition_key=self._partition,
            asset_selection=self._names.list_keys(tables),
            asset_check_keys=[],
            tags={
                **build_tags(self._schema, tables, mirror=self._names.name),
                REASON_TAG: shorten(
                    "; ".join(f"{name}: {one.change.reason}" for name, one in due.items()), _LONGEST_TAG
                ),
            },
        )

    def _list_tables(self, collections: Collection[str]) -> list[str]:
        """List the tables of collections and all that depend on them, in run order."""
        found: set[str] = set()
        stack = [table.name for name in collections for table in self._tables[name]]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack.extend(self._schema.children(name))
        return [name for name in self._schema.tables if name in found]

    def _describe_unindexed(self) -> list[str]:
        if not self._unindexed:
            return []
        statements = [compose_create_index(name, field) for name, fields in self._unindexed.items() for field in fields]
        return [
            f"Without an index on their dates, these collections are scanned at each tick, {_SECONDS_TO_COUNT:g} s at "
            "most each. In Mongo's shell:",
            *(f"{statement};" for statement in statements),
        ]

    def _dump(self, *, told: bool) -> str:
        return ChangeCursor(
            started=(self._context.last_sensor_start_time or 0.0) if told else self._cursor.started,
            unindexed=self._unindexed if told else self._cursor.unindexed,
            collections={name: memory for name, memory in self._memories.items() if memory != CollectionMemory()},
        ).dump()
