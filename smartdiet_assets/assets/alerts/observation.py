"""What is wrong now, whatever ran: the last results of the checks, rejects beyond their limit, and stale tables.

Here: reading the instance, the mirror's records and MongoDB, a few short questions a tick. Not here: runs (`runs`),
what is news (`decisions`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from smartdiet_assets.assets.alerts.decisions import forget_undeclared, note
from smartdiet_assets.assets.alerts.state import AlertState
from smartdiet_assets.assets.check_history import read_record
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.checks.outcome import AWAY
from smartdiet_assets.errors import (
    AuthenticationError,
    ForwardingFailedError,
    ServerUnreachableError,
    SmartdietError,
)
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import MONGODB

if TYPE_CHECKING:
    from smartdiet_assets.load.records.inspection import TableMetrics
    from smartdiet_assets.resources.mongo import MongoResource
    from smartdiet_assets.resources.postgres import PostgresResource

#: What the records tell at once, checks tell when they are evaluated.
_TOLD_BY_RECORDS = "rejects_under_limit"
#: A server that does not answer for so long is away.
_PATIENCE = timedelta(minutes=5)
#: MongoDB is asked that often about tables that have not run for long.
_BETWEEN_QUESTIONS = timedelta(minutes=5)
#: For all that is asked of MongoDB at a tick; Dagster gives a tick 60.
_SECONDS_FOR_MONGO = 20.0


def observe_checks(
    state: AlertState, instance: dg.DagsterInstance, checks: Mapping[dg.AssetCheckKey, str], now: datetime
) -> AlertState:
    """Note the last result of each check, by what it is called; one that was never evaluated says nothing."""
    names = {key: name for key, name in checks.items() if key.name != _TOLD_BY_RECORDS}
    state = forget_undeclared(state, "check", names.values(), now)
    wrong: dict[str, str] = {}
    right: set[str] = set()
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(names))
    for key, record in found.items():
        # A check that could not look says nothing; that a server is away is told by itself.
        if (last := read_record(record)) is None or AWAY in last.evaluation.metadata:
            continue
        if not last.evaluation.passed and last.evaluation.severity == dg.AssetCheckSeverity.ERROR:
            wrong[names[key]] = last.evaluation.description or "it says no more."
        else:
            right.add(names[key])
    return note(state, "check", wrong, right, now)


def observe_records(
    state: AlertState,
    schema: Schema,
    names: MirrorNames,
    tables: Collection[str],
    postgres: "PostgresResource",
    now: datetime,
) -> "tuple[AlertState, Sequence[TableMetrics]]":
    """Note which tables have more rejects than they may; also give what the records know of each table."""
    import psycopg

    from smartdiet_assets.load.records.inspection import fetch_metrics
    from smartdiet_assets.resources.postgres_errors import translate_postgres_error

    try:
        with postgres.connect() as connection:
            metrics = fetch_metrics(connection, list(tables))
    except (SmartdietError, psycopg.Error) as error:
        fault = translate_postgres_error(error, f"reading how far the tables of the {postgres.describe()} are")
        return _note_away(state, names.spell_server("PostgreSQL"), names.spell(str(fault)), now), ()
    state = forget_undeclared(_note_answer(state, names.spell_server("PostgreSQL"), now), "rejects", tables, now)
    wrong = {}
    for one in metrics:
        limit, rejected = schema.tables[one.table_name].max_rejects, one.rejected or 0
        if limit is not None and not limit.allows(rejected, (one.rows or 0) + rejected):
            wrong[one.table_name] = (
                f"{rejected:,} documents are rejected, more than max_rejects ({limit}) allows: `smartdiet rejects"
                f" {one.table_name}` tells why; correct them, or the declaration."
            )
    right = {one.table_name for one in metrics} - wrong.keys()
    return note(state, "rejects", wrong, right, now), metrics


def observe_age(
    state: AlertState,
    schema: Schema,
    names: MirrorNames,
    metrics: "Sequence[TableMetrics]",
    mongo: "MongoResource",
    now: datetime,
) -> AlertState:
    """Note which tables are older than twice their `max_delay`; MongoDB is asked about those that may be."""
    import pymongo
    from pymongo.errors import PyMongoError

    from smartdiet_assets.checks.staleness import choose_resting, find_stale
    from smartdiet_assets.resources.mongo_errors import translate_mongo_error
    from smartdiet_assets.resources.mongo_hello import fetch_hello

    state = forget_undeclared(state, "stale", schema.tables, now)
    resting = choose_resting(schema, metrics)
    state = note(state, "stale", {}, {one.table_name for one in metrics} - {one.table_name for one in resting}, now)
    # Where rows come in all the time, as Matomo's, the source need not be asked.
    wrong = {
        one.table_name: f"its last run that was kept began {one.last_run:%Y-%m-%d %H:%M} UTC: run `smartdiet sync"
        f" {one.table_name}`, and see why the schedule did not."
        for one in resting
        if not schema.tables[one.table_name].source_kind.has_documents
    }
    state = note(state, "stale", wrong, (), now)
    resting = [one for one in resting if one.table_name not in wrong]
    server = names.spell_server(MONGODB.server)
    if not resting or (state.asked is not None and now - state.asked < _BETWEEN_QUESTIONS):
        return state
    state = state.model_copy(update={"asked": now})
    try:
        fetch_hello(mongo.client())
        with pymongo.timeout(_SECONDS_FOR_MONGO):
            stale = mongo.read(lambda database: find_stale(schema, resting, database), patiently=False)
    except (SmartdietError, PyMongoError) as error:
        fault = translate_mongo_error(error, "asking for changes")
        return _note_away(state, server, names.spell(str(fault)), now) if _tells_away(error, fault) else state
    return note(_note_answer(state, server, now), "stale", stale, {one.table_name for one in resting}, now)


def _tells_away(error: Exception, fault: SmartdietError) -> bool:
    """Whether an error, and what it was translated to, says that MongoDB is away."""
    from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

    # An answer that takes longer than it has here, as that of a large collection without an index, is no silence.
    if isinstance(error, PyMongoError) and error.timeout and not isinstance(error, ServerSelectionTimeoutError):
        return False
    return isinstance(fault, ServerUnreachableError | ForwardingFailedError | AuthenticationError)


def _note_away(state: AlertState, server: str, sentence: str, now: datetime) -> AlertState:
    since = state.away.get(server, now)
    away: Mapping[str, datetime] = {**state.away, server: since}
    state = state.model_copy(update={"away": away})
    return note(state, "server", {"": sentence}, (), now, name=server) if now - since >= _PATIENCE else state


def _note_answer(state: AlertState, server: str, now: datetime) -> AlertState:
    """Note that a server answered: it is not away, for whomever it was."""
    if server in state.away:
        left = {name: since for name, since in state.away.items() if name != server}
        state = state.model_copy(update={"away": left})
    return note(state, "server", {}, state.list_left("server", server), now, name=server)
