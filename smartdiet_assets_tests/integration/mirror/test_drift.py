"""What the application adds to its documents is known after the next run: by name, type and number, never a value."""

import json
from collections import Counter
from datetime import datetime
from typing import Any

import bson
import psycopg
import pytest
from bson import ObjectId
from hypothesis import given, settings
from pymongo.database import Database

from smartdiet_assets.errors import UndeclaredFieldsError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.records.fields import MOST_LINES, fetch_fields
from smartdiet_assets.schema.drift import Drift, RecordedField, find_drift
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets_tests.support.bson_source import mirror_bson
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.unit.transform.test_fields import drifted

Document = dict[str, Any]
#: Of a collection two tables read parts, so that no run of either sees what is not declared.
SHOP = """
defaults: {overlap: 0s, undeclared: %s, ignored_fields: [__v]}
tables:
  customers:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR}
      - {name: city, sql_type: VARCHAR, mongo_field: address.city}
      - {name: age, sql_type: VARCHAR}
  customer_orders:
    mongo_collection: customers
    arrays: [{field: orders}]
    columns:
      - {name: customer_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: customers(id)}
      - {name: sku, sql_type: VARCHAR, nullable: false, item_field: sku}
    unique_constraints: [[customer_id, sku]]
collections:
  customers:
    ignored_fields: [{password: never leaves the application}]
"""
FILLER = {"password": {"hash": "x" * 2_000}, "__v": 0}
FULL, NEWEST = WindowRequest("full"), WindowRequest("newest")


