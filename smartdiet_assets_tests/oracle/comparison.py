"""The live tables against the oracle: every difference, a line each."""

import json
import struct
from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets_tests.oracle.documents import normal_id
from smartdiet_assets_tests.oracle.mirror import MARKED, MirrorOracle
from smartdiet_assets_tests.oracle.rows import Fault, Row, position_of
from smartdiet_assets_tests.oracle.table_sync import ExpectedTable
from smartdiet_assets_tests.oracle.values import canonical_json


def comparable(column: Column, value: Any) -> Any:
    """A value in the form both sides share: NaN equals NaN, padding is dropped, 4-byte floats are rounded."""
    if value is None:
        return None
    if column.name == "deleted_at" and column.implicit:
        return MARKED
    if column.type.name == "char":
        return value.rstrip(" ")
    if column.type.name == "real":
        return repr(struct.unpack("<f", struct.pack("<f", value))[0])
    if column.type.name == "double precision":
        return repr(float(value))
    if column.type.name == "numeric":
        return "NaN" if value.is_nan() else Decimal(value)
    if column.type.name == "timestamptz" and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def fetch_rows(connection: psycopg.Connection[Any], table: Table) -> list[Row]:
    """All rows of a table of the connection's schema in `stored_columns` order; JSONB comes as `canonical_json` text.

    A table that no run has created yet has no rows.
    """
    there = "SELECT to_regclass(format('%%I.%%I', current_schema(), %s::text))"
    if connection.execute(there, (table.name,)).fetchone() == (None,):
        return []
    selected = [
        sql.SQL("{}::text").format(sql.Identifier(column.name))
        if column.type.name == "jsonb"
        else sql.Identifier(column.name)
        for column in table.stored_columns
    ]
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(selected), sql.Identifier(table.name))
    rows: list[Row] = connection.cursor(row_factory=psycopg.rows.tuple_row).execute(query).fetchall()
    places = [at for at, column in enumerate(table.stored_columns) if column.type.name == "jsonb"]
    if not places:
        return rows
    return [
        tuple(
            canonical_json(json.loads(value, parse_float=Decimal, parse_int=Decimal))
            if at in places and value is not None
            else value
            for at, value in enumerate(row)
        )
        for row in rows
    ]


def fetch_rejects(connection: psycopg.Connection[Any], table: str) -> list[tuple[str, str, str]]:
    """The (document id, column, reason) of the rejects of a table of the connection's schema."""
    query = (
        "SELECT document_id, column_name, reason FROM smartdiet.rejected_rows"
        " WHERE schema_name = current_schema() AND table_name = %s"
    )
    cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
    rows = cursor.execute(query, (table,)).fetchall()
    return [(normal_id(str(document)), str(column or ""), str(reason)) for document, column, reason in rows]


def compare(connection: psycopg.Connection[Any], oracle: MirrorOracle) -> list[str]:
    """Every difference between the live tables and the oracle, a line each. Empty: they are equal."""
    lines: list[str] = []
    for table in oracle.schema.tables.values():
        expected = oracle.expected[table.name]
        lines += _compare_rows(table, expected, fetch_rows(connection, table))
        lines += _compare_rejects(table, expected, fetch_rejects(connection, table.name))
    return lines


def _by_key(table: Table, rows: Iterable[Row]) -> dict[Row, list[Row]]:
    places = [position_of(table, name) for name in table.key]
    found: dict[Row, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[place] for place in places), []).append(row)
    return found


def _compare_rows(table: Table, expected: ExpectedTable, live: list[Row]) -> list[str]:
    wanted, found = _by_key(table, expected.rows), _by_key(table, live)
    lines = [f"{table.name} {key}: no such row" for key in wanted if key not in found]
    lines += [f"{table.name} {key}: must not be there" for key in found if key not in wanted]
    lines += [f"{table.name} {key}: {len(rows)} rows" for key, rows in found.items() if len(rows) > 1]
    for key in wanted.keys() & found.keys():
        for column, want, have in zip(table.stored_columns, wanted[key][0], found[key][0], strict=True):
            if comparable(column, want) != comparable(column, have):
                lines.append(f"{table.name} {key}: {column.name} is {have!r}, expected {want!r}")
    return lines


def _compare_rejects(table: Table, expected: ExpectedTable, live: list[tuple[str, str, str]]) -> list[str]:
    lines: list[str] = []
    if expected.rejected is None:
        return lines
    found: dict[str, set[Fault]] = {}
    for document, column, reason in live:
        if document in found:
            lines.append(f"{table.name} document {document}: listed twice among the rejects")
        found.setdefault(document, set()).add((column, reason))
    for document, faults in expected.rejected.items():
        if document not in found:
            lines.append(f"{table.name} document {document}: not among the rejects, expected {sorted(faults)}")
        elif not found[document] <= faults:
            given = sorted(found[document])
            lines.append(f"{table.name} document {document}: rejected for {given}, expected {sorted(faults)}")
    lines += [
        f"{table.name} document {document}: rejected for {sorted(found[document])}, is good"
        for document in found.keys() - expected.rejected.keys()
    ]
    return lines
