"""The sensor on change volume: it asks for a run of a collection's tables when enough of the collection changed.

Here: its definition, and what it needs to be at a tick: nobody running, and both databases. Not here: measuring the
collections and answering (`assets.change_tick`).
"""

from typing import TYPE_CHECKING

import dagster as dg

from smartdiet_assets.assets.change_cursor import ChangeCursor
from smartdiet_assets.assets.jobs import find_overlapping_run
from smartdiet_assets.assets.location import Mirror, read_location
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.dagster_private import UnresolvedAssetJobDefinition
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import MONGODB

if TYPE_CHECKING:
    from smartdiet_assets.load.records.inspection import SyncPosition

CHANGE_SENSOR = "change_sensor"
_SECONDS_BETWEEN_TICKS = 60
#: For all of a tick's questions to a MongoDB that answers; Dagster gives a tick 60.
_SECONDS_FOR_MONGO = 40.0


def build_change_sensor(
    schema: Schema,
    names: MirrorNames,
    job: UnresolvedAssetJobDefinition,
    partitions: dg.TimeWindowPartitionsDefinition,
) -> dg.SensorDefinition:
    """Build the sensor. It asks for one run at a time: of all collections that are due, and what depends on them."""
    tables = schema.list_tables(MONGODB)

    @dg.sensor(
        name=names.derive(CHANGE_SENSOR),
        job=job,
        required_resource_keys={names.name_source(MONGODB), names.postgres},
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Ask for a run of a collection's tables, and of what depends on them, when more documents changed than "
            "sync_after or the oldest change is older than max_delay; a skipped tick tells the numbers."
        ),
    )
    def change_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # A tick needs the drivers, loading the code location does not.
        import pymongo
        from pymongo.errors import PyMongoError

        from smartdiet_assets.assets.change_tick import Tick
        from smartdiet_assets.resources.mongo_errors import translate_mongo_error
        from smartdiet_assets.resources.mongo_hello import fetch_hello

        mirror = Mirror(names, read_location(context.repository_def))
        running = find_overlapping_run(context.instance, schema, mirror, [table.name for table in tables])
        if running is not None:
            return dg.SkipReason(
                f"The run {running.run_id[:8]} is {running.status.value.lower()}; nothing was counted."
            )
        cursor = ChangeCursor.parse(context.cursor)
        partition = partitions.get_last_partition_key()
        if partition is None:
            return dg.SkipReason("The first partition is in the future; see `partitions:` in the schema file.")
        tick = Tick(schema, names, tables, cursor, context, partition)
        mongo: MongoResource = getattr(context.resources, names.name_source(MONGODB))
        postgres: PostgresResource = getattr(context.resources, names.postgres)
        try:
            positions = _fetch_positions(postgres)
            database = mongo.open_database()
            fetch_hello(database.client)
            with pymongo.timeout(_SECONDS_FOR_MONGO):
                tick.measure(database, positions)
        except (SmartdietError, PyMongoError) as error:
            fault = translate_mongo_error(error, f"counting changes in {mongo.describe()}")
            return dg.SkipReason(names.spell(str(fault)))
        return tick.answer()

    return change_sensor


def _fetch_positions(postgres: PostgresResource) -> "dict[str, SyncPosition]":
    import psycopg

    from smartdiet_assets.load.records.inspection import fetch_positions
    from smartdiet_assets.resources.postgres_errors import translate_postgres_error

    try:
        with postgres.connect() as connection:
            return fetch_positions(connection)
    except psycopg.Error as error:
        raise translate_postgres_error(error, f"reading how far the tables of the {postgres.describe()} are") from None
