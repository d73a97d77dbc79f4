"""What is forgotten goes everywhere the foreign keys lead, and stays out until it is lifted."""

from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.forgetting import forget, lift
from smartdiet_assets_tests.integration.protection.conftest import OF_ALL, OTHER_KEY, TABLES, Build
from smartdiet_assets_tests.integration.protection.planted import MARK, dates, entry, plant, post

PERSON = f"{MARK}-person-0"

RECORDS = (
    "rejected_rows", "awaited_parents", "missing_parents", "forgotten_ids", "document_ids", '"public.diary_candidates"'
)  # fmt: skip


def count(connection: psycopg.Connection[Any]) -> dict[str, int]:
    tables = ("people", "posts", "tags", "diary")
    return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # type: ignore


@pytest.mark.parametrize("protections", ["", OF_ALL], ids=["plain", "protected"])
@pytest.mark.parametrize("on_delete", ["delete", "keep"])
def test_rows_rejects_waits_and_candidates_go_and_come_back_when_lifted(
    build: Build, tables: Any, mongo_database: Database[Any], postgres: psycopg.Connection[Any],
    protections: str, on_delete: str,
) -> None:  # fmt: skip
    tables.write_text(TABLES.replace("on_delete: delete", f"on_delete: {on_delete}"))
    plant(mongo_database)
    missing = f"{MARK}-person-99"
    mirrored = build(protections)
    mirrored.run()
    before = count(postgres)
    assert forget(postgres, mirrored.schema, "people", [PERSON, missing], dry_run=True).total > 0
    assert count(postgres) == before
    found = forget(postgres, mirrored.schema, "people", [PERSON, missing])
    # Its two posts with two tags each; of its three entries of one day one shows.
    after = {"people": before["people"] - 1, "posts": before["posts"] - 2, "tags": before["tags"] - 4, "diary": 0}
    assert count(postgres) == after
    assert {name: before[name] - after[name] for name in before} == {**found.rows, "diary": 1}
    for name in RECORDS:
        rows = postgres.execute(f"SELECT t::text FROM smartdiet.{name} AS t").fetchall()  # type: ignore[call-overload]
        assert not [row for (row,) in rows if PERSON in row or missing in row], name
    # Nothing comes back: as it is, read whole, changed, written anew, or answering what went.
    mongo_database.people.update_one({"_id": PERSON}, {"$set": dates(1)})
    mongo_database.posts.insert_one(post(50, PERSON))
    mongo_database.diary.insert_one(entry(51, PERSON))
    for request in (WindowRequest("newest"), WindowRequest("full"), WindowRequest("newest")):
        mirrored.run(request)
        assert count(postgres) == after
    waiting = "SELECT count(*) FROM smartdiet.rejected_rows WHERE reason = 'missing_parent'"
    assert postgres.execute(waiting).fetchone() == (0,)
    assert postgres.execute("SELECT count(*) FROM smartdiet.awaited_parents").fetchone() == (0,)
    if protections:
        rekeyed = build(protections, OTHER_KEY, rekey=True)
        rekeyed.run()
        assert count(postgres) == after, "another key lets nothing in"
        mirrored = rekeyed
    assert lift(postgres, mirrored.schema, "people", [PERSON, missing]) == 2
    assert not mirrored.sync()
    assert count(postgres) == {**before, "posts": before["posts"] + 1, "tags": before["tags"] + 2}
