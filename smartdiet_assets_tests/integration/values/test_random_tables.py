"""Whatever documents and declaration: no run fails, loaded + rejected = read, a second run changes nothing."""

import os
from typing import Any

import psycopg
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pymongo.database import Database
from pymongo.errors import PyMongoError

from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.structure.naming import candidates_name, place_in
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.integration.values.declared_at_random import Document, document_lists, schema_texts
from smartdiet_assets_tests.support.bson_source import fetch_rejects, fetch_versions, mirror_bson
from smartdiet_assets_tests.support.declared import declare

#: More for a longer search: `SMARTDIET_VALUES_EXAMPLES=1000 pytest …`.
EXAMPLES = int(os.environ.get("SMARTDIET_VALUES_EXAMPLES", "10"))
quickly = settings(
    max_examples=EXAMPLES,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
TABLES = ("parents", "one_row", "items", "one_per_key")


def read(text: str) -> Schema:
    try:
        return declare(text)
    except SchemaFileError as error:
        pytest.fail(f"the strategy gave a file that does not load: {error}")


def forget(connection: psycopg.Connection[Any]) -> None:
    connection.execute("DROP SCHEMA IF EXISTS smartdiet CASCADE")
    for name in reversed(TABLES):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def count(connection: psycopg.Connection[Any], *relation: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*relation))).fetchone()
    assert row is not None
    return int(row[0])


def check_counts(
    connection: psycopg.Connection[Any], schema: Schema, name: str, documents: list[Document], result: MirrorResult
) -> None:
    """Every document is in the table, among the rejects, filtered out, or waiting behind another of its key."""
    assert result.documents_read == len(documents)
    table = schema.tables[name]
    rejected = sum(items for _, _, items in fetch_rejects(connection, name).values())
    rows = count(connection, name)
    if table.shape == "items":
        held = {value for (value,) in connection.execute("SELECT document_id FROM items")}
        for document in documents:
            items = document.fields.get("items")
            described = any(item is not None for item in (items if isinstance(items, list) else [items]))
            assert document.identity is None or not described or document.identity in held or rejected
        assert held <= {document.identity for document in documents}
        return
    waiting = count(connection, *candidates_name(place_in(table, "public"))) if table.shape == "one_per_key" else 0
    assert rows + waiting + rejected <= len(documents)
    if not table.filter:
        assert rows + waiting + rejected == len(documents)
        return
    wanted = bool(table.filter[0].value)
    passing = sum(("f0" in document.fields) is wanted for document in documents if document.is_filtered)
    unnamed = sum(not document.is_filtered for document in documents)
    assert rows + rejected == passing + unnamed


def fetch_all_versions(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    return {name: fetch_versions(connection, name) for name in TABLES}


@quickly
@given(text=schema_texts(), documents=document_lists(), batch_size=st.integers(1, 8))
def test_any_bytes_in_any_table(
    postgres: psycopg.Connection[Any], text: str, documents: list[Document], batch_size: int
) -> None:
    forget(postgres)
    schema = read(text)
    raw = [document.raw for document in documents]
    for name in TABLES:
        result = mirror_bson(postgres, schema, name, raw[:3] if name == "parents" else raw, batch_size=batch_size)
        if name != "parents":
            check_counts(postgres, schema, name, documents, result)
    versions = fetch_all_versions(postgres)
    rejects = {name: fetch_rejects(postgres, name) for name in TABLES}
    for kind in ("newest", "full"):
        for name in TABLES:
            served = raw[:3] if name == "parents" else raw
            mirror_bson(postgres, schema, name, served, batch_size=batch_size, kind=kind)
        assert fetch_all_versions(postgres) == versions, kind
        assert {name: fetch_rejects(postgres, name) for name in TABLES} == rejects, kind


@settings(quickly, max_examples=max(EXAMPLES // 3, 1))
@given(text=schema_texts(), documents=document_lists())
def test_any_documents_from_a_server(
    postgres: psycopg.Connection[Any], mongo_database: Database[Any], text: str, documents: list[Document]
) -> None:
    """What the server refuses to store is left out."""
    forget(postgres)
    schema = read(text)
    stored = []
    for name in ("documents", "parents"):
        mongo_database[name].delete_many({})
    for document in documents:
        try:
            mongo_database["documents"].insert_one(RawBSONDocument(document.raw))
            stored.append(document)
        except PyMongoError:
            continue
    assume(stored)
    versions = None
    for kind in ("full", "newest", "full"):
        for name in TABLES:
            request = WindowRequest(kind)
            result = mirror_table(
                schema, schema.tables[name], mongo_database, postgres, run_id="run", request=request, batch_size=3
            )
            if kind == "full" and name != "parents":
                check_counts(postgres, schema, name, stored, result)
        found = fetch_all_versions(postgres)
        assert versions in (None, found), kind
        versions = found
