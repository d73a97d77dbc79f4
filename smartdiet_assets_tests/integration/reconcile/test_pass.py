"""Documents deleted in MongoDB: the pass that finds them, and what it refuses."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo.database import Database

from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets_tests.integration.reconcile.clinic import NOW, Clinic


def test_rows_of_deleted_documents_are_removed_children_first(clinic: Clinic) -> None:
    clinic.sync()
    gone = clinic.users[0]
    clinic.mongo.users.delete_one({"_id": gone})
    clinic.mongo.logs.delete_many({"user": gone})

    results = clinic.reconcile()

    assert list(results) == ["logs", "friends", "users"]
    assert [(r.counts.removed, r.counts.cascaded, r.error) for r in results.values()] == [
        (1, {}, ""),
        (2, {}, ""),
        (1, {}, ""),
    ]
    assert (results["users"].counts.documents, results["users"].counts.rows) == (9, 10)
    assert [len(clinic.rows(table, "1")) for table in ("users", "friends", "logs")] == [9, 18, 9]


def test_what_is_left_of_a_deleted_parent_waits_as_a_reject(clinic: Clinic) -> None:
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})

    counts = clinic.reconcile("users")["users"].counts

    assert (counts.removed, counts.cascaded) == (1, {"friends": 2, "logs": 1})
    rejected = clinic.connection.execute("SELECT table_name, reason FROM smartdiet.rejected_rows").fetchall()
    assert {reason for _, reason in rejected} == {"missing_parent"}


def test_the_next_document_of_a_key_shows(clinic: Clinic) -> None:
    clinic.sync()
    clinic.mongo.logs.delete_one({"user": clinic.users[0], "mood": 2})

    counts = clinic.reconcile("logs")["logs"].counts

    assert (counts.gone, counts.removed, counts.replaced) == (1, 0, 1)
    assert sorted(mood for (mood,) in clinic.rows("logs", "mood")) == [1] + [2] * 9


def test_a_second_pass_finds_nothing(clinic: Clinic) -> None:
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})
    clinic.reconcile()
    before = clinic.everything()
    again = clinic.reconcile()
    assert [result.counts.gone for result in again.values()] == [0, 0, 0]
    assert clinic.everything() == before


def test_flag_marks_with_the_clock_of_the_source_and_once(clinic: Clinic) -> None:
    clinic.declare("flag")
    clinic.sync()
    before = datetime.now(UTC).replace(tzinfo=None)
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})

    counts = clinic.reconcile("users")["users"].counts

    assert (counts.flagged, counts.removed) == (1, 0)
    [(mark,)] = [row for row in clinic.rows("users", "deleted_at") if row[0]]
    assert abs(mark - before) < timedelta(minutes=1)
    counts = clinic.reconcile("users")["users"].counts
    assert (counts.gone, counts.flagged, counts.rows) == (0, 0, 9)
    assert (mark,) in clinic.rows("users", "deleted_at")
    assert len(clinic.rows("friends", "1")) == 20


@pytest.mark.parametrize("table", ["users", "friends", "logs"])
def test_a_mark_goes_when_the_document_is_back_whatever_its_dates(clinic: Clinic, table: str) -> None:
    clinic.declare("flag")
    clinic.sync()
    before = clinic.rows(table, "*")
    collection = clinic.schema.tables[table].mongo_collection
    documents = list(clinic.mongo[collection].find({}).limit(4))
    clinic.mongo[collection].delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
    clinic.reconcile(table)
    assert clinic.rows(table, "*") != before

    clinic.mongo[collection].insert_many(documents)
    counts = clinic.reconcile(table)[table].counts

    assert counts.restored > 0
    assert clinic.rows(table, "*") == before


def test_keep_is_left_out_and_counted_by_a_dry_run(clinic: Clinic) -> None:
    clinic.declare("keep")
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})
    before = clinic.everything()

    assert {result.left_out for result in clinic.reconcile().values()} == {"on_delete: keep"}
    result = clinic.reconcile("users", dry_run=True)["users"]

    assert (result.counts.gone, result.counts.removed, result.left_out) == (1, 0, "on_delete: keep")
    assert clinic.everything() == before


@pytest.mark.parametrize("on_delete", ["delete", "flag"])
def test_a_dry_run_counts_what_the_pass_does_and_writes_nothing(clinic: Clinic, on_delete: str) -> None:
    clinic.declare(on_delete)
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})
    clinic.mongo.logs.delete_one({"user": clinic.users[1], "mood": 2})
    before = clinic.everything()

    foretold = clinic.reconcile("users", dry_run=True)
    assert clinic.everything() == before
    done = clinic.reconcile("users")

    assert foretold["users"].counts == done["users"].counts
    assert clinic.everything() != before


# --- what is refused


def test_more_than_max_deletions_is_refused_and_the_other_tables_go_on(clinic: Clinic) -> None:
    clinic.declare("delete", ("  users:\n", "  users:\n    max_deletions: 10%\n"))
    clinic.sync()
    clinic.mongo.users.delete_many({"_id": {"$in": clinic.users[:2]}})
    clinic.mongo.logs.delete_one({"user": clinic.users[5], "mood": 1})

    results = clinic.reconcile("users", "logs")

    assert "2 of 10 rows (20.0%)" in results["users"].error
    assert "max_deletions (10%)" in results["users"].error
    assert "smartdiet reconcile users --force" in results["users"].error
    assert len(clinic.rows("users", "1")) == 10
    assert (results["logs"].error, results["logs"].counts.gone) == ("", 1)
    assert clinic.reconcile("users", force=True)["users"].counts.removed == 2


def test_a_whole_number_limits_too(clinic: Clinic) -> None:
    clinic.declare("delete", ("  users:\n", "  users:\n    max_deletions: 1\n"))
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})
    assert clinic.reconcile("users", dry_run=True)["users"].error == ""
    clinic.mongo.users.delete_one({"_id": clinic.users[1]})
    assert "max_deletions (1)" in clinic.reconcile("users")["users"].error


def test_children_are_not_emptied_by_a_few_parents(clinic: Clinic) -> None:
    clinic.mongo.logs.update_many({}, {"$set": {"user": clinic.users[0]}})
    for number, log in enumerate(clinic.mongo.logs.find({})):
        clinic.mongo.logs.update_one({"_id": log["_id"]}, {"$set": {"day": number}})
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})

    result = clinic.reconcile("users")["users"]

    assert "20 of 20 rows of logs (100.0%)" in result.error
    assert (len(clinic.rows("users", "1")), len(clinic.rows("logs", "1"))) == (10, 20)


@pytest.mark.parametrize("limit", ["50%", "100%"])
def test_an_empty_collection_is_refused_whatever_the_limit(clinic: Clinic, limit: str) -> None:
    clinic.declare("delete", ("max_deletions: 50%", f"max_deletions: {limit}"))
    clinic.sync()
    clinic.mongo.users.delete_many({})
    before = clinic.everything()

    result = clinic.reconcile("users")["users"]

    assert "the source has no document at all" in result.error
    assert clinic.everything() == before
    assert clinic.reconcile("users", force=True)["users"].counts.removed == 10


def test_a_wrong_database_never_counts_as_empty(clinic: Clinic, mongo_client: Any) -> None:
    clinic.sync()
    before = clinic.everything()

    result = clinic.reconcile("users", mongo=mongo_client["somewhere_else"], force=True)["users"]

    assert "has no collection users" in result.error
    assert clinic.everything() == before


def test_a_table_that_was_never_mirrored_is_left_alone(clinic: Clinic) -> None:
    assert {result.left_out for result in clinic.reconcile().values()} == {"not mirrored yet"}
    there = clinic.connection.execute("SELECT to_regclass('users')").fetchone()
    assert there == (None,)


# --- a source that changes meanwhile


@pytest.mark.parametrize("on_delete", ["delete", "flag"])
def test_documents_mirrored_while_the_ids_are_read_stay(clinic: Clinic, on_delete: str) -> None:
    clinic.declare(on_delete)
    clinic.sync()
    late: list[Any] = [ObjectId(), 12, Int64(2**40), "text", "0" * 24, 1.5, Decimal128("2.50"), True]
    late += [NOW, Binary(b"\x00\x01", 7), Binary(bytes(16), 4), Binary(bytes(range(16)), 3)]

    class Growing(MongoSource):
        def fetch_keys(self) -> Iterator[IdBatch]:
            yield from super().fetch_keys()
            clinic.mongo.users.insert_many([{"_id": value, "creation_date": NOW, "update_date": NOW} for value in late])
            clinic.sync()

    clinic.mongo.users.delete_one({"_id": clinic.users[0]})

    counts = clinic.reconcile("users", source=Growing)["users"].counts

    assert (counts.gone, counts.removed + counts.flagged) == (1, 1)
    kept = "WHERE deleted_at IS NULL" if on_delete == "flag" else ""
    there = clinic.connection.execute(f"SELECT count(*) FROM users {kept}").fetchone()
    assert there == (9 + len(late),)


def test_ids_of_every_type_are_compared_as_the_table_spells_them(clinic: Clinic) -> None:
    odd: list[Any] = [12, "text", "0" * 24, 1.5, Decimal128("2.50"), False, NOW, Binary(b"\x00", 7), {"a": 1}]
    clinic.mongo.users.insert_many([{"_id": v, "creation_date": NOW, "update_date": NOW} for v in odd])
    clinic.sync()
    assert clinic.reconcile("users")["users"].counts.gone == 0
    clinic.mongo.users.delete_many({"_id": {"$in": odd[:4]}})
    assert clinic.reconcile("users")["users"].counts.removed == 4


def test_the_ids_of_a_collection_are_read_once_for_all_its_tables(clinic: Clinic) -> None:
    clinic.sync()
    read: list[str] = []

    class Counting(MongoSource):
        def fetch_keys(self) -> Iterator[IdBatch]:
            read.append(self.table.mongo_collection)
            return super().fetch_keys()

    clinic.reconcile(source=Counting)
    assert read == ["logs", "users"]


def test_a_flag_declared_later_is_added_by_the_pass(clinic: Clinic) -> None:
    clinic.declare("keep")
    clinic.sync()
    clinic.declare("flag")
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})

    assert clinic.reconcile("users", dry_run=True)["users"].counts.flagged == 1
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'users'"
    assert ("deleted_at",) not in clinic.connection.execute(columns).fetchall()
    assert clinic.reconcile("users")["users"].counts.flagged == 1


def test_other_columns_declared_later_are_still_filled_by_the_next_run(clinic: Clinic) -> None:
    clinic.declare("delete")
    clinic.sync()
    clinic.declare(
        "delete",
        (
            "{name: email, sql_type: VARCHAR}",
            "{name: email, sql_type: VARCHAR}\n      - {name: nick, sql_type: VARCHAR, mongo_field: email}",
        ),
    )
    clinic.reconcile("users")
    clinic.sync("newest")
    assert sorted(clinic.rows("users", "nick")) == sorted((str(n),) for n in range(10))


def test_a_restored_document_is_mirrored_again(clinic: Clinic, mongo_database: Database[Any]) -> None:
    clinic.sync()
    document = mongo_database.users.find_one({"_id": clinic.users[0]})
    assert document is not None
    mongo_database.users.delete_one({"_id": clinic.users[0]})
    clinic.reconcile("users")
    mongo_database.users.insert_one(document)
    clinic.sync("newest")
    assert [len(clinic.rows(table, "1")) for table in ("users", "friends", "logs")] == [10, 20, 10]


def test_a_restored_document_comes_back_although_the_next_run_reads_what_the_last_one_read(clinic: Clinic) -> None:
    clinic.sync()
    clinic.sync("newest")
    document = clinic.mongo.users.find_one({"_id": clinic.users[0]})
    assert document is not None
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})
    clinic.reconcile("users")
    clinic.mongo.users.insert_one(document)
    clinic.sync("newest")
    clinic.sync("newest")
    assert [len(clinic.rows(table, "1")) for table in ("users", "friends", "logs")] == [10, 20, 10]
