"""A Dagster project of somebody's own, with the mirrors of two companies beside assets, resources and an executor.

The variables say where the servers are.
"""

from pathlib import Path

import dagster as dg

from smartdiet_assets import MirrorTranslator, MongoResource, PostgresResource, build_mirror
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets_tests.support.partitions import with_few_partitions

SHOP_FILE = Path(__file__).parents[2] / "support" / "shop.yaml"
_CLINIC = Path(__file__).parents[3] / "config" / "schemas.yaml"


def pick(path: Path, *tables: str) -> Schema:
    """Pick tables of a file and those they need, or all."""
    schema = load_schema(path)
    names = {name for table in tables for name in (table, *schema.ancestors(table))} or set(schema.tables)
    picked = {name: table for name, table in schema.tables.items() if name in names}
    collections = {table.mongo_collection for table in picked.values()}
    changes = {
        "tables": picked,
        "collections": {name: rules for name, rules in schema.collections.items() if name in collections},
    }
    return with_few_partitions(schema.model_copy(update=changes))


SHOP = pick(SHOP_FILE)
CLINIC = pick(_CLINIC, "users_targets", "user_events")


class ShopTranslator(MirrorTranslator):
    """The shop's tables as its own team has them."""

    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        spec = super().get_asset_spec(table)
        return spec.replace_attributes(owners=["team:shop"], group_name=f"shop_{table.group}")


class Warehouse(dg.ConfigurableResource[str]):
    """What the project calls `postgres`, and is none of the mirrors' business."""

    greeting: str = "hello"


def build_postgres() -> PostgresResource:
    """Build the one database of both mirrors."""
    return PostgresResource(
        host=dg.EnvVar("WAREHOUSE_HOST"),
        port=dg.EnvVar.int("WAREHOUSE_PORT"),
        user=dg.EnvVar("WAREHOUSE_USER"),
        password=dg.EnvVar("WAREHOUSE_PASSWORD"),
        database=dg.EnvVar("WAREHOUSE_DATABASE"),
    )


def build_shop_resource() -> MongoResource:
    return MongoResource(url=dg.EnvVar("SHOP_MONGODB_URL"), database=dg.EnvVar("SHOP_MONGODB_DATABASE"))


def build_shop() -> dg.Definitions:
    return build_mirror(
        SHOP,
        name="shop",
        key_prefix="shop",
        target_schema="shop",
        mongo=build_shop_resource(),
        postgres=build_postgres(),
        translator=ShopTranslator(),
        schedule="*/10 * * * *",
    )


def build_clinic() -> dg.Definitions:
    return build_mirror(
        CLINIC,
        name="clinic",
        key_prefix=["health", "clinic"],
        # A name that needs its quotes.
        target_schema='Clinic "A"',
        mongo=MongoResource(url=dg.EnvVar("CLINIC_MONGODB_URL"), database=dg.EnvVar("CLINIC_MONGODB_DATABASE")),
        postgres=build_postgres(),
    )


@dg.asset(deps=[dg.AssetKey(["shop", "customers"])], automation_condition=dg.AutomationCondition.eager())
def newsletter(postgres: Warehouse) -> dg.MaterializeResult[None]:
    """An asset of the project's own below a table of a mirror."""
    return dg.MaterializeResult(metadata={"greeting": postgres.greeting})


def build_own() -> dg.Definitions:
    return dg.Definitions(assets=[newsletter], resources={"postgres": Warehouse()}, executor=dg.multiprocess_executor)


def build_shop_location() -> dg.Definitions:
    """Build a code location of the shop alone."""
    return dg.Definitions.merge(build_shop(), dg.Definitions(executor=dg.in_process_executor))


def build_clinic_location() -> dg.Definitions:
    """Build a code location of the clinic alone."""
    return dg.Definitions.merge(build_clinic(), dg.Definitions(executor=dg.in_process_executor))


@dg.definitions
def defs() -> dg.Definitions:
    """Load both mirrors as one code location."""
    return dg.Definitions.merge(build_shop(), build_clinic(), build_own())
