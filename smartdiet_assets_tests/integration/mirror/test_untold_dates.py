"""Documents whose dates are no Dates: text, numbers, Timestamps, arrays. Every run's tables equal a full read's.

The ids say nothing, being old or no ObjectIds, and nothing is read twice for good measure: the overlap is 0 s.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from smartdiet_assets.checks.evaluation import Servers, evaluate_checks
from smartdiet_assets.checks.mongodb import CheckedMongo
from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.reading import read_once

EXAMPLES = int(os.environ.get("SMARTDIET_DATE_EXAMPLES", "6"))
ENTRIES = """
tables:
  entries:
    include_base: true
    overlap: 0s
    additional_columns:
      - {name: text, sql_type: VARCHAR, mongo_field: text}
  entry_texts:
    overlap: 0s
    mongo_collection: entries
    columns:
      - {name: id, sql_type: VARCHAR, mongo_field: _id, primary_key: true}
      - {name: text, sql_type: VARCHAR, mongo_field: text}
  entry_tags:
    overlap: 0s
    mongo_collection: entries
    arrays: [{field: tags}]
    columns:
      - {name: entry_id, sql_type: VARCHAR, mongo_field: _id, foreign_key: entry_texts(id), nullable: false}
      - {name: tag, sql_type: VARCHAR, item_field: ".", nullable: false}
    unique_constraints: [[entry_id, tag]]
"""
LONG_AGO = datetime(2020, 1, 1)


def milliseconds(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp() * 1000)


#: How an application may write a moment; each is another value at another moment.
SPELLINGS: dict[str, Any] = {
    "date": lambda at: at,
    "text": lambda at: at.isoformat(),
    "text in UTC": lambda at: f"{at.isoformat()}Z",
    "text with an offset": lambda at: at.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=2))).isoformat(),
    "other text": lambda at: at.strftime("%d/%m/%Y %H:%M:%S.%f"),
    "long": lambda at: Int64(milliseconds(at)),
    "int": lambda at: milliseconds(at) % 2**31,
    "double": lambda at: milliseconds(at) / 1000,
    "decimal": lambda at: Decimal128(str(milliseconds(at))),
    "timestamp": lambda at: Timestamp(milliseconds(at) // 1000, milliseconds(at) % 1000 + 1),
    "array": lambda at: [at],
    "array of old and new": lambda at: [LONG_AGO, at],
    "array of text": lambda at: [at.isoformat()],
    "array of both": lambda at: [LONG_AGO, at.isoformat()],
    "extended JSON": lambda at: {"$date": at.isoformat()},
    "object": lambda at: {"at": at},
    "object id": ObjectId.from_datetime,
    "binary": lambda at: Binary(at.isoformat().encode()),
    "regex": lambda at: Regex(at.isoformat()),
    "code": lambda at: Code(at.isoformat()),
}
#: What says nothing, and moves with the other date or not at all.
CONSTANTS: dict[str, Any] = {
    "null": None, "empty": "", "empty array": [], "bool": True, "min": MinKey(), "max": MaxKey(), "nan": float("nan"),
    "old date": LONG_AGO, "old array": [LONG_AGO],
}  # fmt: skip
#: Alone, these do not bring a document into any run.
SILENT = {"null", "absent", "old date", "old array"}
dates = st.sampled_from([*SPELLINGS, *CONSTANTS, "absent"])
tags = st.lists(st.sampled_from("abc"), max_size=3, unique=True)
saves = st.tuples(st.integers(0, 5), dates, dates, tags).filter(lambda save: not {save[1], save[2]} <= SILENT)
#: Saves and, as None, syncs.
histories = st.lists(saves | st.none(), min_size=2, max_size=16)


class Entries:
    """The collection and its mirror."""

    def __init__(self, mirrored: Mirrored) -> None:
        self.mirrored = mirrored
        self.collection = mirrored.mongo.entries
        self._saved = 0
        self._at = datetime.min

    def save(self, number: int, created: str, updated: str, found: list[str]) -> None:
        """Save a document anew, at a moment after the last one."""
        now = datetime.now(UTC).replace(tzinfo=None)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._at = max(now, self._at + timedelta(milliseconds=1))
        self._saved += 1
        identity = number if number % 2 else ObjectId.from_datetime(LONG_AGO + timedelta(days=number))
        if not number % 2:
            identity = ObjectId(identity.binary[:4] + number.to_bytes(8, "big"))
        document = {"_id": identity, "text": f"{self._saved}", "tags": found}
        for field, kind in (("creation_date", created), ("update_date", updated)):
            if kind != "absent":
                document[field] = SPELLINGS[kind](self._at) if kind in SPELLINGS else CONSTANTS[kind]
        self.collection.replace_one({"_id": identity}, document, upsert=True)

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend the mirror's connection."""
        yield self.mirrored.connection

    def faults(self) -> list[str]:
        """What fails among all checks, but for rejects, and dates that change their type as they are to."""
        tables = self.mirrored.schema.tables
        outcomes = evaluate_checks(
            self.mirrored.schema,
            {name: KINDS.keys() - {"no_rejects", "no_undeclared_fields"} for name in tables},
            Servers(postgres=self.lend, sources={"mongodb": CheckedMongo(read_once(self.mirrored.mongo))}),
            sample=None,
        )
        return [f"{outcome.table} {outcome.kind}: {outcome.sentence}" for outcome in outcomes if not outcome.passed]


