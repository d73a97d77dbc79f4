"""Whatever a collection holds: the inferred entry loads as YAML, and its tables take every document it is made from."""

import os
import uuid
from pathlib import Path
from typing import Any

import psycopg
from bson import Binary, Decimal128, Int64, ObjectId
from bson.errors import BSONError
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pymongo.database import Database
from pymongo.errors import PyMongoError

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.infer.run import infer_collection
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.bson_source import fetch_versions
from smartdiet_assets_tests.support.reading import read_once
from smartdiet_assets_tests.unit.transform.test_random_documents import moments, values

#: More for a longer search: `SMARTDIET_INFER_EXAMPLES=1000 pytest …`.
EXAMPLES = int(os.environ.get("SMARTDIET_INFER_EXAMPLES", "15"))
PARENTS = [ObjectId(f"{number:024x}") for number in range(1, 4)]
NAMES = (
    "name", "userId", "user_id", "order", "id", "created_at", "deleted_at", "a b", "né", "Ünïcode", "12", "1.5", "a.b",
    "$set", "x" * 70, "select", "__t", "__v", "_class", "password", "tags", "user", "yes", "null", "#", "a: b", "{}",
    "'", '"', "\\", "\n", "update_date", "createdAt", "creation_date", "\u2028", "~", "-", "[]", "2024-01-01",
)  # fmt: skip

references = st.sampled_from([*PARENTS, ObjectId("f" * 24), f"{1:024x}", None])
plain = st.one_of(
    values, moments, references, st.text(max_size=5), st.integers(0, 3), st.sampled_from(["", "\0", "a\0"])
)
documents_below = st.dictionaries(st.sampled_from(NAMES), plain, max_size=3)
items = st.one_of(
    st.lists(references, max_size=4),
    st.lists(st.fixed_dictionaries({"ref": references}, optional={"n": plain, "at": moments}), max_size=3),
    st.lists(plain, max_size=3),
    st.lists(documents_below | references, max_size=3),
)
singles = references | st.lists(references, max_size=3)
fields = st.one_of(plain, items, documents_below, st.dictionaries(st.text(max_size=3), plain, max_size=3))


def identities(number: int) -> list[Any]:
    """Ids no other number has, also as text."""
    return [
        ObjectId(f"{number + 100:024x}"), f"né {number}", -number, Int64(2**40 + number), number + 0.5,
        Decimal128(f"{number}.25"), Binary.from_uuid(uuid.UUID(int=number)), {"n": number}, f"\0{number}",
        "x" * 3_000 + f"{number}",
    ]  # fmt: skip


def holds_no_column(identity: Any) -> bool:
    return isinstance(identity, str) and ("\0" in identity or len(identity) > 1_000)


@st.composite
def collections(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Documents with some fields in common, of the same kind or not."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    kinds = {
        name: draw(st.sampled_from([fields, items, singles, references, moments, plain, documents_below]))
        for name in names
    }
    usual = draw(st.integers(0, 9))
    found = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        choice = usual if draw(st.booleans()) else draw(st.integers(0, 9))
        document = {"_id": identities(number)[choice]}
        for name in names:
            if draw(st.integers(0, 3)):
                document[name] = draw(kinds[name])
        found.append(document)
    return found


def forget(connection: psycopg.Connection[Any]) -> None:
    connection.execute("DROP SCHEMA IF EXISTS smartdiet CASCADE")
    for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@settings(
    max_examples=EXAMPLES,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
@given(documents=collections())
def test_any_collection(
    postgres: psycopg.Connection[Any], mongo_database: Database[Any], tmp_path: Path, documents: list[dict[str, Any]]
) -> None:
    forget(postgres)
    path = tmp_path / "schemas.yaml"
    path.write_text("tables:\n  parents: {include_base: true}\n  \n  others:\n    include_base: true # last\n# end\n")
    for name in ("parents", "things"):
        mongo_database[name].drop()
    mongo_database.parents.insert_many([{"_id": identity} for identity in PARENTS])
    stored = []
    for document in documents:
        try:
            mongo_database.things.insert_one(document)
            stored.append(document)
        except (PyMongoError, BSONError, ValueError, OverflowError):
            continue
    assume(stored)

    sampled = infer_collection(read_once(mongo_database), "things", [path], sample=1)
    assert sampled.tables[0] == "things", "loaded with the file, or it would have raised"
    inferred = infer_collection(read_once(mongo_database), "things", [path], sample=None)
    inferred.write(path)
    schema = load_schema(path)

    assert set(schema.tables) == {"parents", "others", *inferred.tables}
    versions = []
    for run in ("first", "second"):
        for table in schema.tables.values():
            if table.mongo_collection != "others":
                mirror_table(
                    schema, table, mongo_database, postgres, run_id=run, request=WindowRequest("full"), batch_size=3
                )
        versions.append({name: fetch_versions(postgres, name) for name in inferred.tables})
    assert versions[0] == versions[1]
    lost = sum(holds_no_column(document["_id"]) for document in stored)
    assert postgres.execute("SELECT count(*) FROM things").fetchone() == (len(stored) - lost,), inferred.entry
    rejected = postgres.execute(
        "SELECT DISTINCT table_name, column_name, reason FROM smartdiet.rejected_rows"
    ).fetchall()
    assert not rejected or lost, (rejected, inferred.entry)
    if rejected:
        tables = {table.document_column for table in schema.tables.values()}
        assert {column for _, column, _ in rejected} <= tables, (rejected, inferred.entry)
