"""Items that share a key, paths into arrays and ids that are documents: mirrored as declared, counted, never silent."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.mirrored import Mirrored

ORDERS = """
order_lines:
  mongo_collection: orders
  columns:
    - {name: order_id, sql_type: VARCHAR, nullable: false, mongo_field: _id}
    - {name: product, sql_type: VARCHAR, nullable: false, item_field: product}
    - {name: quantity, sql_type: INTEGER, item_field: quantity}
  arrays: [{field: order.0.lines}]
  unique_constraints: [[order_id, product]]
  incremental: none
"""
POSITION = """
    - {name: place, sql_type: INTEGER, nullable: false, item_field: $position}"""
DAYS = """
visits:
  mongo_collection: orders
  columns:
    - {name: order_id, sql_type: VARCHAR, nullable: false, mongo_field: _id}
    - {name: day, sql_type: DATE, nullable: false, item_field: .}
  arrays: [{field: visits}]
  unique_constraints: [[order_id, day]]
  incremental: none
"""
PLACES = """
places:
  columns:
    - {name: x, sql_type: DOUBLE PRECISION, mongo_field: loc.coordinates.0}
    - {name: y, sql_type: DOUBLE PRECISION, mongo_field: loc.coordinates.1}
    - {name: tag, sql_type: VARCHAR, mongo_field: tags.0.name}
    - {name: kind, sql_type: VARCHAR, mongo_field: kinds.name}
  filter: {kinds.0: {$exists: false}}
logbooks:
  columns:
    - {name: id, sql_type: VARCHAR, nullable: false, primary_key: true, mongo_field: _id}
    - {name: user_id, sql_type: INTEGER, mongo_field: _id.user}
    - {name: day, sql_type: VARCHAR, mongo_field: _id.day}
meals:
  include_base: true
  additional_columns:
    - {name: logbook_id, sql_type: VARCHAR, mongo_field: logbook, foreign_key: logbooks(id)}
