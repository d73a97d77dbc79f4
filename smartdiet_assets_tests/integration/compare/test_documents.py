"""Documents and the rows they should be, link tables included: what differs is counted and named by its document."""

from datetime import timedelta
from typing import Any

import pytest

from smartdiet_assets.compare.documents import compare_documents
from smartdiet_assets.compare.row_differences import RowComparison
from smartdiet_assets_tests.integration.checks.conftest import checked, empty, unlimited  # noqa: F401
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.checked import Checked, now
from smartdiet_assets_tests.support.reading import read_once

#: Of a document without dates nobody can tell.
CHANGED = "changed since the last run or undated"
Found = dict[str, RowComparison]


def compare(checked: Checked, limit: int | None = None, **options: Any) -> Found:  # noqa: F811
    mirrored = checked.mirrored
    found = compare_documents(
        mirrored.connection,
        read_once(mirrored.mongo),
        mirrored.schema,
        list(mirrored.schema.tables),
        limit=limit,
        **options,
    )
    return {comparison.table: comparison for comparison in found}


def differing(found: Found) -> dict[str, tuple[int, int, int]]:
    return {name: (c.missing, c.extra, c.different) for name, c in found.items() if not c.equal}


def documents(comparison: RowComparison) -> set[tuple[str, str | None]]:
    return {(key.kind, value) for key in comparison.keys for _, value in key.values}


def identity(checked: Checked, collection: str, number: int) -> str:  # noqa: F811
    return str(checked.application.id_of(collection, number))


def test_a_fresh_mirror_is_equal_row_by_row(checked: Checked) -> None:  # noqa: F811
    found = compare(checked)
    assert (differing(found), {name: c.fault for name, c in found.items() if c.fault}) == ({}, {})
    assert set(found) == set(checked.mirrored.schema.tables)
    assert (found["people"].left, found["people"].right) == (3, 3)
    assert (found["person_events"].left, found["person_events"].right) == (6, 6)
    assert found["meals"].left == found["meals"].right == 3, "those behind a winner too"


#: (what is done to the mirror, table, what is found, the collection and number of the document)
FAULTS = [
    ("DELETE FROM notes WHERE person_id = %s", "notes", (1, 0, 0), None),
    ("DELETE FROM person_events WHERE person_id = %s", "person_events", (2, 0, 0), "missing"),
    ("DELETE FROM person_menus WHERE person_id = %s", "person_menus", (2, 0, 0), "missing"),
    ("DELETE FROM person_seen WHERE person_id = %s", "person_seen", (2, 0, 0), "missing"),
    ("UPDATE people SET role = 'OTHER' WHERE id = %s", "people", (0, 0, 1), "different"),
    (
        "INSERT INTO person_events (person_id, event_id, created_at, updated_at)"
        " SELECT %s, id, now(), now() FROM events ORDER BY id DESC LIMIT 1",
        "person_events",
        (0, 1, 0),
        "extra",
    ),
]


@pytest.mark.parametrize(("statement", "table", "counts", "kind"), FAULTS)
def test_a_planted_fault_is_found_and_named(
    checked: Checked,  # noqa: F811
    statement: str,
    table: str,
    counts: tuple[int, int, int],
    kind: str | None,
) -> None:
    checked.pass_a_second()
    someone = identity(checked, "people", 1)
    checked.execute(statement, [someone])
    found = compare(checked)
    assert differing(found) == {table: counts}
    if kind:
        assert documents(found[table]) == {(kind, someone)}


def test_an_item_exchanged_for_another_is_seen_where_counts_and_ids_agree(checked: Checked) -> None:  # noqa: F811
    """The old check compared ids of documents, which a link table does not have."""
    last = identity(checked, "events", 2)
    checked.execute(
        "UPDATE person_events SET event_id = %s WHERE person_id = %s", [last, identity(checked, "people", 0)]
    )
    found = compare(checked)
    assert differing(found) == {"person_events": (1, 1, 0)}
    assert found["person_events"].left == found["person_events"].right


