"""Few partitions: a first load has Dagster write an event for each, of each table, which take milliseconds."""

from datetime import date

from smartdiet_assets.schema.model import PartitionScheme, Schema

_FEW = PartitionScheme(start=date(2026, 1, 1))


def with_few_partitions(schema: Schema) -> Schema:
    """The same tables, partitioned from this year on."""
    return schema.model_copy(update={"partitions": _FEW})
