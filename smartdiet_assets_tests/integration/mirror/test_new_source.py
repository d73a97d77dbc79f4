"""A kind of source is one object of the schema and what opens it: with them alone it goes all the way.

From the declaration to rows and rejects, to what was deleted, to the checks, and to what keeps it from being read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from smartdiet_assets.checks.evaluation import Servers, evaluate_checks
from smartdiet_assets.doctor.servers import examine_source
from smartdiet_assets.errors import SchemaFileError, SourceTableError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.failures import translate_error
from smartdiet_assets.mirror.reconciliation import build_source_opener, reconcile_tables
from smartdiet_assets.mirror.sources import MODULES, find_opener
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_source
from smartdiet_assets.schema.declaration import DECLARATIONS
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.integration.mirror import csv_source
from smartdiet_assets_tests.integration.mirror.csv_source import CSV, CheckedCsv, CsvTableDeclaration, Folder
from smartdiet_assets_tests.support.bson_source import fetch_rejects
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.loads import rows_of

SCHEMA = """
tables:
  teams:
    columns: [{name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}]
  people:
    csv_file: people.csv
    on_delete: delete
    max_deletions: 100%
    columns:
      - {name: id, sql_type: BIGINT, primary_key: true, source_column: number}
      - {name: age, sql_type: SMALLINT}
"""
LINES = "number,age\n1,41\n2,42\n3,unknown\n"


@pytest.fixture(autouse=True)
def _csv() -> Iterator[None]:
    DECLARATIONS[CSV.name] = CsvTableDeclaration
    MODULES[CSV.name] = csv_source.__name__
    yield
    del DECLARATIONS[CSV.name], MODULES[CSV.name]


@pytest.fixture
def schema(_csv: None) -> Schema:
    return declare(SCHEMA, ("    max_deletions: 100%\n", ""))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "people.csv").write_text(LINES)
    return Folder(tmp_path)


def mirror(postgres: psycopg.Connection, schema: Schema, folder: Folder) -> MirrorResult:
    table = schema.tables["people"]
    with find_opener(table.source_kind).open(folder, schema, table, batch_size=2) as source:
        return mirror_source(source, postgres, run_id="run", request=WindowRequest("newest"))


def test_its_key_says_that_a_table_is_of_it(schema: Schema) -> None:
    people = schema.tables["people"]
    assert schema.list_tables(CSV) == [people]
    assert (people.origin, people.incremental, people.column("id").source_column) == ("people.csv", "key", "number")
    assert [kind.name for kind in schema.sources] == ["mongodb", "csv"]
    assert not schema.collections.keys() & {"people", "people.csv"}


def test_keys_of_other_kinds_are_none_of_its_own() -> None:
    with pytest.raises(SchemaFileError, match="unknown key 'max_deletions'"):
        declare(SCHEMA)


def test_its_rows_are_mirrored_kept_and_removed(postgres: psycopg.Connection, schema: Schema, folder: Folder) -> None:
    first = mirror(postgres, schema, folder)
    assert (first.documents_read, first.load.inserted) == (3, 2)
    assert rows_of(postgres, "people", "id, age") == [(1, 41), (2, 42)]
    assert list(fetch_rejects(postgres, "people").values()) == [("age", "invalid_type", 1)]

    (folder.path / "people.csv").write_text("number,age\n2,42\n3,43\n4,44\n")
    mirror(postgres, schema, folder)
    assert rows_of(postgres, "people", "id, age") == [(2, 42), (3, 43), (4, 44)]
    assert not fetch_rejects(postgres, "people")


def test_its_rows_are_reconciled(postgres: psycopg.Connection, schema: Schema, folder: Folder) -> None:
    mirror(postgres, schema, folder)
    (folder.path / "people.csv").write_text("number,age\n2,42\n")
    info = postgres.info
    found = dict(
        reconcile_tables(
            schema,
            ["people"],
            lambda: psycopg.connect(info.dsn, password=info.password),
            build_source_opener(schema, {CSV.name: folder}),
            run_id="pass",
            force=True,
        )
    )
    assert (found["people"].error, found["people"].counts.removed) == ("", 1)
    assert rows_of(postgres, "people", "id") == [(2,)]


def test_its_rows_are_checked(postgres: psycopg.Connection, schema: Schema, folder: Folder) -> None:
    mirror(postgres, schema, folder)

    @contextmanager
    def lend() -> Iterator[psycopg.Connection]:
        yield postgres

    wanted = ["rows_match_source", "content_matches", "structure_matches", "no_rejects"]
    outcomes = evaluate_checks(schema, {"people": wanted}, Servers(lend, sources={CSV.name: CheckedCsv(folder)}))
    assert {outcome.kind: outcome.passed for outcome in outcomes} == {
        "rows_match_source": True, "content_matches": False, "structure_matches": True, "no_rejects": False,
    }  # fmt: skip
    away = evaluate_checks(schema, {"people": wanted}, Servers(lend))
    assert [outcome.sentence for outcome in away if outcome.kind == "rows_match_source"] == [
        "Not checked: The folder of files is not configured."
    ]


def test_what_keeps_it_from_being_read_is_said(postgres: psycopg.Connection, schema: Schema, folder: Folder) -> None:
    assert [finding.status for finding in examine_source(CSV, folder, schema)] == ["passed"]
    (folder.path / "people.csv").unlink()
    assert [finding.sentence for finding in examine_source(CSV, folder, schema)] == ["no file people.csv"]
    with pytest.raises(FileNotFoundError) as raised:
        mirror(postgres, schema, folder)
    error = translate_error(raised.value, schema.tables["people"])
    assert isinstance(error, SourceTableError)
    assert str(error) == "people: there is no file people.csv"
