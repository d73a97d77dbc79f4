"""One server, and what the schema declares there, looked at: everything a run needs, before there is one.

Here: the order of the questions on each server, and what is left out where an earlier answer makes them idle: a
server that is away gives one complaint.

Each function yields a finding as soon as it is known, changes nothing, and raises nothing for a server's faults.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pymysql
from pymongo.errors import PyMongoError

from smartdiet_assets.doctor import mongo as mongo_server
from smartdiet_assets.doctor import postgres as postgres_server
from smartdiet_assets.doctor.clocks import judge_clock, measure_offset
from smartdiet_assets.doctor.collections import examine_collections, list_collections
from smartdiet_assets.doctor.leftovers import examine_leftovers
from smartdiet_assets.doctor.live_tables import examine_live_tables
from smartdiet_assets.doctor.matomo import MATOMO
from smartdiet_assets.doctor.matomo import fetch_facts as fetch_matomo_facts
from smartdiet_assets.doctor.matomo_tables import examine_matomo_tables
from smartdiet_assets.doctor.mongo import MONGODB
from smartdiet_assets.doctor.ssh import examine_ssh
from smartdiet_assets.errors import PermissionDeniedError, SmartdietError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.mirror.sources.interface import Server
from smartdiet_assets.resources.access import choose_prefix
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.matomo_errors import translate_matomo_error
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.resources.postgres_rights import POSTGRES, fetch_facts
from smartdiet_assets.resources.postgres_server import STATE_SCHEMA
from smartdiet_assets.resources.postgres_watch import WatchedConnection
from smartdiet_assets.schema import sources
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.sources import SourceKind

Resource = MongoResource | PostgresResource | MatomoResource
#: What is not asked of a server that cannot be used, or without a schema.
_REST = "the rest"
_AWAY = "Not examined: the server cannot be used."
_NO_SCHEMA = "Not examined: the schema file cannot be used."
#: Two clocks are not known to be nearer than this over a network.
_LEAST_CLOCK_LIMIT = timedelta(seconds=5)


def examine_mongodb(mongo: MongoResource, schema: Schema | None) -> Iterator[Finding]:
    """Examine MongoDB and the declared collections; None where there is no schema to examine them by."""
    try:
        yield from _examine_mongodb(mongo, schema)
    except (SmartdietError, PyMongoError) as error:
        fault = translate_mongo_error(error, f"reading {mongo.describe()}", prefix=choose_prefix(mongo.access))
        yield MONGODB.failed("connection", _say(fault))
        yield MONGODB.skipped(_REST, _AWAY)


def examine_matomo(matomo: MatomoResource, schema: Schema | None) -> Iterator[Finding]:
    """Examine Matomo's database and the declared tables; None where there is no schema to examine them by."""
    try:
        yield from _examine_matomo(matomo, schema)
    except (SmartdietError, pymysql.Error) as error:
        yield MATOMO.failed("connection", _say(translate_matomo_error(error, f"reading {matomo.describe()}")))
        yield MATOMO.skipped(_REST, _AWAY)


def examine_postgres(
    postgres: PostgresResource,
    schema: Schema | None,
    servers: Mapping[str, Server] | None = None,
    *,
    configured: Collection[str] = (sources.MONGODB.name, sources.MATOMO.name),
) -> Iterator[Finding]:
    """Examine PostgreSQL and the live tables.

    Args:
        schema: None where there is none to examine the tables by.
        servers: the sources that answer, by the name of their kind. They say which columns the tables have that
            mirror all of a source's; without them, those are left out.
        configured: the kinds of source that are mirrored here, by their names; the tables of others are left out.
    """
    try:
        connection = postgres.connect()
    except SmartdietError as error:
        statements = postgres_server.compose_access(error, postgres.spell("database"), postgres.spell("user"))
        yield POSTGRES.failed("connection", _say(error), statements=statements)
        yield POSTGRES.skipped(_REST, _AWAY)
        return
    try:
        with connection:
            yield from _examine_postgres(postgres, connection, schema, servers or {}, configured)
    except (SmartdietError, psycopg.Error) as error:
        fault = translate_postgres_error(error, f"asking {postgres.describe()}", prefix=choose_prefix(postgres.access))
        yield POSTGRES.failed("connection", _say(fault))
        yield POSTGRES.skipped(_REST, _AWAY)


