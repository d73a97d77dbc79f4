"""What PostgreSQL refuses a row for is a reject of its document; every other document is loaded.

By the errors there are for the values of a row: in a first load and in later ones, into every shape of table.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.mirrored import Mirrored

DAY = datetime(2024, 5, 6)
TEXTS = 700
SCHEMA = f"""
tables:
  things:
    mongo_collection: things
    columns:
      - {{name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}}
      - {{name: number, sql_type: INTEGER}}
      - {{name: text, sql_type: VARCHAR}}
      - {{name: extra, sql_type: JSONB}}
      - {{name: code, sql_type: VARCHAR}}
    unique_constraints: [[code]]
  wide:
    mongo_collection: wide
    columns:
      - {{name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}}
{"".join(f"      - {{name: t{n}, sql_type: VARCHAR}}{chr(10)}" for n in range(TEXTS))}
  days:
    mongo_collection: things
    filter: {{number: {{$ne: null}}}}
    columns:
      - {{name: id, sql_type: SERIAL, primary_key: true}}
      - {{name: thing, sql_type: VARCHAR, nullable: false, mongo_field: _id}}
      - {{name: number, sql_type: INTEGER, nullable: false}}
      - {{name: text, sql_type: VARCHAR}}
    unique_constraints: [[number]]
    winner: [thing]
  items:
    mongo_collection: things
    import_strategy: smart_diff
    arrays: [{{field: items}}]
    columns:
      - {{name: thing, sql_type: VARCHAR, nullable: false, mongo_field: _id}}
      - {{name: name, sql_type: VARCHAR, nullable: false, item_field: name}}
      - {{name: text, sql_type: VARCHAR, item_field: text}}
    unique_constraints: [[thing, name]]
