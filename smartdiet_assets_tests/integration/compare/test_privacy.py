"""No value of a row or document is in what a comparison prints, whatever its keys are made of."""

import io
import json
from typing import Any

from rich.console import Console

from smartdiet_assets.compare.documents import compare_documents
from smartdiet_assets.compare.printing import build_json, print_outcome
from smartdiet_assets.compare.reconciling import compose_script
from smartdiet_assets.compare.running import Outcome
from smartdiet_assets_tests.integration.checks.conftest import unlimited  # noqa: F401
from smartdiet_assets_tests.integration.compare.pair import Pair
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.checked import Checked, now
from smartdiet_assets_tests.support.configured import parse_side
from smartdiet_assets_tests.support.reading import read_once

MARK = "MARK"
OBJECT_ID = "0123456789abcdef01234567"
#: Keys of every kind: an address as the primary key, one that points at it, a unique one, a date, a long number.
TABLES = """
CREATE TABLE people (email text PRIMARY KEY, name text, number bigint UNIQUE);
CREATE TABLE visits (person text NOT NULL REFERENCES people (email), day date NOT NULL, note text,
  UNIQUE (person, day));
CREATE TABLE codes (code text NOT NULL UNIQUE, note jsonb);
CREATE TABLE loose (a text, b bytea);
CREATE TABLE ids (id text PRIMARY KEY, note text);
"""
ROWS = """
INSERT INTO people VALUES ('{0}-1', '{0}', 600000001), ('{0}-2', '{1}', 600000002);
INSERT INTO visits VALUES ('{0}-1', '1977-07-0{2}', '{1}'), ('{0}-2', '1977-07-01', '{0}');
INSERT INTO codes VALUES ('{0}', '"{1}"'), ('{1}', NULL);
INSERT INTO loose VALUES ('{1}', '{0}');
INSERT INTO ids VALUES ('{0}', '{0}'), ('0123456789abcdef01234567', '{1}');
"""


def printed(outcome: Outcome) -> str:
    stream = io.StringIO()
    print_outcome(Console(file=stream, width=200), outcome, limit=None)
    return stream.getvalue() + json.dumps(build_json(outcome)) + repr(outcome.rows)


def test_rows_of_servers(pair: Pair) -> None:
    pair.run(TABLES)
    pair.left.run(ROWS.format(MARK, "MARKLEFT", 1))
    pair.right.run(ROWS.format(MARK, "MARKRIGHT", 2))
    outcome = pair.compare(data=True, limit=None)
    text = printed(outcome)
    assert [c.table for c in outcome.rows or () if c.equal] == []
    assert OBJECT_ID in text
    assert MARK not in text
    assert "1977" not in text
    assert "600000001" not in text
    assert outcome.structure is not None
    assert MARK not in compose_script(outcome.structure, drop=True)


def test_documents_and_their_rows(unlimited: Checked) -> None:  # noqa: F811
    source, mirrored = unlimited.source, unlimited.mirrored
    unlimited.save("teams", 0, name=MARK)
    unlimited.save("people", 0, email=MARK, answer=MARK, registered=[reference("events", 0)])
    unlimited.save("events", 0, name=MARK, extra={MARK: MARK})
    dates = {"creation_date": now(), "update_date": now()}
    source.teams.insert_many([{"_id": MARK * number, "name": MARK, **dates} for number in (1, 2)])
    unlimited.sync()
    unlimited.pass_a_second()
    unlimited.execute("UPDATE events SET name = %s, extra = NULL", [MARK * 2])
    unlimited.execute("UPDATE people SET email = %s, role = %s", [MARK * 2, MARK])
    unlimited.execute("DELETE FROM teams WHERE id = %s", [MARK])
    unlimited.execute("DELETE FROM person_events")
    source.teams.delete_one({"_id": MARK * 2})
    tables = list(mirrored.schema.tables)
    read = read_once(mirrored.mongo)
    found: Any = list(compare_documents(mirrored.connection, read, mirrored.schema, tables, limit=None))
    assert {c.table for c in found if not c.equal} >= {"events", "people", "teams", "person_events"}
    text = printed(Outcome(parse_side("mongo"), parse_side("local"), None, found))
    assert str(unlimited.application.id_of("people", 0)) in text, "an id is shown"
    assert MARK not in text