def examine_source(kind: SourceKind, server: Server, schema: Schema | None) -> Iterator[Finding]:
    """Examine the server of a kind of source and what is declared of it, as far as the kind has more than its check."""
    if examine := EXAMINED.get(kind):
        yield from examine(server, schema)
        return
    part = Part(kind.name)
    tables = schema.list_tables(kind) if schema else []
    check = find_opener(kind).check(server, tables)
    yield (
        part.passed("connection", f"{kind.server} answers.") if check.ok else part.failed("connection", check.sentence)
    )


def examine_way(part: Part, resource: Resource, examine: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Examine the SSH server first where a server is reached through one; what is behind one that fails is left out."""
    try:
        resource.require_usable()
    except SmartdietError as error:
        yield part.failed("settings", _say(error))
        yield part.skipped(_REST, _AWAY)
        return
    usable = True
    for finding in examine_ssh(resource.access, resource.connect_timeout):
        usable &= not finding.failed
        yield finding
    if usable:
        yield from examine()
    else:
        yield skip_behind(part)


def skip_behind(part: Part) -> Finding:
    """Leave out a server behind an SSH server that cannot be used."""
    return part.skipped("connection", "Not examined: the SSH server in front of it cannot be used.")


def find_clock_limit(schema: Schema | None) -> timedelta:
    """Find how far a clock may be from ours: half the shortest overlap, so that no two clocks are further apart."""
    tables = schema.tables.values() if schema else ()
    overlaps = [table.overlap for table in tables if table.incremental == "dates"]
    return max(min(overlaps, default=timedelta()) / 2, _LEAST_CLOCK_LIMIT)


def _examine_mongodb(mongo: MongoResource, schema: Schema | None) -> Iterator[Finding]:
    facts = mongo_server.fetch_facts(mongo)
    facts = replace(facts, user=mongo.spell("url", facts.user)) if facts.user else facts
    login = f"as the user {facts.user}" if facts.user else "without a login"
    if facts.user is None:
        login = "and does not tell who we are there"
    yield MONGODB.passed("connection", f"{mongo.describe()} answers, {login}.")
    yield mongo_server.judge_server(facts)
    yield judge_clock(MONGODB, measure_offset(facts.clock, facts.asked, facts.answered), find_clock_limit(schema))
    grant = mongo_server.compose_grant(facts, mongo.spell("database"))
    try:
        collections = mongo_server.fetch_collections(mongo)
    except PermissionDeniedError as error:
        yield MONGODB.failed("collections", _say(error), statements=grant)
        yield MONGODB.skipped(_REST, "Not examined: the database cannot be read.")
        return
    if not collections:
        yield MONGODB.failed(
            "collections",
            f"{mongo.describe()} has no database {mongo.spell('database')}, or one without collections that the user "
            "may read: check MONGODB_DATABASE and the user's roles.",
            statements=grant,
        )
        yield MONGODB.skipped(_REST, "Not examined: there is no collection.")
    elif schema is None:
        yield MONGODB.skipped(_REST, _NO_SCHEMA)
    elif list_collections(schema):
        yield from examine_collections(
            mongo.read, mongo.database, schema, collections, grant, seconds=mongo.server_selection_timeout
        )
        if not mongo.reads_majority:
            yield MONGODB.warned(
                "read concern",
                "The server does not offer readConcern majority: writes that are rolled back later may be mirrored.",
            )


def _examine_matomo(matomo: MatomoResource, schema: Schema | None) -> Iterator[Finding]:
    with matomo.connect() as connection:
        # Questions to the catalogue: who does not answer them soon is away.
        connection._read_timeout = matomo.connect_timeout
        facts = fetch_matomo_facts(matomo, connection)
        facts = replace(facts, account=matomo.spell("user", facts.account))
        yield MATOMO.passed("connection", f"{matomo.describe()} answers: {facts.version}, as {facts.account}.")
        yield judge_clock(MATOMO, measure_offset(facts.clock, facts.asked, facts.answered), find_clock_limit(schema))
        if schema is None:
            yield MATOMO.skipped(_REST, _NO_SCHEMA)
            return
        yield from examine_matomo_tables(
            connection,
            schema.list_tables(sources.MATOMO),
            prefix=matomo.table_prefix,
            database=matomo.database,
            account=facts.account,
        )


def _examine_postgres(
    postgres: PostgresResource,
    connection: Connection,
    schema: Schema | None,
    servers: Mapping[str, Server],
    configured: Collection[str],
) -> Iterator[Finding]:
    # A question that is refused must not end those after it. Who does not answer one to the catalogue soon is away.
    connection.autocommit = True
    assert isinstance(connection, WatchedConnection)
    connection.stall_timeout = postgres.connect_timeout
    asked = datetime.now(UTC)
    facts = postgres.spell_facts(fetch_facts(connection, STATE_SCHEMA, postgres.target_schema))
    offset = measure_offset(facts.clock, asked, datetime.now(UTC))
    yield POSTGRES.passed("connection", f"{postgres.describe()} answers, as the user {facts.user_name}.")
    yield from postgres_server.judge_server(facts, STATE_SCHEMA)
    yield judge_clock(POSTGRES, offset, find_clock_limit(schema))
    if facts.schema_name is None:
        first = ", which the first run makes" if facts.target_schema and facts.may_create_schema else ""
        yield POSTGRES.skipped(_REST, f"Not examined: no schema for the tables{first}.")
        return
    if schema is None:
        yield POSTGRES.skipped(_REST, _NO_SCHEMA)
        return
    whole, unknown = _extend_tables(schema, servers)
    for kind, names in unknown.items():
        if kind.name in configured:
            sentence = f"Not examined: {', '.join(names)}, whose columns are {kind.title}'s, which cannot be asked."
            yield POSTGRES.skipped("tables", sentence)
    tables = [
        table
        for name, table in whole.tables.items()
        if table.source in configured and name not in unknown.get(table.source_kind, ())
    ]
    yield from examine_live_tables(connection, whole, tables, facts.user_name)
    yield from examine_leftovers(connection, schema)


def _extend_tables(schema: Schema, servers: Mapping[str, Server]) -> tuple[Schema, dict[SourceKind, list[str]]]:
    """Add the columns that only a source knows; also name the tables, by kind, of which it could not be asked."""
    extended: dict[str, Table] = {}
    unknown: dict[SourceKind, list[str]] = {}
    for name, table in schema.tables.items():
        if not table.takes_all_columns:
            continue
        opener, server = find_opener(table.source_kind), servers.get(table.source)
        try:
            if server is not None:
                with opener.open(server, schema, table, batch_size=1) as source:
                    extended[name] = source.table
        except Exception as error:
            # Examining the source says so.
            if not isinstance(opener.translate(error, table), SmartdietError):
                raise
        if name not in extended:
            unknown.setdefault(table.source_kind, []).append(name)
    return schema.model_copy(update={"tables": {**schema.tables, **extended}}), unknown


def _say(error: SmartdietError) -> str:
    return f"{str(error).rstrip('.')}."


#: How the server of each kind of source is examined: a new kind's function is added here.
EXAMINED: dict[SourceKind, Callable[[Any, Schema | None], Iterator[Finding]]] = {
    sources.MONGODB: examine_mongodb,
    sources.MATOMO: examine_matomo,
}
