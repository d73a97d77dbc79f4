"""`smartdiet infer` as an operator meets it: what it prints and where, what it refuses, and that it tells no value."""

from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.conftest import Smartdiet

TABLES = """\
defaults:
  owners: ["team:data"]

tables:
  users:
    group: users
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR}

partitions: {every: month}
"""
DAY = datetime(2024, 3, 6, 12, 30, 1)
MARK = "Marked-Value"


@pytest.fixture
def source(configured_servers: None, mongo_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ten users, and fifty notifications to them with a shape of every kind; their values are marked."""
    (tmp_path / "schemas.yaml").write_text(TABLES)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    users = [ObjectId() for _ in range(10)]
    dates = {"creation_date": DAY, "update_date": DAY}
    mongo_database.users.insert_many([{"_id": user, "name": MARK, **dates} for user in users])
    mongo_database.notifications.insert_many(
        {
            "user": users[number % 10],
            "title": f"{MARK} {number}",
            "__t": MARK,
            "labels": [f"{MARK} {n}" for n in range(number % 3)],
            "readers": [{"user": user, "at": DAY} for user in users[: number % 4]],
            "counters": {f"{ObjectId()}": 1},
            "extra": [MARK, 1, {MARK[:3].lower(): MARK}][number % 3],
            **dates,
        }
        for number in range(50)
    )
    mongo_database.create_collection("nothing")
    return mongo_database


def test_the_entry_is_printed_and_what_to_do_next_beside_it(smartdiet: Smartdiet, source: Any) -> None:
    result = smartdiet("infer", "notifications")
    assert result.code == 0, result.err
    assert result.out.startswith("  notifications:\n")
    assert "foreign_key: users(id)" in result.out
    assert "smartdiet sync notifications notifications_labels notifications_readers" in result.err


def test_infer_then_sync_mirrors_the_collection(
    smartdiet: Smartdiet, source: Any, postgres: psycopg.Connection, tmp_path: Path
) -> None:
    added = smartdiet("infer", "notifications", "--append")
    assert (added.code, added.out) == (0, ""), added.err
    assert f"to {tmp_path / 'schemas.yaml'}" in added.err
    schema = load_schema(tmp_path / "schemas.yaml")
    assert list(schema.tables) == ["users", "notifications", "notifications_labels", "notifications_readers"]
    assert {table.group for table in schema.tables.values()} == {"users"}

    synced = smartdiet("sync")

    assert synced.code == 0, synced.err
    for table, rows in (("notifications", 50), ("notifications_labels", 49), ("notifications_readers", 73)):
        assert postgres.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,), table
    assert postgres.execute("SELECT count(*) FROM smartdiet.rejected_rows").fetchone() == (0,)


@pytest.mark.parametrize("options", [[], ["--all"], ["--sample", "7"], ["--table", "messages"]])
def test_no_value_is_printed(smartdiet: Smartdiet, source: Any, options: list[str]) -> None:
    result = smartdiet("infer", "notifications", *options)
    assert result.code == 0, result.err
    assert MARK not in result.out + result.err
    identities = [str(document["_id"]) for document in source.notifications.find()]
    identities += [key for document in source.notifications.find() for key in document["counters"]]
    assert not any(identity in result.out + result.err for identity in identities)


def test_items_whose_parent_has_no_row_are_not_kept_out_by_a_foreign_key(
    smartdiet: Smartdiet, source: Any, postgres: psycopg.Connection
) -> None:
    assert smartdiet("sync").code == 0
    assert "foreign_key: users(id), item_field: user" in smartdiet("infer", "notifications").out
    postgres.execute("DELETE FROM users WHERE id = (SELECT min(id) FROM users)")
    result = smartdiet("infer", "notifications")
    assert "100% of 3 ids are in users, 2 of them as rows; no foreign key" in result.out
    assert "nullable: false, item_field: user}" in result.out


def test_without_postgresql_the_collections_tell(
    smartdiet: Smartdiet, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "1")
    result = smartdiet("infer", "notifications")
    assert result.code == 0
    assert "PostgreSQL cannot be asked" in result.err
    assert "foreign_key: users(id), item_field: user" in result.out


def test_a_sample_says_that_it_is_one(smartdiet: Smartdiet, source: Any) -> None:
    result = smartdiet("infer", "notifications", "--sample", "7")
    assert "as inferred from " in result.out
    assert "of 50 documents; --all reads every one" in result.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["notification"], "has no collection notification, or the user may not read it; did you mean notifications?"),
        (["nothing"], "the collection nothing is empty: there is nothing to infer from"),
        (["notifications", "--table", "users"], "declares users already: give --table another name"),
        (["notifications", "--table", "a-b"], "a table's name may hold letters, digits and _ only"),
        (["notifications", "--table", "é" * 32], "names have 63 bytes at most: give --table a shorter one"),
        (["notifications", "--all", "--sample", "5"], "--sample and --all exclude each other"),
    ],
)
def test_what_cannot_be_inferred_is_one_sentence(
    smartdiet: Smartdiet, source: Any, arguments: list[str], sentence: str
) -> None:
    result = smartdiet("infer", *arguments)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err
    assert "Traceback" not in result.err


def test_a_collection_that_is_mirrored_already_is_noted(smartdiet: Smartdiet, source: Any) -> None:
    result = smartdiet("infer", "users")
    assert result.code == 0, result.err
    assert result.out.startswith("  users_2:\n")
    assert "users is mirrored by users already" in result.err


def test_without_a_file_the_entry_begins_one(smartdiet: Smartdiet, source: Any, tmp_path: Path) -> None:
    (tmp_path / "schemas.yaml").unlink()
    assert smartdiet("infer", "users", "--append").code == 0
    assert "\ntables:\n  users:\n" in (tmp_path / "schemas.yaml").read_text()
    assert list(load_schema(tmp_path / "schemas.yaml").tables) == ["users"]


def test_a_file_that_cannot_be_used_is_said_first(smartdiet: Smartdiet, source: Any, tmp_path: Path) -> None:
    (tmp_path / "schemas.yaml").write_text("tables:\n  users: {colums: []}\n")
    result = smartdiet("infer", "users")
    assert result.code == 2
    assert "colums" in result.err


def test_a_place_for_the_entry_that_cannot_be_written_is_named(
    smartdiet: Smartdiet, source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "no" / "schemas.yaml"))
    result = smartdiet("infer", "users", "--append")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("schemas.yaml cannot be written: No such file or directory")
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path))
    result = smartdiet("infer", "users", "--append")
    assert result.code == 2
    assert "the file cannot be read: Is a directory" in result.err


def test_a_link_to_the_file_stays_one(smartdiet: Smartdiet, source: Any, tmp_path: Path) -> None:
    real = (tmp_path / "schemas.yaml").rename(tmp_path / "real.yaml")
    (tmp_path / "schemas.yaml").symlink_to(real)
    assert smartdiet("infer", "notifications", "--append").code == 0
    assert (tmp_path / "schemas.yaml").is_symlink()
    assert "notifications" in load_schema(real).tables


@pytest.mark.parametrize(
    ("place", "spelled"),
    [
        ("array", "tags\n    {}\n    #"),
        ("field", "title']\n        {}\n        #"),
        ("collection", 'posts"""\n    {}\n    """'),
        ("item", "user\u2028    {}"),
    ],
)
def test_no_name_of_the_source_is_code(
    smartdiet: Smartdiet, source: Any, tmp_path: Path, place: str, spelled: str
) -> None:
    names = {"array": "tags", "field": "title", "item": "user", "collection": "posts"}
    proof = tmp_path / "ran"
    names[place] = spelled.format(f'open("{proof}", "w")')
    items = [[{names["item"]: ObjectId()}, {names["item"]: ObjectId()}] for _ in range(3)]
    source[names["collection"]].insert_many(
        {names["array"]: found, names["field"]: "x", "creation_date": DAY} for found in items
    )
    result = smartdiet("infer", names["collection"], "--append")
    assert result.code == 0, result.err
    assert smartdiet("sync", "--full").code == 0
    assert not proof.exists()
