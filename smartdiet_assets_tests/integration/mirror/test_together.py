"""Tables of one collection are read once, and hold what each of them would by itself, whichever fails."""

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.mirror.test_random_edits import relive
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import ABSENT, Application, Reference
from smartdiet_assets_tests.support.command_proxy import CommandProxy
from smartdiet_assets_tests.support.together import Together

STAGES = ("opened", "begun", "copied", "settled", "compared", "rejected", "merged", "stored")
HEAD = """
defaults: {overlap: 0s}
tables:
  others:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(6)}
"""
ROW = """
  t{number}:
    mongo_collection: things
    include_base: true
    additional_columns:
      - {{name: name, sql_type: VARCHAR(6), nullable: false}}
      - {{name: other_id, sql_type: VARCHAR, mongo_field: other, foreign_key: others(id), on_missing_parent: null}}
      - {{name: up_id, sql_type: VARCHAR, mongo_field: up, foreign_key: t{parent}(id), on_missing_parent: {missing}}}
"""
ITEMS = """
  t{number}:
    mongo_collection: things
    import_strategy: {strategy}
    arrays: [{{field: list}}]
    columns:
      - {{name: owner_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: t{parent}(id)}}
      - {{name: other_id, sql_type: VARCHAR, nullable: false, item_field: ".", foreign_key: others(id)}}
      - {{name: created_at, sql_type: TIMESTAMP, nullable: false}}
      - {{name: updated_at, sql_type: TIMESTAMP, nullable: false}}
    unique_constraints: [[owner_id, other_id]]
"""
#: Leads out of the collection, from one of its tables to the next.
BETWEEN = """
  between{number}:
    mongo_collection: others
    include_base: true
    additional_columns:
      - {{name: thing_id, sql_type: VARCHAR, mongo_field: thing, foreign_key: t{parent}(id), on_missing_parent: null}}
"""


@st.composite
def schemas(draw: st.DrawFn) -> str:
    """Tables of one collection, each with a foreign key to itself or one before it, some by way of another's."""
    text, entities, between = HEAD, ["0"], False
    text += ROW.format(number=0, parent=0, missing="null")
    for number in range(1, draw(st.integers(2, 5))):
        parent = draw(st.sampled_from([*entities, str(number)]))
        if draw(st.booleans()):
            strategy = draw(st.sampled_from(["smart_diff", "delete_and_insert", "array"]))
            text += ITEMS.format(number=number, parent=draw(st.sampled_from(entities)), strategy=strategy)
            continue
        text += ROW.format(number=number, parent=parent, missing=draw(st.sampled_from(["null", "reject"])))
        entities.append(str(number))
        if not between and draw(st.integers(0, 3)) == 3:
            between = True
            text += BETWEEN.format(number=number, parent=number)
            text += f"""
  last:
    mongo_collection: things
    include_base: true
    additional_columns:
      - {{name: between_id, sql_type: VARCHAR, mongo_field: other, foreign_key: between{number}(id)}}
"""
    return text


def _references(collection: str) -> st.SearchStrategy[Any]:
    return st.integers(0, 3).map(lambda number: Reference(collection, number))


FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "things": {
        "name": st.sampled_from(["one", "two", "far too long", None, 3]),
        "up": st.one_of(_references("things"), st.sampled_from([None, ABSENT])),
        "other": st.one_of(_references("others"), st.sampled_from([None, ABSENT])),
        "list": st.lists(_references("others"), max_size=3),
    },
    "others": {"name": st.sampled_from(["a", "b", "far too long"]), "thing": _references("things")},
}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[list[tuple[str, int, dict[str, Any]]], str, int, str]]:
    """Days of edits, each with what the run after it is asked for, and which of its tables fails at which stage."""
    edit = st.sampled_from(["things", "things", "others"]).flatmap(
        lambda name: st.tuples(st.just(name), st.integers(0, 2), st.fixed_dictionaries({}, optional=FIELDS[name]))
    )
    day = st.tuples(
        st.lists(edit, max_size=6),
        st.sampled_from(["newest", "newest", "full"]),
        st.integers(0, 7),
        st.sampled_from(STAGES),
    )
    return draw(st.lists(day, min_size=2, max_size=5))


randomly = settings(
    max_examples=int(os.environ.get("SMARTDIET_ORACLE_EXAMPLES", "4")),
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)


@pytest.fixture
def together(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Together:
    path = tmp_path / "compact.yaml"
    path.write_text(compact.SCHEMA)
    return Together(load_schema(path), mongo_database, postgres)


@randomly
@given(history=compact.days())
def test_every_table_equals_the_oracle_after_every_sync(together: Together, history: list[compact.Step]) -> None:
    relive(together, history)


def test_tables_whose_parent_is_missing_and_not_among_them_do_not_wait_for_each_other(together: Together) -> None:
    Application(together.mongo).save("people", 0, compact.birth("people", 0), {})
    tables = {"person_events", "person_menus"}
    assert together.sync(tables=tables) == []
    assert together.sync() == []


@randomly
@given(text=schemas(), history=histories())
def test_whichever_table_fails_keeps_back_those_below_it_and_no_other(
    text: str, history: Any, tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    path = tmp_path / "random.yaml"
    path.write_text(text)
    together = Together(load_schema(path), mongo_database, postgres)
    tables = list(together.schema.tables)
    try:
        application = Application(mongo_database)
        for edits, kind, place, stage in history:
            for collection, number, changes in edits:
                application.save(collection, number, {"name": "new", "list": []}, changes)
            failing = tables[place % len(tables)]
            together.failing = (failing, stage)
            results = together.run(WindowRequest(kind))
            below = {failing, *(name for name in tables if failing in together.schema.ancestors(name))}
            assert set(results) in (set(tables), set(tables) - below)
            assert together.compare(None if len(results) == len(tables) else set(results)) == []
        assert together.sync() == []
        before = together.versions()
        assert together.sync() == []
        assert together.versions() == before
    finally:
        together.forget()


@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_a_collection_is_read_once(
    executor: str,
    tmp_path: Path,
    configured_servers: None,
    mongo_server: EmbeddedMongo,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "tables.yaml"
    path.write_text(
        HEAD
        + "".join(
            [ROW.format(number=0, parent=0, missing="null"), ROW.format(number=1, parent=0, missing="null")]
            + [ITEMS.format(number=number, parent=number - 2, strategy="smart_diff") for number in (2, 3)]
        )
    )
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    monkeypatch.setenv("SMARTDIET_EXECUTOR", executor)
    application = Application(mongo_database)
    for number in range(30):
        application.save("others", number, {"name": "a"}, {})
        fields = {"name": "b", "other": Reference("others", number), "list": [Reference("others", number)]}
        application.save("things", number, fields, {})
    schema = load_schema(path)
    with CommandProxy(mongo_server) as proxy:
        monkeypatch.setenv("MONGODB_URL", proxy.uri)

        def sync() -> tuple[dict[str, int], int]:
            proxy.seen.clear()
            outcome = run_sync(schema, read_environment(), tables=list(schema.tables))
            assert not outcome.errors
            written = {
                name: table.inserted + table.updated for name, table in outcome.tables.items() if name != "others"
            }
            return written, proxy.seen.count(("find", "things"))

        assert sync() == ({f"t{number}": 30 for number in range(4)}, 1)
        # For each date, and for what has none.
        assert sync() == ({f"t{number}": 0 for number in range(4)}, 3)
        application.save("things", 0, {}, {"name": "c"})
        assert sync() == ({"t0": 1, "t1": 1, "t2": 0, "t3": 0}, 3)
