"""Two databases to compare. Here: what tests say about them. Not here: what is in them."""

from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from smartdiet_assets.compare.reconciling import compose_script
from smartdiet_assets.compare.running import Outcome, compare_structure_sides
from smartdiet_assets.load.structure.alteration import create_table
from smartdiet_assets.load.structure.declared import build_expected_table
from smartdiet_assets.load.structure.table_ddl import compose_comments, compose_keys
from smartdiet_assets.resources.postgres_session import SettledConnection
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.configured import parse_pair

Found = set[tuple[str, str, str]]


@dataclass
class Database:
    """One of the two: its URL and an open connection with autocommit."""

    url: str
    connection: psycopg.Connection[Any]

    def run(self, statements: str, values: Any = None) -> int:
        return self.connection.execute(statements, values).rowcount

    def run_script(self, script: str) -> None:
        """Run a script that begins and commits by itself; where it fails, nothing of it stays."""
        try:
            self.connection.execute(script.encode())
        finally:
            self.connection.rollback()

    def create(self, schema: Schema) -> None:
        """Create all declared tables with the statements of the mirror's runs."""
        statements: list[sql.Composed] = []
        for table in schema.tables.values():
            wanted = build_expected_table(schema, table, "public")
            statements += [create_table(wanted, "public").composed, *compose_comments(wanted)]
            statements += compose_keys(schema, table, wanted)
        self.connection.execute(sql.SQL(";\n").join(sorted(statements, key=_is_foreign_key)))

    def forget(self) -> None:
        self.connection.execute("DROP SCHEMA IF EXISTS public, smartdiet, own CASCADE; CREATE SCHEMA public")


@dataclass
class Pair:
    """Both of them, the left one being how it should be."""

    left: Database
    right: Database
    connection: type[SettledConnection] = SettledConnection

    def turn(self) -> "Pair":
        return Pair(self.right, self.left)

    def create(self, schema: Schema) -> None:
        for side in (self.left, self.right):
            side.create(schema)

    def run(self, statements: str, values: Any = None) -> None:
        for side in (self.left, self.right):
            side.run(statements, values)

    def compare(self, *tables: str, **options: Any) -> Outcome:
        left, right = (replace(s, connection=self.connection) for s in parse_pair(self.left.url, self.right.url))
        return compare_structure_sides(left, right, None, tables or None, **options)

    def find(self, *tables: str) -> Found:
        """The differences of structure, as (table, aspect, name)."""
        return list_differences(self.compare(*tables))

    def reconcile(self, *tables: str, drop: bool = True) -> str:
        """Run the script for the right side, and give it."""
        structure = self.compare(*tables).structure
        assert structure is not None
        script = compose_script(structure, drop=drop)
        self.right.run_script(script)
        return script


def list_differences(outcome: Outcome) -> Found:
    assert outcome.structure is not None
    return {(found.table, found.aspect, found.name) for found in outcome.structure.differences}


def _is_foreign_key(statement: sql.Composed) -> bool:
    return " FOREIGN KEY (" in statement.as_string(None)