def test_what_changed_since_the_last_run_is_no_difference(checked: Checked) -> None:  # noqa: F811
    checked.save("teams", 7)
    checked.save("people", 0, registered=[], liked=[reference("events", 2)], seen=[])
    checked.save("events", 1, __t="webinar")
    checked.source.teams.insert_one({"name": "undated"})
    found = compare(checked)
    assert differing(found) == {}
    assert found["people"].notes[CHANGED] == 1
    assert found["person_events"].notes[CHANGED] == 1
    assert found["teams"].notes[CHANGED] == 2


def test_an_edit_that_did_not_move_its_date_is_a_difference(checked: Checked) -> None:  # noqa: F811
    checked.source.teams.update_one({"_id": checked.application.id_of("teams", 1)}, {"$set": {"name": "edited"}})
    found = compare(checked)
    assert differing(found) == {"teams": (0, 0, 1)}
    assert found["teams"].columns == {"name": 1}
    assert documents(found["teams"]) == {("different", identity(checked, "teams", 1))}


def test_rejected_and_filtered_documents_are_counted_and_no_difference(unlimited: Checked) -> None:  # noqa: F811
    unlimited.save_company()
    unlimited.save("notes", 3, text="far too long for it")
    unlimited.save("meals", 7, cancelled=True)
    unlimited.sync()
    unlimited.pass_a_second()
    found = compare(unlimited)
    assert differing(found) == {}
    assert found["notes"].notes["rejected"] == 1
    assert found["meals"].notes["filtered out"] == 1
    unlimited.execute("DELETE FROM smartdiet.rejected_rows")
    assert differing(compare(unlimited)) == {"notes": (1, 0, 0)}, "neither a row nor a reject"


@pytest.mark.parametrize(("on_delete", "counts"), [("keep", {}), ("delete", {"people": (0, 1, 0)})])
def test_rows_of_deleted_documents_are_kept_as_declared_or_too_many(
    checked: Checked,  # noqa: F811
    on_delete: str,
    counts: dict[str, Any],
) -> None:
    checked.source.people.delete_one({"_id": checked.application.id_of("people", 2)})
    people = checked.mirrored.schema.tables["people"].model_copy(update={"on_delete": on_delete})
    tables = {**checked.mirrored.schema.tables, "people": people}
    checked.mirrored.schema = checked.mirrored.schema.model_copy(update={"tables": tables})
    found = compare(checked)
    assert differing(found) == counts
    if counts:
        assert documents(found["people"]) == {("extra", identity(checked, "people", 2))}
    else:
        assert found["people"].notes["kept of deleted documents"] == 1
    assert found["person_events"].notes["kept of deleted documents"] == 3


def test_documents_from_before_the_limit_of_the_first_load_may_be_missing(empty: Checked) -> None:  # noqa: F811
    old = now() - timedelta(days=90)
    empty.source.teams.insert_one({"name": "old", "creation_date": old, "update_date": old})
    empty.save_company()
    empty.sync()
    empty.execute("DELETE FROM teams WHERE name = 'old'")
    assert differing(compare(empty)) == {"teams": (1, 0, 0)}
    found = compare(empty, global_date_threshold=(now() - timedelta(days=30)).date())
    assert differing(found) == {}
    assert found["teams"].notes["before the limit"] == 1


def test_a_table_that_cannot_be_compared_says_why(checked: Checked) -> None:  # noqa: F811
    checked.execute("ALTER TABLE events ALTER COLUMN places TYPE bigint")
    checked.execute("DROP TABLE notes")
    found = compare(checked)
    assert "compare schema" in found["events"].fault
    assert "smartdiet sync notes" in found["notes"].fault
    assert differing(found) == {}


def test_at_most_as_many_documents_as_asked_for_are_listed(checked: Checked) -> None:  # noqa: F811
    checked.execute("UPDATE events SET places = 11")
    found = compare(checked, limit=2)
    assert (found["events"].different, len(found["events"].keys)) == (3, 2)


def test_nothing_is_written(checked: Checked) -> None:  # noqa: F811
    before = checked.mirrored.versions()
    compare(checked)
    assert checked.mirrored.versions() == before
