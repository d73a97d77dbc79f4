"""One run of one table: extract, transform and load called in order, in one PostgreSQL transaction."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Unpack

from psycopg import Connection
from psycopg import Error as PostgresError
from psycopg.pq import TransactionStatus
from pymongo.database import Database

from smartdiet_assets.errors import UndeclaredFieldsError
from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.load.beside import ALONE, ReadsAloneError
from smartdiet_assets.load.bulk import check_beside
from smartdiet_assets.load.changes import ChangedDocuments
from smartdiet_assets.load.conflicts.refusal import is_refusal
from smartdiet_assets.load.intake import Intake
from smartdiet_assets.load.limits import RETRY_LIMIT
from smartdiet_assets.load.opening import Load, LoadOptions, open_load, renew_load
from smartdiet_assets.load.records.fields import plan_fields
from smartdiet_assets.load.records.forgotten import plan_forgotten
from smartdiet_assets.load.records.sync_state import fetch_newest_key
from smartdiet_assets.load.removal.cascade import Removal
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.load.run import conclude
from smartdiet_assets.load.same_again import conclude_unchanged, is_same_again
from smartdiet_assets.load.write import Conclusion
from smartdiet_assets.mirror.capture import Capture, capture_changes
from smartdiet_assets.mirror.reading import Reading
from smartdiet_assets.mirror.run_options import RunOptions, plan_load_window
from smartdiet_assets.mirror.shard_copy import copy_one_by_one
from smartdiet_assets.mirror.shards import (
    CopyShards,
    FirstLoad,
    ShardsWanted,
    leave_to_shards,
    load_in_shards,
)
from smartdiet_assets.mirror.shared_reading import Member
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.mirror.sources.mongodb import open_collection
from smartdiet_assets.schema.drift import SeenField, compose_advice, list_fields
from smartdiet_assets.schema.model import Schema, Table


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """What one run of one table did. Counts are rows unless they say documents.

    `elapsed` is the whole run in seconds, `seconds` the part of each stage: capture (from the
    change stream), read, transform, and those of the load.
    `unmirrored_columns` are those the source has beyond the table's. `collapsed` counts items that are no rows, as
    another one of their document has the same key. `nulled` and `clamped` count by column the values
    of the documents read that the column could not hold, and that its `on_invalid` made NULL, or made fit.
    `capture` is what the change stream told, None for a table that is not captured from it. `read_from` is the date
    from which on every document was read by this run and those before, None where that is not known. `database` and
    `schema_name` say where in PostgreSQL the table is. `undeclared` are the fields that no table declares, of those
    documents that were looked at.
    """

    table: str
    window: Window
    load: LoadResult
    documents_read: int
    watermark: datetime | None
    elapsed: float
    seconds: dict[str, float] = field(default_factory=dict)
    unmirrored_columns: tuple[str, ...] = ()
    collapsed: int = 0
    nulled: Mapping[str, int] = field(default_factory=dict)
    clamped: Mapping[str, int] = field(default_factory=dict)
    capture: Capture | None = None
    read_from: datetime | None = None
    database: str = ""
    schema_name: str = ""
    undeclared: tuple[SeenField, ...] = ()


def mirror_table(
    schema: Schema,
    table: Table,
    mongo: Database[dict[str, Any]],
    connection: Connection,
    *,
    batch_size: int = 5000,
    source_clock: datetime | None = None,
    **options: Unpack[RunOptions],
) -> MirrorResult:
    """Bring one table up to date with its collection, all of it or nothing.

    Args:
        schema: the declared tables; the table's missing ancestors are created empty.
        table: the table to mirror.
        mongo: the source database.
        connection: a PostgreSQL connection outside a transaction; it is used for one transaction.
        batch_size: documents per batch.
        source_clock: a reading of MongoDB's clock from before, naive UTC, which the watermark will not pass; by default
            it is read now.

    Raises:
        LoadConflictError: another run had the table for longer than `lock_timeout`; nothing was written.
        psycopg.Error, pymongo.errors.PyMongoError: a server refused or was lost; nothing was written.
        SchemaMismatchError: the live table is not as declared; nothing was written.
        TooManyRejectsError: more documents are rejected than the table allows; nothing was written.
        PositionLostError: the table's change stream cannot be read on from where it is; nothing was written.
        UndeclaredFieldsError: documents have fields that no table declares, and that is to fail; nothing was written.
    """
    with open_collection(schema, table, mongo, batch_size, source_clock) as source:
        return mirror_source(source, connection, **options)


def mirror_source(
    source: Source,
    connection: Connection,
    *,
    together: Member | None = None,
    copy: CopyShards = copy_one_by_one,
    **options: Unpack[RunOptions],
) -> MirrorResult:
    """Bring one table up to date with its source, all of it or nothing; see `mirror_table`.

    Where PostgreSQL refuses a row for its values, all is read once more, and each row is tried. A first load of many
    documents is one in shards: there, a run that fails keeps the shards it has copied.

    Args:
        together: the table among others of its collection that are mirrored side by side.
        copy: copies the missing shards of such a load.

    Raises:
        KeptBackError: one of the others, to which the table points, failed.
    """
    careful = False
    while True:
        try:
            with together.take_part() if together is not None else nullcontext() as member:
                try:
                    return _mirror_source(
                        source, connection, member=member, in_shards=not careful, careful=careful, **options
                    )
                except ShardsWanted:
                    if member is not None:
                        # By itself, after its parents.
                        raise
                    first = load_in_shards(source, connection, copy, together=together, **options)
                    return _follow(first, source, connection, **options)
        except (ReadsAloneError, ShardsWanted):
            pass
        except PostgresError as error:
            if careful or not is_refusal(error) or connection.info.transaction_status != TransactionStatus.IDLE:
                raise
            careful = True


def _follow(
    first: FirstLoad | None, source: Source, connection: Connection, **options: Unpack[RunOptions]
) -> MirrorResult:
    """Read what was saved since a first load was planned; without one, as it could not be, everything."""
    if first is None:
        return _mirror_source(source, connection, member=None, in_shards=False, **options)
    options["request"] = WindowRequest("newest", since=options["request"].since)
    then = _mirror_source(source, connection, member=None, in_shards=False, **options)
    return replace(
        then,
        window=Window("full"),
        load=first.load.followed_by(then.load),
        documents_read=first.load.documents_read + then.documents_read,
        elapsed=first.elapsed + then.elapsed,
        seconds=dict(Counter(first.seconds) + Counter(then.seconds)),
        collapsed=first.collapsed + then.collapsed,
        nulled=dict(first.nulled + Counter(then.nulled)),
        clamped=dict(first.clamped + Counter(then.clamped)),
        undeclared=then.undeclared or first.undeclared,
    )


def _mirror_source(
    source: Source,
    connection: Connection,
    *,
    member: Member | None,
    in_shards: bool,
    careful: bool = False,
    run_id: str,
    request: WindowRequest,
    global_date_threshold: date | None = None,
    retry_limit: int = RETRY_LIMIT,
    **options: Unpack[LoadOptions],
) -> MirrorResult:
    started = time.perf_counter()
    schema, table = source.schema, source.table
    # Read before the first document: whatever changes from here on is dated at or after it, and read again next time.
    source_clock = source.fetch_clock()
    with open_load(connection, schema, table, run_id, careful=careful, beside=member or ALONE, **options) as load:
        window = plan_load_window(load, request, source_clock, global_date_threshold)
        leave_to_shards(source, load, window, wanted=in_shards)
        truncates = table.truncate_before_import and window.reads_everything
        if member is not None:
            _take_place(member, load, window, truncates)
        source.leave_out(load.forgotten)
        source.look_at_fields(request.kind == "full", load.state.little_left_out)
        before_capture = time.perf_counter()
        changed = ChangedDocuments(connection, table.pseudonyms if table.hides_ids else None)
        capture, deletions = capture_changes(source, load, changed, window, source_clock)
        capture_seconds = {"capture": time.perf_counter() - before_capture} if capture else {}
        after_key = fetch_newest_key(connection, load.table) if window.by_key else None
        repeatable = window.kind in ("incremental", "change_stream") and not (capture and capture.deleted)
        with Intake(load, truncate=truncates, question=f"{window} {after_key}" if repeatable else None) as intake:
            reading = Reading(source, intake, window, member)
            reading.read(after_key, changed)
            if member is not None:
                load = _await_parents(member, load, intake)
            reading.read_again(retry_limit)
            end = _build_conclusion(source, load, reading, window, source_clock, capture, deletions)
            result, undeclared = _conclude(source, load, intake, reading, end)
    reading.report("%s: %d documents mirrored", finished=True)
    return MirrorResult(
        table=table.name,
        window=window,
        load=result,
        documents_read=reading.documents_read,
        watermark=result.watermark,
        elapsed=time.perf_counter() - started,
        seconds={**capture_seconds, **reading.seconds, **result.seconds},
        unmirrored_columns=source.unmirrored_columns,
        collapsed=reading.collapsed,
        nulled=dict(reading.nulled),
        clamped=dict(reading.clamped),
        capture=capture,
        read_from=end.read_from,
        database=connection.info.dbname,
        schema_name=load.schema_name,
        undeclared=undeclared,
    )


def _take_place(member: Member, load: Load, window: Window, truncates: bool) -> None:
    """Have an opened load be beside the others.

    Raises:
        ReadsAloneError: it cannot be.
    """
    if window.kind == "full" and not load.created:
        check_beside(load, truncates=truncates)
    member.note_open()


def _await_parents(member: Member, load: Load, intake: Intake) -> Load:
    """Wait until the loads of the parents have committed; give the load as it is then."""
    if member.await_parents() or (load.created and member.above):
        load = renew_load(load)
        intake.renew(load)
    return load


def _conclude(
    source: Source, load: Load, intake: Intake, reading: Reading, end: Conclusion
) -> tuple[LoadResult, tuple[SeenField, ...]]:
    """Conclude the load, and store which fields were seen; give those that no table declares too.

    Raises:
        UndeclaredFieldsError: there are some, and that is declared to fail.
    """
    if is_same_again(load, intake, end):
        return conclude_unchanged(load, intake, end), ()
    reading.read_contested()
    if load.forgotten is not None and load.forgotten.spread:
        load.at_commit.append(plan_forgotten(load.table.name, load.forgotten.salt, load.forgotten.spread))
    seen, collection = source.list_fields(), source.table.mongo_collection
    if seen is None:
        return conclude(load, intake.close(reading.documents_read), end), ()
    if seen.undeclared and source.schema.rules_of(collection).undeclared == "fail":
        command = compose_advice(collection, seen.undeclared)
        raise UndeclaredFieldsError(source.table.name, collection, list_fields(seen.undeclared), command)
    end = replace(end, little_left_out=seen.little_left_out)
    result = conclude(load, intake.close(reading.documents_read), end)
    # The last thing the run does: other tables of the collection may write the same lines now.
    load.at_commit.extend(plan_fields(collection, seen, load.run_id))
    return result, tuple(seen.undeclared)


def _build_conclusion(
    source: Source,
    load: Load,
    reading: Reading,
    window: Window,
    source_clock: datetime,
    capture: Capture | None,
    deletions: Removal | None,
) -> Conclusion:
    table = source.table
    # Rows without dates are mirrored up to the moment of the run.
    newest = source_clock if table.incremental == "key" else reading.newest
    removes = source.removes_each_run and table.on_delete == "delete" and window.moves_watermark
    return Conclusion(
        watermark=min(newest, source_clock) if window.moves_watermark and newest else None,
        full=window.reads_everything,
        change_position=capture.position if capture else None,
        read_from=window.extend(load.state.read_from),
        source_keys=source.fetch_keys() if removes else None,
        deletions=deletions,
    )