@pytest.fixture(params=["indexed", "unindexed"])
def entries(
    request: pytest.FixtureRequest, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> Entries:
    mirrored = Mirrored(declare(ENTRIES), mongo_database, postgres)
    if request.param == "indexed":
        mongo_database.entries.create_index("update_date")
        mongo_database.entries.create_index([("creation_date", -1)])
    return Entries(mirrored)


@settings(
    max_examples=EXAMPLES,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
@given(history=histories)
def test_every_run_leaves_what_a_full_read_would(entries: Entries, history: list[Any]) -> None:
    entries.mirrored.forget()
    # What is there first moves the watermark to the present.
    entries.save(6, "date", "date", [])
    assert not entries.mirrored.sync()
    for number, step in enumerate([*history, None]):
        if step:
            entries.save(*step)
            continue
        differences = entries.mirrored.sync()
        assert not differences, f"after step {number}:\n" + "\n".join(differences)
    assert not entries.faults()
    before = entries.mirrored.versions()
    assert not entries.mirrored.sync()
    assert entries.mirrored.versions() == before, "a run of unchanged data wrote rows"


@pytest.mark.parametrize("entries", ["indexed"], indirect=True)
@pytest.mark.parametrize("kind", [*SPELLINGS, "bool", "empty", "empty array"])
def test_an_edit_is_seen_whatever_the_date_is_and_whatever_the_window(entries: Entries, kind: str) -> None:
    """Also from a threshold on, and in a run of older partitions: nothing tells when such a document changed."""
    mirrored = entries.mirrored
    entries.save(6, "date", "date", [])
    entries.save(0, kind, kind, ["a"])
    assert not mirrored.sync()
    older = WindowRequest("range", start=datetime(2024, 1, 1), end=datetime(2024, 2, 1))
    untold = kind not in ("date", "array", "array of old and new")
    for request in (WindowRequest("newest"), *([older] if untold else [])):
        entries.save(0, kind, kind, ["b"])
        assert not mirrored.sync(request)
    mirrored.forget()
    entries.save(0, kind, kind, ["c"])
    for table in mirrored.schema.tables.values():
        mirror_table(
            mirrored.schema,
            table,
            mirrored.mongo,
            mirrored.connection,
            run_id="first",
            request=WindowRequest("newest"),
            global_date_threshold=date(2026, 1, 1),
        )
    assert mirrored.connection.execute("SELECT tag FROM entry_tags").fetchall() == [("c",)]