"""
P, Q = ObjectId(), ObjectId()
PAST = datetime(2024, 3, 6, 12)
Mirror = Callable[[str], Checked]


@pytest.fixture
def mirror(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirror:
    def declare(text: str) -> Checked:
        path = tmp_path / "schemas.yaml"
        path.write_text(text)
        return Checked(Mirrored(load_schema(path), mongo_database, postgres))

    return declare


def save_orders(checked: Checked) -> None:
    lines = [(P, 1), (P, 2), (str(P), 3), (Q, 4)]
    order = [{"lines": [{"product": product, "quantity": quantity} for product, quantity in lines] + [None]}]
    visits = [datetime(2024, 3, 6, 9), datetime(2024, 3, 6, 17), datetime(2024, 3, 7)]
    checked.source.orders.insert_many([{"order": order, "visits": visits}, {"order": []}, {"order": {"0": {}}}])


@pytest.mark.parametrize(
    ("setting", "shown", "collapsed", "rejected"),
    [("", [1, 4], 2, 0), ("first", [1, 4], 2, 0), ("last", [3, 4], 2, 0), ("reject", [1, 4], 0, 1)],
)
def test_items_that_share_a_key(mirror: Mirror, setting: str, shown: list[int], collapsed: int, rejected: int) -> None:
    checked = mirror(ORDERS + (f"  on_duplicate_item: {setting}\n" if setting else ""))
    save_orders(checked)
    assert checked.mirrored.sync() == []
    result = checked.mirrored.run()["order_lines"]
    checked.pass_a_second()
    assert (result.collapsed, result.load.rejected_total) == (collapsed, rejected)
    rows = checked.mirrored.connection.execute("SELECT quantity FROM order_lines ORDER BY 1").fetchall()
    assert [quantity for (quantity,) in rows] == shown
    found = checked.evaluate()["order_lines", "rows_match_source"]
    assert found.numbers["collapsed"] == collapsed
    assert found.passed == (not collapsed)
    assert not collapsed or "2 items of orders share their key (order_id, product)" in found.sentence
    failed = [key for key, outcome in checked.failures().items() if outcome.is_error]
    assert failed == []


def test_a_real_loss_is_not_taken_for_items_that_share_a_key(mirror: Mirror) -> None:
    checked = mirror(ORDERS)
    save_orders(checked)
    checked.sync()
    checked.pass_a_second()
    checked.execute("DELETE FROM order_lines WHERE quantity = 4")
    found = checked.evaluate()["order_lines", "rows_match_source"]
    assert (found.is_error, found.numbers["missing"], found.numbers["collapsed"]) == (True, 1, 2)


def test_values_that_only_their_conversion_makes_equal_are_counted_too(mirror: Mirror) -> None:
    checked = mirror(DAYS)
    save_orders(checked)
    assert checked.mirrored.sync() == []
    checked.pass_a_second()
    found = checked.evaluate()["visits", "rows_match_source"]
    assert (found.is_error, found.passed, found.numbers["collapsed"]) == (False, False, 1)


def test_the_place_of_an_item_tells_them_apart(mirror: Mirror) -> None:
    text = ORDERS.replace("\n  arrays", f"{POSITION}\n  arrays").replace("[order_id, product]", "[order_id, place]")
    checked = mirror(text)
    save_orders(checked)
    assert checked.mirrored.sync() == []
    assert checked.mirrored.run()["order_lines"].collapsed == 0
    checked.pass_a_second()
    rows = checked.mirrored.connection.execute("SELECT place, quantity FROM order_lines ORDER BY 1").fetchall()
    assert rows == [(0, 1), (1, 2), (2, 3), (3, 4)]
    # The days of visits are no table's here.
    assert set(checked.failures()) == {("order_lines", "no_undeclared_fields")}


def test_paths_into_arrays_and_documents_as_ids(mirror: Mirror) -> None:
    checked = mirror(PLACES)
    key = {"user": 1, "day": "d"}
    dates = {"creation_date": PAST, "update_date": PAST}
    checked.source.places.insert_many([
        {"_id": 1, "loc": {"coordinates": [2.5, 48.5]}, "tags": [{"name": "x"}], **dates},
        {"_id": 2, "loc": {"coordinates": []}, "tags": ["x"], "kinds": {"name": "k"}, **dates},
        {"_id": 3, "kinds": [], **dates},
        {"_id": 4, "kinds": [{"name": "y"}], **dates},
    ])  # fmt: skip
    checked.source.logbooks.insert_many([{"_id": key, **dates}, {"_id": {"day": "d", "user": 1}, **dates}])
    checked.source.meals.insert_one({"_id": "meal", "logbook": key, **dates})
    checked.sync()
    fetch = checked.mirrored.connection.execute
    assert fetch("SELECT document_id, x, y, tag, kind FROM places ORDER BY 1").fetchall() == [
        ("1", 2.5, 48.5, "x", None), ("2", None, None, None, "k"),
    ]  # fmt: skip
    rejects = "SELECT document_id, column_name, reason, received FROM smartdiet.rejected_rows"
    assert fetch(rejects).fetchall() == [('{"$numberInt": "3"}', "kind", "invalid_type", "array")]
    assert sorted(fetch("SELECT user_id, day FROM logbooks").fetchall()) == [(1, "d"), (1, "d")]
    spelled = '{"user": {"$numberInt": "1"}, "day": "d"}'
    assert fetch("SELECT logbook_id FROM meals").fetchall() == [(spelled,)]
    failed = {key: outcome.sentence for key, outcome in checked.failures().items() if outcome.is_error}
    assert failed == {}


def test_documents_whose_id_is_a_document_are_found_again(mirror: Mirror) -> None:
    checked = mirror(PLACES.replace("  columns:\n    - {name: id", "  on_delete: delete\n  columns:\n    - {name: id"))
    key, other = {"user": 1, "day": "d"}, {"user": "not a number", "day": "e"}
    dates = {"creation_date": PAST, "update_date": PAST}
    checked.source.logbooks.insert_one({"_id": other, **dates})
    checked.source.meals.insert_one({"_id": "meal", "logbook": key, **dates})
    checked.source.places.insert_one({"_id": 1, **dates})
    checked.sync()
    fetch = checked.mirrored.connection.execute
    rejects = "SELECT table_name, column_name, reason FROM smartdiet.rejected_rows ORDER BY 1"
    assert fetch(rejects).fetchall() == [
        ("logbooks", "user_id", "invalid_type"), ("meals", "logbook_id", "missing_parent"),
    ]  # fmt: skip
    checked.source.logbooks.insert_one({"_id": key, **dates})
    checked.source.logbooks.delete_one({"_id": other})
    checked.sync()
    checked.mirrored.reconcile()
    assert fetch(rejects).fetchall() == []
    assert fetch("SELECT count(*) FROM meals JOIN logbooks ON logbooks.id = logbook_id").fetchone() == (1,)
    checked.source.logbooks.delete_one({"_id": key})
    checked.mirrored.reconcile()
    assert fetch("SELECT count(*) FROM logbooks").fetchone() == (0,)
