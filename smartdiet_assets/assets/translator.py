"""How a table looks in Dagster: its key, group, tags, owners, description and metadata, and what a user changes of it.

Here: the default, and what follows for all tables from what a translator says of each. Not here: what a run says
(`assets.metadata`), and the asset (`assets.tables`).
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from smartdiet_assets.assets.metadata import build_column_lineage, describe_table, name_table
from smartdiet_assets.assets.naming import MIRROR_TAG, SOURCE_TAG
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.model import Schema, Table


class MirrorTranslator:
    """Says how each table looks in Dagster; a subclass changes what it likes of it.

    What it says holds everywhere: dependencies, lineage, checks, sensors, schedules and jobs follow the keys, and the
    job of a domain follows the group.

    Example:
        ```python
        class ShopTranslator(MirrorTranslator):
            def get_asset_spec(self, table):
                spec = super().get_asset_spec(table)
                return spec.replace_attributes(owners=["team:shop"], group_name="shop")
        ```
    """

    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        """Describe the asset of a table.

        Args:
            table: as its schema file declares it.

        Returns:
            Its key without the mirror's prefix, and what Dagit shows of it. Dependencies on the tables that its foreign
            keys point at are added, and so are the tags by which runs are limited, and the lineage of its columns.
        """
        return dg.AssetSpec(
            key=table.name,
            description=_describe(table),
            group_name=table.group,
            owners=list(table.owners) or None,
            kinds={table.source_kind.technology, "postgres"},
            code_version=table.code_version,
            metadata=describe_table(table),
        )


def translate_tables(
    schema: Schema,
    translator: MirrorTranslator,
    postgres: PostgresResource,
    *,
    name: str = "",
    key_prefix: str | Sequence[str] = (),
) -> dict[str, dg.AssetSpec]:
    """Translate every table, parents first: all that Dagster is told of each asset before any run.

    Args:
        postgres: where the tables are.
        name: of the mirror.
        key_prefix: goes before what the translator says.

    Raises:
        ConfigurationError: a translator gave no spec, partitions of its own, or two tables one key.
    """
    prefix = [key_prefix] if isinstance(key_prefix, str) else list(key_prefix)
    specs = {table.name: _translate(table, translator, prefix) for table in schema.tables.values()}
    keys = {name: spec.key for name, spec in specs.items()}
    _check_keys(keys)
    tags = {MIRROR_TAG: name} if name else {}
    place = (postgres.find_known("database"), postgres.find_known("target_schema") or "public")
    for table in schema.tables.values():
        spec = specs[table.name]
        metadata = {"dagster/table_name": name_table(*place, table), **build_column_lineage(table, keys)}
        specs[table.name] = spec.replace_attributes(
            deps=[*spec.deps, *(dg.AssetDep(keys[parent]) for parent in table.parents)],
            tags={**spec.tags, **tags, SOURCE_TAG: table.source},
            metadata={**metadata, **spec.metadata},
        )
    return specs


def _check_keys(keys: Mapping[str, dg.AssetKey]) -> None:
    tables: dict[dg.AssetKey, str] = {}
    for name, key in keys.items():
        if (other := tables.setdefault(key, name)) != name:
            raise ConfigurationError(
                f"the tables {other} and {name} have one asset key, {key.to_user_string()}: let get_asset_spec give "
                "each of them its own"
            )


def _translate(table: Table, translator: MirrorTranslator, prefix: Sequence[str]) -> dg.AssetSpec:
    spec: object = translator.get_asset_spec(table)
    if not isinstance(spec, dg.AssetSpec):
        raise ConfigurationError(
            f"get_asset_spec of {type(translator).__name__} must give a dagster.AssetSpec, of {table.name} as of others"
        )
    if spec.partitions_def is not None:
        raise ConfigurationError(
            f"get_asset_spec of {type(translator).__name__} gives {table.name} partitions of its own; those of a mirror"
            " are of all its tables: give them to build_mirror as partitions="
        )
    return spec.replace_attributes(key=spec.key.with_prefix(prefix)) if prefix else spec


def _describe(table: Table) -> str:
    kind = table.source_kind
    what = table.description or f"Mirror of {kind.locate(table.origin)}."
    if not kind.has_documents:
        return f"{what}\n\nOne row per row of `{table.origin}` in {kind.title}."
    how = table.shape.describe(table.mongo_collection, [array.field for array in table.arrays], table.key)
    return f"{what}\n\n{how}"
