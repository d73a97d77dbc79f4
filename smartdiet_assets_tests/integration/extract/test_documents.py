"""Which documents a window finds on a real server, and that an index serves each of its queries."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, decode_all

from smartdiet_assets.extract.mongodb.documents import (
    compose_window_queries,
    fetch_by_ids,
    fetch_window,
)
from smartdiet_assets.extract.window import Window
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.types import parse_sql_type

MARCH, APRIL, MAY = (datetime(2024, month, 1) for month in (3, 4, 5))
TABLE = Table(
    name="users",
    columns=(
        Column(name="id", type=parse_sql_type("VARCHAR"), mongo_field=("_id",)),
        Column(name="email", type=parse_sql_type("TEXT"), mongo_field=("contact.email",)),
    ),
    shape="one_row",
    document_column="id",
    key=("id",),
    mongo_collection="users",
)


def found(database: Any, window: Window, batch_size: int = 5000) -> list[Any]:
    batches = list(fetch_window(database, TABLE, window, batch_size))
    return [document["_id"] for batch in batches for document in decode_all(batch)]


@pytest.fixture
def users(mongo_database: Any) -> Any:
    collection = mongo_database.users
    collection.create_index("creation_date")
    collection.create_index("update_date")
    return collection


@pytest.mark.parametrize(
    ("created", "updated", "inside"),
    [
        (MARCH, MARCH, False),
        (MARCH, APRIL, True),  # the lower bound is inclusive
        (APRIL, APRIL, True),
        (APRIL, None, True),
        (None, APRIL, True),
        (APRIL, MARCH, True),  # edited before it was created: a writer's clock
        (MARCH, MAY, False),  # the upper bound is exclusive
        (APRIL, MAY, True),
        (MAY, MAY, False),
    ],
)
def test_a_document_is_in_a_window_by_either_date(users: Any, created: Any, updated: Any, inside: bool) -> None:
    users.insert_one({"_id": 1, "creation_date": created, "update_date": updated})
    assert found(users.database, Window("partition", start=APRIL, end=MAY)) == ([1] if inside else [])


def test_an_open_window_has_no_end(users: Any) -> None:
    future = datetime(2999, 1, 1)
    users.insert_one({"_id": 1, "creation_date": future, "update_date": future})
    assert found(users.database, Window("incremental", start=APRIL)) == [1]


def test_a_document_without_dates_is_found_by_the_time_in_its_id(users: Any) -> None:
    old, new = ObjectId.from_datetime(MARCH), ObjectId.from_datetime(MAY)
    users.insert_many([{"_id": old}, {"_id": new, "creation_date": None}])
    assert found(users.database, Window("incremental", start=APRIL)) == [new]


@pytest.mark.parametrize("identity", ["abc", 7, {"a": 1}])
def test_a_document_that_tells_no_time_at_all_is_always_found(users: Any, identity: Any) -> None:
    users.insert_one({"_id": identity})
    assert found(users.database, Window("incremental", start=APRIL)) == [identity]


#: One value of each type that is no date, by its alias in MongoDB.
NO_DATES: dict[str, Any] = {
    "double": 1.7e12, "nan": float("nan"), "string": "2024-03-01T10:00:00+02:00", "empty string": "", "object": {},
    "extended JSON": {"$date": "2024-03-01T10:00:00Z"}, "binData": b"x", "objectId": ObjectId(), "bool": False,
    "regex": Regex("x"), "dbPointer": DBRef("users", 1), "javascript": Code("x"), "int": 1_700_000_000,
    "javascriptWithScope": Code("x", {}), "timestamp": Timestamp(1_700_000_000, 1), "long": Int64(1_700_000_000_000),
    "decimal": Decimal128("1.7"), "minKey": MinKey(), "maxKey": MaxKey(), "empty array": [], "array": ["2024-03-01"],
    "array of both": [MARCH, 1],
}  # fmt: skip
OLD_ID = ObjectId.from_datetime(datetime(2020, 1, 1))
WINDOWS = [Window("incremental", start=APRIL), Window("partition", start=APRIL, end=MAY), Window("full", start=APRIL)]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.kind)
@pytest.mark.parametrize("indexed", [False, True], ids=["unindexed", "indexed"])
@pytest.mark.parametrize("kind", NO_DATES)
def test_a_document_of_whose_dates_one_is_no_date_is_always_found_and_once(
    mongo_database: Any, kind: str, indexed: bool, window: Window
) -> None:
    users, value = mongo_database.users, NO_DATES[kind]
    if indexed:
        if kind == "dbPointer":
            pytest.skip("the embedded server cannot index one")
        users.create_index("update_date")
        users.create_index([("creation_date", -1), ("contact", 1)])
    users.insert_one({"_id": 0, "creation_date": MARCH, "update_date": MARCH})
    pairs = [(value, value), (MARCH, value), (value, MARCH), (value, APRIL), (APRIL, value), (None, value)]
    for number, (created, updated) in enumerate(pairs, 1):
        users.insert_one({"_id": number, "creation_date": created, "update_date": updated})
    users.insert_one({"_id": OLD_ID, "update_date": value})
    assert sorted(map(str, found(mongo_database, window))) == sorted(map(str, [1, 2, 3, 4, 5, 6, OLD_ID]))


def test_an_array_of_dates_is_in_a_window_by_any_of_them(users: Any) -> None:
    users.insert_one({"_id": 1, "creation_date": MARCH, "update_date": [MARCH, APRIL]})
    users.insert_one({"_id": 2, "creation_date": MARCH, "update_date": [MARCH]})
    assert found(users.database, Window("incremental", start=APRIL)) == [1]


def test_looking_for_dates_that_are_no_dates_reads_no_other_document(users: Any) -> None:
    """The embedded server has no plan to show of it; what it would take to read all of these does."""
    filler = {"contact": {"email": "x" * 1_000}}
    for _ in range(10):
        users.insert_many([{"creation_date": MARCH, "update_date": MARCH, **filler} for _ in range(500)])
    query = compose_window_queries(TABLE, Window("incremental", start=APRIL))[2]

    def measure(condition: Any) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            assert list(users.find(condition)) == []
            times.append(time.perf_counter() - started)
        return min(times)

    # The same as a condition that no index serves.
    assert measure(query) < measure({"$nor": [{"$nor": [query]}]}) / 5


def test_a_document_is_read_once_where_both_dates_are_inside(users: Any) -> None:
    users.insert_one({"_id": 1, "creation_date": APRIL, "update_date": APRIL})
    assert found(users.database, Window("incremental", start=MARCH)) == [1]


def test_equal_dates_across_a_batch_edge_are_all_found(users: Any) -> None:
    users.insert_many([{"_id": number, "creation_date": APRIL, "update_date": APRIL} for number in range(50)])
    assert sorted(found(users.database, Window("incremental", start=APRIL), batch_size=7)) == list(range(50))


def test_no_query_of_a_window_needs_two_indexes_at_once(users: Any) -> None:
    """An `$or` of two date ranges makes some servers scan; a range of one field is served by its index everywhere."""
    users.insert_many([{"creation_date": MARCH, "update_date": MARCH + timedelta(minutes=n)} for n in range(500)])
    queries = compose_window_queries(TABLE, Window("incremental", start=APRIL))
    assert len(queries) == 3
    assert not any("$or" in query for query in queries[:2])
    assert "IXSCAN" in str(users.find(queries[0]).explain()["queryPlanner"]["winningPlan"])


def test_only_the_mapped_fields_are_fetched(users: Any) -> None:
    users.insert_one({"_id": 1, "contact": {"email": "e", "iban": "x"}, "password": "p", "creation_date": APRIL})
    (batch,) = fetch_window(users.database, TABLE, Window("full"), 10)
    assert decode_all(batch) == [{"_id": 1, "contact": {"email": "e"}, "creation_date": APRIL}]


@pytest.mark.parametrize(("comment", "whole"), [("x" * 10, True), ("x" * 1000, False)])
def test_a_whole_read_cuts_fields_out_only_where_they_are_much(users: Any, comment: str, whole: bool) -> None:
    contact = {"email": "a@example.org " * 10}
    users.insert_one({"contact": contact, "creation_date": MARCH, "update_date": MARCH, "comment": comment})
    [everything] = fetch_window(users.database, TABLE, Window("full", None, None), 10)
    [newest] = fetch_window(users.database, TABLE, Window("incremental", MARCH, None), 10)
    assert (b"comment" in everything) == whole
    assert b"comment" not in newest


def test_documents_are_fetched_by_id_whatever_their_dates_and_type(users: Any) -> None:
    ids = [ObjectId(), "abc", 7, *(ObjectId() for _ in range(250))]
    users.insert_many([{"_id": identity} for identity in ids])
    wanted = [*ids, ObjectId()]
    batches = list(fetch_by_ids(users.database, TABLE, wanted))
    assert {document["_id"] for batch in batches for document in decode_all(batch)} == set(ids)


def test_the_servers_clock_is_naive_utc(mongo_database: Any) -> None:
    clock = fetch_server_clock(mongo_database)
    assert clock.tzinfo is None
    assert abs(clock - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