class Shop(Mirrored):
    """A collection and its mirror; documents are saved in the order of their dates."""

    saved = 0

    def save(self, count: int = 1, **fields: Any) -> None:
        documents = []
        for _ in range(count):
            self.saved += 1
            moment = datetime(2026, 1, 1 + self.saved // 1440, self.saved // 60 % 24, self.saved % 60)
            dates = {"creation_date": moment, "update_date": moment}
            documents.append({"_id": ObjectId(f"{self.saved:024x}"), "name": "n", **dates, **FILLER, **fields})
        self.mongo.customers.insert_many(documents)

    @property
    def records(self) -> list[RecordedField]:
        return fetch_fields(self.connection, ["customers"])["customers"]

    @property
    def drift(self) -> Drift:
        return find_drift(self.schema, "customers", self.records)

    def find(self) -> dict[str, tuple[str, int, int]]:
        return {field.path: (field.bson_type, field.times, field.looked_at) for field in self.drift.undeclared}


def open_shop(mongo: Database[Any], connection: psycopg.Connection[Any], undeclared: str = "report") -> Shop:
    return Shop(declare(SHOP % undeclared), mongo, connection, batch_size=2_000)


@pytest.fixture
def shop(mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Shop:
    return open_shop(mongo_database, postgres)


def declare_paths(table: Table) -> Schema:
    """A file that declares the columns of a table."""
    columns = [
        {"name": column.name, "sql_type": "VARCHAR", "mongo_field": list(column.mongo_field)}
        for column in table.columns[1:]
    ]
    return declare(json.dumps({"tables": {"users": {"include_base": True, "additional_columns": columns}}}))


@given(drifted())
@settings(max_examples=15)
def test_what_was_planted_is_recorded_and_nothing_else(
    postgres: psycopg.Connection[Any], made: tuple[Table, list[Document], Counter[tuple[str, str]]]
) -> None:
    table, documents, planted = made
    schema = declare_paths(table)
    postgres.execute("DROP TABLE IF EXISTS users; DROP SCHEMA IF EXISTS smartdiet CASCADE")
    encoded = [bson.encode({**document, "_id": number}) for number, document in enumerate(documents)]
    result = mirror_bson(postgres, schema, "users", encoded)
    records = fetch_fields(postgres, ["users"])["users"]
    found = {(field.path, field.bson_type): field.times for field in records}
    assert {key: found.get(key) for key in planted} == planted
    declared = [field for field in records if (field.path, field.bson_type) not in planted]
    assert not find_drift(schema, "users", declared).undeclared
    assert {(field.path, field.bson_type) for field in result.undeclared} <= planted.keys()


def test_a_projection_hides_nothing(shop: Shop) -> None:
    """Neither of a first load, nor of a run of what changed; below documents and items too."""
    shop.save(3, address={"city": "x"}, orders=[{"sku": "a"}])
    shop.save(2, address={"city": "x", "street": "y"}, orders=[{"sku": "a", "price": 1}, {"sku": "b", "price": 2.5}])
    results = shop.run()
    lines = {(field.path, field.bson_type): field.times for field in shop.drift.undeclared}
    assert lines == {("address.street", "string"): 2, ("orders[].price", "double"): 2, ("orders[].price", "int"): 2}
    assert shop.find()["address.street"] == ("string", 2, 5)
    for result in results.values():
        assert {field.path for field in result.undeclared} == {"address.street", "orders[].price"}
    shop.save(nickname="z")
    shop.run()
    assert shop.find()["nickname"] == ("string", 1, 2)
    assert shop.find()["address.street"][0] == "string", "it stays until a full run finds none"


def test_a_run_says_what_it_saw_and_who_saw_it_first(shop: Shop) -> None:
    shop.save(nickname="z")
    shop.run()
    [first] = [field for field in shop.records if field.path == "nickname"]
    assert (first.first_run_id, first.run_id) == ("run-1", "run-1")
    shop.save(2, nickname="z")
    shop.run()
    [second] = [field for field in shop.records if field.path == "nickname"]
    assert (second.first_seen, second.first_run_id, second.run_id) == (first.first_seen, "run-1", "run-2")
    assert second.last_seen > first.last_seen
    assert second.times == 3, "the last one's date is the watermark's, so it is read again"


def test_what_is_declared_or_ignored_since_is_not_reported(shop: Shop) -> None:
    shop.save(nickname="z", phone={"home": "1"})
    shop.run()
    assert set(shop.find()) == {"nickname", "phone.home"}
    text = SHOP % "report"
    text = text.replace("  customer_orders:", "      - {name: nickname, sql_type: VARCHAR}\n  customer_orders:")
    shop.schema = declare(text.replace("ignored_fields: [{", "ignored_fields: [phone, {"))
    assert shop.find() == {}


def test_a_full_run_finds_all_and_forgets_what_is_gone(shop: Shop) -> None:
    """One in a thousand documents has the field, and only one run in forty would have looked at it."""
    shop.save(3_000)
    shop.save(rare=1)
    shop.save(500)
    shop.run(FULL)
    assert shop.find() == {"rare": ("int", 1, 3_501)}
    shop.mongo.customers.update_many({}, {"$unset": {"rare": 1}})
    shop.save(fresh=True)
    shop.run(FULL)
    assert set(shop.find()) == {"fresh"}


def test_a_sample_of_each_batch_is_looked_at(shop: Shop) -> None:
    shop.save(3_000, often=1)
    shop.run(tables=["customers"])
    [(kind, times, looked_at)] = shop.find().values()
    assert kind == "int"
    # One in 30 of each batch, of small ones more; the server's first batch may be smaller.
    assert 90 <= times == looked_at <= 300


def test_a_type_that_came_later_is_told(shop: Shop) -> None:
    shop.save(3, age="7")
    shop.run()
    assert not shop.drift.changed
    shop.save(age=True)
    shop.run()
    assert not shop.drift.changed, "one odd document is no change"
    shop.save(5, age=7)
    shop.save(2, age=None)
    shop.run()
    assert [(field.path, field.bson_type, field.times) for field in shop.drift.changed] == [("age", "int", 5)]
    shop.save(5, age=7.5)
    shop.run()
    shop.save(5, age=["7"])
    shop.run()
    changed = {(field.path, field.bson_type) for field in shop.drift.changed}
    assert changed == {("age", "int"), ("age", "double"), ("age", "array")}
    shop.mongo.customers.delete_many({"age": True})
    shop.run(FULL)
    assert not shop.drift.changed, "a look at all of them says what is usual"
    assert "bool" not in {field.bson_type for field in shop.records if field.path == "age"}
    shop.save(5, age=True)
    shop.run()
    assert [(field.path, field.bson_type) for field in shop.drift.changed] == [("age", "bool")]


def test_mixed_types_from_the_start_are_no_change(shop: Shop) -> None:
    shop.save(age="7")
    shop.save(age=7)
    shop.run()
    shop.save(age=7.5)
    shop.run()
    assert not shop.drift.changed


def test_fields_that_always_miss_are_told(shop: Shop) -> None:
    shop.save(99, orders=[{"sku": "a"}])
    shop.run()
    assert not shop.drift.missing, "few documents tell nothing"
    shop.save(150, orders=[{"sku": "a"}])
    shop.run(FULL)
    assert shop.drift.missing == ("address.city", "age")


def test_a_run_that_reads_the_same_looks_at_nothing(shop: Shop) -> None:
    shop.save(5, nickname="z")
    shop.run()
    shop.run()
    before = shop.records
    results = shop.run()
    assert {result.load.mode for result in results.values()} == {"none"}
    assert {result.undeclared for result in results.values()} == {()}
    assert shop.records == before


def test_declared_fields_are_not_written_by_every_run(shop: Shop) -> None:
    versions = "SELECT path, ctid::text, xmin::text, xmax::text FROM smartdiet.document_fields ORDER BY 1"
    shop.save(5)
    shop.run()
    before = shop.connection.execute(versions).fetchall()
    shop.save(5)
    shop.run()
    assert shop.connection.execute(versions).fetchall() == before


def test_fail_fails_before_anything_is_written(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    """Also where one in a thousand documents has it; and again by the next run."""
    shop = open_shop(mongo_database, postgres, "fail")
    shop.save(3)
    shop.run()
    shop.save(1_500)
    shop.save(address={"city": "x", "street": "Main Street"})
    for request in (NEWEST, FULL):
        with pytest.raises(UndeclaredFieldsError) as error:
            shop.run(request)
        assert "address.street (string)" in str(error.value)
        assert "smartdiet infer customers --update" in str(error.value)
        assert "Main" not in str(error.value)
        assert postgres.execute("SELECT count(*) FROM customers").fetchone() == (3,)
        assert shop.find() == {}
    mongo_database.customers.update_many({}, {"$unset": {"address.street": 1}})
    shop.run()
    assert postgres.execute("SELECT count(*) FROM customers").fetchone() == (1_504,)


def test_whole_documents_are_asked_for_as_long_as_little_else_is_there(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    """Once they hold much that no table needs, the next run leaves it at the server. The last day is read again."""
    shop = Mirrored(
        declare("{defaults: {overlap: 0s}, tables: {users: {include_base: true}}}"), mongo_database, postgres
    )
    whole = "SELECT little_left_out FROM smartdiet.sync_state"
    for number, (photo, expected) in enumerate([(0, True), (9_000, False), (0, False), (0, True)]):
        moment = datetime(2026, 1, 1 + number)
        dates = {"creation_date": moment, "update_date": moment}
        fields = [{**dates, **({"photo": "x" * photo} if photo else {})} for _ in range(5)]
        mongo_database.users.insert_many(fields)
        shop.run()
        assert postgres.execute(whole).fetchone() == (expected,), number


def test_ignore_looks_at_nothing(mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> None:
    shop = open_shop(mongo_database, postgres, "ignore")
    shop.save(3, nickname="z")
    shop.run(FULL)
    assert shop.records == []


def test_no_value_is_recorded(shop: Shop) -> None:
    mark = "mark-5f3a"
    shop.save(
        3, nickname=mark, notes=[{"text": mark}, mark], by_user={"5f5e10005f1c9a0e77000000": mark, f"{mark}@b": 1}
    )
    results = shop.run()
    told = shop.connection.execute("SELECT f::text FROM smartdiet.document_fields AS f").fetchall()
    assert len(told) > 5
    assert mark not in f"{told} {results}"
    assert "by_user.*" in shop.find()


def test_lines_are_bounded(shop: Shop) -> None:
    """Over runs too: each meets some names that none met before."""
    shop.save()
    shop.run()
    shop.connection.execute(
        "INSERT INTO smartdiet.document_fields (collection, path, bson_type, times, looked_at)"
        " SELECT 'customers', 'x' || number, 'int', 1, 1 FROM generate_series(1, %s) AS number",
        [MOST_LINES],
    )
    shop.save(one_more=1, name="n")
    shop.run()
    assert len(shop.records) <= MOST_LINES + 50
    assert "one_more" not in shop.find()


def test_two_mirrors_in_one_database_keep_theirs_apart(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any], postgres_database: str
) -> None:
    postgres.execute("CREATE SCHEMA a; CREATE SCHEMA b")
    found = {}
    for schema in ("a", "b"):
        url = f"{postgres_database}?options=-csearch_path%3D{schema}"
        with psycopg.connect(url, autocommit=True) as connection:
            shop = open_shop(mongo_database, connection)
            mongo_database.customers.delete_many({})
            shop.save(**{f"only_{schema}": 1})
            shop.run()
            found[schema] = set(shop.find())
            shop.run(FULL)
            found[f"{schema} full"] = set(shop.find())
    assert found == {"a": {"only_a"}, "a full": {"only_a"}, "b": {"only_b"}, "b full": {"only_b"}}
