"""`smartdiet infer --all-collections`: a shop's database becomes a file, and the file tables that equal the oracle."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.infer.everything import infer_collections
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.reading import read_once
from smartdiet_assets_tests.support.shop import change_shop, write_shop

TABLES = [
    "categories",
    "customers",
    "customers_addresses",
    "products",
    "products_tags",
    "orders",
    "orders_lines",
    "reviews",
]
REFERENCES = {
    "categories.parent_id": "categories", "customers_addresses.customer_id": "customers",
    "orders.customer_id": "customers", "orders_lines.order_id": "orders", "orders_lines.product_id": "products",
    "products.category_id": "categories", "products_tags.product_id": "products", "reviews.customer_id": "customers",
    "reviews.product_id": "products",
}  # fmt: skip
DAYS = 3


@pytest.fixture
def shop(mongo_database: Database[Any]) -> Database[Any]:
    write_shop(mongo_database, customers=60)
    return mongo_database


@pytest.fixture
def file(configured_servers: None, shop: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    return tmp_path / "schemas.yaml"


def list_references(schema: Schema) -> dict[str, str]:
    columns = [(table.name, column) for table in schema.tables.values() for column in table.columns]
    return {f"{table}.{column.name}": column.foreign_key.table for table, column in columns if column.foreign_key}


def infer_all(source: Database[Any], path: Path, **more: Any) -> Schema:
    infer_collections(read_once(source), [path], **more).write(path)
    return load_schema(path)


def test_a_shop_is_mirrored_exactly_through_days_of_changes(
    shop: Database[Any], postgres: psycopg.Connection[Any], tmp_path: Path
) -> None:
    schema = infer_all(shop, tmp_path / "schemas.yaml")
    assert list(schema.tables) == TABLES
    assert list_references(schema) == REFERENCES
    mirrored = Mirrored(schema, shop, postgres)
    assert mirrored.sync() == []
    for _ in range(DAYS):
        change_shop(shop)
        assert mirrored.sync() == []
    assert postgres.execute("SELECT count(*) FROM smartdiet.rejected_rows").fetchone() == (0,)


def test_the_command_adds_what_no_table_mirrors_and_says_what_it_left_out(
    smartdiet: Smartdiet, shop: Database[Any], file: Path
) -> None:
    shop.create_collection("carts")
    shop.create_collection("daily", viewOn="orders", pipeline=[])
    printed = smartdiet("infer", "--all-collections")
    assert printed.code == 0, printed.err
    assert "Left out: a view (daily); empty (carts)." in printed.err
    assert not file.exists()

    file.write_text("# Ours.\ntables:\n  # None yet.\npartitions: {every: week}\n")
    added = smartdiet("infer", "--all-collections", "--append")
    assert (added.code, added.out) == (0, ""), added.err
    assert file.read_text().startswith("# Ours.\ntables:\n  # None yet.\n\n  categories:\n")
    assert printed.out in file.read_text()
    assert list(load_schema(file).tables) == TABLES

    before = file.read_text()
    again = smartdiet("infer", "--all-collections", "--append")
    assert again.code == 0
    assert "mirrored already (categories, customers, orders, products, reviews)" in again.err
    assert "There is nothing to add." in again.err
    assert file.read_text() == before


def test_what_is_declared_already_is_referred_to(smartdiet: Smartdiet, file: Path) -> None:
    file.write_text("tables:\n  customers: {group: people, include_base: true, created_field: createdAt}\n")
    assert smartdiet("infer", "--all-collections", "--append").code == 0
    schema = load_schema(file)
    assert list_references(schema).items() >= {"orders.customer_id": "customers"}.items()
    assert schema.tables["orders"].group == schema.tables["orders_lines"].group == "people"


def test_collections_that_refer_to_each_other_load(mongo_database: Database[Any], tmp_path: Path) -> None:
    users, companies = [ObjectId() for _ in range(30)], [ObjectId() for _ in range(3)]
    mongo_database.users.insert_many({"_id": one, "company": companies[n % 3]} for n, one in enumerate(users))
    mongo_database.companies.insert_many({"_id": one, "owner": users[n]} for n, one in enumerate(companies))
    schema = infer_all(mongo_database, tmp_path / "schemas.yaml")
    assert list_references(schema) == {"users.company_id": "companies"}
    assert "close a loop: users refers to companies" in " ".join((tmp_path / "schemas.yaml").read_text().split())


@pytest.mark.parametrize("arguments", [[], ["orders", "--all-collections"]])
def test_a_collection_is_named_or_all_are_asked_for(smartdiet: Smartdiet, file: Path, arguments: list[str]) -> None:
    result = smartdiet("infer", *arguments)
    assert (result.code, result.err) == (2, "name a collection, or give --all-collections or --update")


def test_a_database_without_collections_is_rather_a_wrong_name(
    smartdiet: Smartdiet, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_DATABASE", "shopp")
    result = smartdiet("infer", "--all-collections")
    assert (result.code, result.err) == (2, "the database shopp has no collection, or the user may not read any of it")