"""
NOISE = "".join(chr(0x4E00 + 7919 * n % 20_000) for n in range(3_000))


@dataclass
class Case:
    """What is done to the table `things`, and what a document has that then is refused."""

    attach: str
    bad: dict[str, Any]
    rule: str


CHECK = "ALTER TABLE things ADD CONSTRAINT made CHECK ({})"
INDEX = "CREATE INDEX ON things {}"
CASES = {
    "22012": Case(INDEX.format("((100 / (number - 5)))"), {"number": 5}, "division by zero"),
    "22003": Case(CHECK.format("number * 1000000 > 0"), {"number": 2**30}, "out of range"),
    "22008": Case(CHECK.format("date '2000-01-01' + number IS NOT NULL"), {"number": 2**31 - 1}, "datetime"),
    "22P02": Case(CHECK.format("text::int >= 0"), {"text": "none"}, "invalid text"),
    "2201B": Case(CHECK.format("'x' !~ text"), {"text": "(*"}, "regular expression"),
    "2201E": Case(CHECK.format("ln(number) IS NOT NULL"), {"number": -1}, "logarithm"),
    "23514": Case(CHECK.format("number > 0"), {"number": -1}, "CHECK made"),
    "23514 domain": Case(
        "CREATE DOMAIN odd AS int CHECK (VALUE % 2 = 1); " + CHECK.format("(number::odd) IS NOT NULL"),
        {"number": 4},
        "CHECK odd_check",
    ),
    "54000 index": Case(INDEX.format("(text)"), {"text": NOISE}, "size of a row"),
    "54000 unique": Case(INDEX.format("(text, number)"), {"text": NOISE}, "size of a row"),
    "54000 tsvector": Case(
        INDEX.format("USING gin (to_tsvector('simple', text))"),
        {"text": " ".join(f"{n}" + "x" * 500 for n in range(3_000))},
        "size of a row",
    ),
}


@pytest.fixture
def mirrored(mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    return Mirrored(declare(SCHEMA), mongo_database, postgres, batch_size=20)


def save(mirrored: Mirrored, key: int, **fields: Any) -> None:
    dates = {"creation_date": DAY, "update_date": datetime.now(UTC)}
    document = {"number": 101 + 2 * key, "text": str(key), **dates, **fields}
    mirrored.mongo.things.replace_one({"_id": f"n{key}"}, document, upsert=True)


def rejects(mirrored: Mirrored, table: str = "things") -> list[tuple[str, str, str]]:
    return mirrored.connection.execute(
        "SELECT document_id, reason, expected FROM smartdiet.rejected_rows WHERE table_name = %s ORDER BY 1", [table]
    ).fetchall()


def ids(mirrored: Mirrored, table: str = "things", column: str = "id") -> set[str]:
    return {row[0] for row in mirrored.connection.execute(f"SELECT {column} FROM {table}".encode())}


@pytest.mark.parametrize("name", CASES)
def test_a_row_that_is_refused_is_a_reject_of_its_document(mirrored: Mirrored, name: str) -> None:
    case = CASES[name]
    for number in range(3):
        save(mirrored, number)
    mirrored.run(tables=["things"])
    if case.attach:
        mirrored.connection.execute(case.attach.encode())
    for number in range(3, 50):
        save(mirrored, number, **case.bad if number in (20, 33) else {})
    for run in range(3):
        result = mirrored.run(tables=["things"])["things"]
        assert [(found[0], found[1]) for found in rejects(mirrored)] == [('"n20"', "refused"), ('"n33"', "refused")]
        assert case.rule in rejects(mirrored)[0][2]
        assert ids(mirrored) == {f"n{number}" for number in range(50)} - {"n20", "n33"}, run
        assert result.load.rejected == 2
    save(mirrored, 20)
    mirrored.run(tables=["things"])
    assert [found[0] for found in rejects(mirrored)] == ['"n33"']
    mirrored.mongo.things.delete_one({"_id": "n33"})
    mirrored.run(WindowRequest("full"), tables=["things"])
    assert not rejects(mirrored)
    assert "n20" in ids(mirrored)


@pytest.mark.parametrize("full", [False, True])
def test_a_document_too_wide_for_a_row_is_a_reject_from_the_first_load_on(mirrored: Mirrored, full: bool) -> None:
    long = {f"t{n}": "x" * 30 for n in range(TEXTS)}
    wide = mirrored.mongo.wide
    wide.insert_many(
        [{"_id": f"n{n}", **(long if n in (3, 30) else {"t1": "x"}), "update_date": DAY} for n in range(50)]
    )
    request = WindowRequest("full") if full else None
    for _ in range(3):
        mirrored.run(request, tables=["wide"])
        assert [found[:2] for found in rejects(mirrored, "wide")] == [('"n3"', "refused"), ('"n30"', "refused")]
        assert len(ids(mirrored, "wide")) == 48
    wide.update_one({"_id": "n3"}, {"$set": {f"t{n}": "y" for n in range(TEXTS)}})
    mirrored.run(request, tables=["wide"])
    assert len(ids(mirrored, "wide")) == 49


@pytest.mark.parametrize("first", [False, True])
def test_every_shape_loads_the_others(mirrored: Mirrored, first: bool) -> None:
    """A unique key of a long text, an item's, and one that several documents share."""
    if not first:
        save(mirrored, 100)
        mirrored.run()
    for number in range(10):
        items = [{"name": "a", "text": "x"}, {"name": NOISE if number == 4 else "b", "text": "x"}]
        save(mirrored, number, items=items, **({"code": NOISE} if number == 5 else {}))
    if not first:
        mirrored.connection.execute("ALTER TABLE days ADD CONSTRAINT small CHECK (number < 115 OR number > 200)")
    for _ in range(2):
        mirrored.run()
        assert [found[0] for found in rejects(mirrored)] == ['"n5"']
        assert [found[0] for found in rejects(mirrored, "items")] == ['"n4"']
        assert mirrored.connection.execute("SELECT count(*) FROM items").fetchone() == (19,)
        if not first:
            assert [found[0] for found in rejects(mirrored, "days")] == ['"n7"', '"n8"', '"n9"']


@settings(max_examples=4)
@given(st.sets(st.integers(0, 199)), st.booleans())
def test_exactly_the_refused_ones_are_rejected_wherever_they_are(
    mirrored: Mirrored, bad: set[int], twice: bool
) -> None:
    mirrored.forget()
    mirrored.run(tables=["things"])
    mirrored.connection.execute("ALTER TABLE things ADD CONSTRAINT positive CHECK (number > 0)")
    for number in range(200):
        code = {"code": "the same"} if twice and number in (7, 150) else {}
        save(mirrored, number, number=-1 if number in bad else 1, **code)
    mirrored.run(tables=["things"])
    refused = {found[0] for found in rejects(mirrored) if found[1] == "refused"}
    assert refused == {f'"n{number}"' for number in bad}
    assert len(ids(mirrored)) + len(rejects(mirrored)) == 200
