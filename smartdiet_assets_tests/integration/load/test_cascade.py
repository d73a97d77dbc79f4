"""Rows that go while others point at them: the run goes on, and nobody's document is lost."""

from typing import Any

import psycopg

from smartdiet_assets.load.removal.cascade import list_reach
from smartdiet_assets_tests.support.loads import (
    club,
    described,
    load,
    oid,
    parent,
    read,
    rejects_of,
    retry_ids,
    rows_of,
)

Connection = psycopg.Connection[Any]
GUEST, OTHER, VISIT, HOSTED, NOTE = oid(1), oid(2), oid(11), oid(12), oid(21)


def fill(connection: Connection) -> None:
    """A guest with a visit and a note on it; another guest whose visit the first one hosts."""
    load(connection, club(), "guests", described((GUEST, [(GUEST, "a")]), (OTHER, [(OTHER, "b")])))
    load(connection, club(), "visits", read((VISIT, GUEST, None), (HOSTED, OTHER, GUEST)))
    load(connection, club(), "notes", read((NOTE, VISIT)))


def test_the_reach_of_a_deletion_goes_on_only_through_rows_that_go() -> None:
    schema = club()
    assert list_reach(schema, "guests") == ["guests", "visits", "notes"]
    assert list_reach(schema, "chains") == ["chains"]


def test_children_go_with_their_parents_or_lose_the_reference(postgres: Connection) -> None:
    fill(postgres)

    result = load(postgres, club(), "guests", described((GUEST, [])))

    assert (result.deleted, result.cascaded) == (1, {"visits": 2, "notes": 1})
    assert rows_of(postgres, "visits") == [(HOSTED, OTHER, None)]
    assert rows_of(postgres, "notes") == []


def test_the_documents_of_rows_that_went_are_read_again_with_their_parents(postgres: Connection) -> None:
    fill(postgres)

    load(postgres, club(), "guests", described((GUEST, [])))

    assert rejects_of(postgres, "visits") == [(VISIT, "guest_id", "missing_parent", 1, 1)]
    assert rejects_of(postgres, "notes") == [(NOTE, "visit_id", "missing_parent", 1, 1)]
    assert retry_ids(postgres, club(), "guests") == parent(GUEST)
    assert retry_ids(postgres, club(), "visits") == sorted([*parent(VISIT), HOSTED])
    assert retry_ids(postgres, club(), "notes") == [NOTE]


def test_everything_comes_back_with_the_parent(postgres: Connection) -> None:
    fill(postgres)
    before = [rows_of(postgres, table) for table in ("guests", "visits", "notes")]
    load(postgres, club(), "guests", described((GUEST, [])))

    load(postgres, club(), "guests", described((GUEST, [(GUEST, "a")])))
    load(postgres, club(), "visits", read((VISIT, GUEST, None), (HOSTED, OTHER, GUEST)))
    load(postgres, club(), "notes", read((NOTE, VISIT)))

    assert [rows_of(postgres, table) for table in ("guests", "visits", "notes")] == before
    assert rows_of(postgres, "smartdiet.rejected_rows") == []
    assert rows_of(postgres, "smartdiet.awaited_parents") == []


def test_a_row_that_goes_takes_those_of_its_own_table_that_point_at_it(postgres: Connection) -> None:
    schema = club(("  chains:\n", "  chains:\n    filter: {kind: chain}\n"))
    load(
        postgres,
        schema,
        "chains",
        described(
            *[(oid(n), [(oid(n), oid(n - 1) if n > 1 else None)]) for n in (1, 2, 3)], (oid(9), [(oid(9), None)])
        ),
    )

    result = load(postgres, schema, "chains", described((oid(1), [])))

    assert (result.deleted, result.cascaded) == (1, {"chains": 2})
    assert rows_of(postgres, "chains") == [(oid(9), None)]
    assert [row[0] for row in rejects_of(postgres, "chains")] == [oid(2), oid(3)]


def test_a_row_that_points_elsewhere_by_now_does_not_go(postgres: Connection) -> None:
    schema = club(("  chains:\n", "  chains:\n    filter: {kind: chain}\n"))
    load(postgres, schema, "chains", described((oid(1), [(oid(1), None)]), (oid(2), [(oid(2), oid(1))])))

    load(postgres, schema, "chains", described((oid(1), []), (oid(2), [(oid(2), oid(3))]), (oid(3), [(oid(3), None)])))

    assert rows_of(postgres, "chains") == [(oid(2), oid(3)), (oid(3), None)]
    assert rejects_of(postgres, "chains") == []
