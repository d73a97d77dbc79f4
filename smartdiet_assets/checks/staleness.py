"""Which tables are far behind their sources, without counting a row: for who asks each few minutes.

A table that has not run for long may be as it should be, as nothing changed: only its source tells. Here: choosing the
tables to ask about, and asking. Not here: what a check says of them (`checks.judgement`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta

from smartdiet_assets.checks.documents import fetch_source_facts
from smartdiet_assets.checks.facts import TargetFacts
from smartdiet_assets.checks.judgement import judge_freshness
from smartdiet_assets.load.records.inspection import TableMetrics
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.model import CollectionRules, Schema, Table

#: A mirror is stale that is older than `max_delay` so many times.
TIMES = 2


def choose_resting(schema: Schema, metrics: Sequence[TableMetrics]) -> list[TableMetrics]:
    """Choose the tables whose last run is so long ago that they may be stale. Pure."""
    return [
        one
        for one in metrics
        if one.lag is not None
        and timedelta(seconds=one.lag) > TIMES * find_max_delay(schema.tables[one.table_name], schema)
    ]


def find_max_delay(table: Table, schema: Schema) -> timedelta:
    """Find how old the oldest change of a table may be."""
    return schema.collections.get(table.mongo_collection, CollectionRules()).max_delay


def find_stale(schema: Schema, resting: Sequence[TableMetrics], database: MongoDatabase) -> Mapping[str, str]:
    """Find which of the tables that have not run for long are stale; a sentence for each that is.

    Raises:
        pymongo.errors.PyMongoError: MongoDB refused or was lost.
    """
    tables = [schema.tables[one.table_name] for one in resting]
    target = {
        one.table_name: TargetFacts(
            mirrored=True,
            watermark=one.watermark.astimezone(UTC).replace(tzinfo=None) if one.watermark else None,
            last_run=one.last_run.astimezone(UTC).replace(tzinfo=None) if one.last_run else None,
        )
        for one in resting
    }
    clock = fetch_server_clock(database)
    source = fetch_source_facts(database, schema, tables, target, clock=clock, count=())
    stale = {}
    for table in tables:
        outcome = judge_freshness(table, target[table.name], source[table.name])
        ages = [outcome.numbers.get(key) or 0.0 for key in ("delay_seconds", "unknown_for_seconds")]
        if max(age for age in ages if isinstance(age, float)) > TIMES * find_max_delay(table, schema).total_seconds():
            stale[table.name] = outcome.sentence
    return stale
