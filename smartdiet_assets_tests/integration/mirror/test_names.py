"""Every command takes every name that PostgreSQL can keep, and refuses the others where they are read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.width import MAX_COLUMNS
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.running import smartdiet_here

NAMES = [
    "rate %", "%s", "%(a)s", "%%", '"', 'a"b', "{}", "{0}", "{table}", "a b", " ", "Upper", "select", "user", "order",
    "table", "é", "a'b", "a;b", "--", "a.b", "$1", "\\", "x" * 63, "é" * 31, "document", "batch", "row", "t", "s",
    "excluded", "data_id", "place", "here", "asked", "id2", "public", "null", "current_user", "oid",
]  # fmt: skip


FIELDS = {name: f"field{number}" for number, name in enumerate(NAMES)}


def declare_names(shape: str) -> dict[str, Any]:
    """Declare a table of documents with every name, or beside it one of items."""
    columns = [{"name": name, "sql_type": "VARCHAR", "mongo_field": field} for name, field in FIELDS.items()]
    parent = {"include_base": True, "on_delete": "delete", "additional_columns": columns, "indexes": [["rate %", '"']]}
    if shape == "row":
        return {"things": parent}
    key = {
        "name": "part_of %",
        "sql_type": "VARCHAR",
        "nullable": False,
        "mongo_field": "_id",
        "foreign_key": "things(id)",
    }
    items: list[dict[str, Any]] = [
        {"name": name, "sql_type": "VARCHAR", "item_field": field} for name, field in FIELDS.items()
    ]
    items[0]["nullable"] = False
    parts = {
        "mongo_collection": "things", "import_strategy": "smart_diff", "arrays": [{"field": "parts"}],
        "on_delete": "delete", "columns": [key, *items], "unique_constraints": [["part_of %", NAMES[0]]],
    }  # fmt: skip
    return {"things": parent, "parts": parts}


@pytest.mark.parametrize("shape", ["row", "items"])
def test_every_command_takes_every_name(
    configured_servers: None,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: str,
) -> None:
    now = datetime.now(UTC)
    path = tmp_path / "tables.yaml"
    path.write_text(yaml.safe_dump({"tables": declare_names(shape)}, allow_unicode=True))
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    values = {field: f"value {field}" for field in FIELDS.values()}
    mongo_database.things.insert_many(
        {"_id": f"n{n}", **values, "parts": [values | {"field0": f"{i}"} for i in range(3)], "creation_date": now}
        | {"update_date": now}
        for n in range(12)
    )

    def expect(*arguments: str) -> str:
        result = smartdiet_here(*arguments)
        assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}"
        return result.stdout

    expect("sync")
    mongo_database.things.update_one({"_id": "n1"}, {"$set": {"field0": "new", "update_date": datetime.now(UTC)}})
    mongo_database.things.update_one({"_id": "n2"}, {"$set": {"parts": [values], "update_date": datetime.now(UTC)}})
    mongo_database.things.delete_one({"_id": "n3"})
    expect("sync")
    expect("reconcile", "--force")
    for arguments in (
        ("check", "--all"),
        ("compare", "schema", "local"),
        ("compare", "mongo", "local", "--data"),
        ("status",),
    ):
        expect(*arguments)
    expect("doctor")
    assert postgres.execute("SELECT \"rate %\" FROM things WHERE id = 'n1'").fetchone() == ("new",)
    identifiers = sql.SQL(", ").join(map(sql.Identifier, NAMES[1:]))
    found = postgres.execute(sql.SQL("SELECT {} FROM things WHERE id = 'n1'").format(identifiers)).fetchone()
    assert found == tuple(values[FIELDS[name]] for name in NAMES[1:])
    printed = expect("infer", "things")
    assert "field0" in printed


@pytest.mark.parametrize(
    "name", ["xmin", "xmax", "cmin", "cmax", "ctid", "tableoid", "x" * 64, "é" * 32, "", "_op", "_here"]
)
def test_a_name_that_no_column_can_have_is_refused_with_its_line(name: str) -> None:
    text = (
        f"tables:\n  a:\n    include_base: true\n    additional_columns:\n      - {{name: '{name}', sql_type: TEXT}}\n"
    )
    with pytest.raises(SchemaFileError, match="line 5"):
        declare(text)


def test_a_table_of_all_columns_there_can_be_is_mirrored_and_one_more_is_refused(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    lines = [
        "tables:",
        "  wide:",
        "    columns:",
        "      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}",
    ]
    lines += [f"      - {{name: c{number}, sql_type: INTEGER}}" for number in range(MAX_COLUMNS - 1)]
    mirrored = Mirrored(declare("\n".join(lines)), mongo_database, postgres)
    for value in (1, 2):
        now = datetime.now(UTC)
        mongo_database.wide.replace_one({"_id": "a"}, {"c0": value, "c1597": value, "update_date": now}, upsert=True)
        mongo_database.wide.replace_one({"_id": "b"}, {"c0": 1, "update_date": now}, upsert=True)
        assert not mirrored.sync()
    with pytest.raises(SchemaFileError, match=f"line {len(lines) + 1}: wide.more: the table has 1,600 columns"):
        declare("\n".join([*lines, "      - {name: more, sql_type: INTEGER}"]))
    required = [line.replace("INTEGER", "BIGINT, nullable: false") for line in lines]
    with pytest.raises(SchemaFileError, match=r"line \d+: wide.c9\d\d: a row has no room for the NOT NULL columns"):
        declare("\n".join(required))
