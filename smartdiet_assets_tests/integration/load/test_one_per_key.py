"""Tables where several documents may share a key: the winner shows, and the others wait for their turn."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from smartdiet_assets.load.conflicts.read_order import ReadOrder
from smartdiet_assets.load.conflicts.rereads import Settlement, is_read_once
from smartdiet_assets.load.fragments import target_of
from smartdiet_assets_tests.support.loads import (
    EARLY,
    Batch,
    club,
    described,
    load,
    oid,
    read,
    reject,
    rejects_of,
    rows_of,
    versions_of,
)

Connection = psycopg.Connection[Any]


@pytest.fixture
def diary(postgres: Connection) -> Connection:
    """A database with members 1 to 3 and group 50."""
    load(postgres, club(), "groups", read((oid(50), None, "g")))
    load(postgres, club(), "members", read(*[(oid(n), None, None, None, None, EARLY, EARLY) for n in (1, 2, 3)]))
    return postgres


def entry(
    number: int, day: int, mood: str, *, age: int | None = 0, member: int = 1, group: int | None = None
) -> tuple[Any, list[tuple[Any, ...]]]:
    """Document `number` about a day; the larger `age` (in days), the newer: it wins. None is no date at all."""
    at = None if age is None else EARLY + timedelta(days=age)
    return oid(number), [(oid(member), day, mood, None if group is None else oid(group), at, oid(number))]


def shown(connection: Connection) -> dict[tuple[int, int], str]:
    rows = rows_of(connection, "diary", "member_id, day, mood")
    return {(int(member, 16), day): mood for member, day, mood in rows}


def waiting(connection: Connection) -> list[str]:
    return sorted(mood for (mood,) in rows_of(connection, "smartdiet.public.diary_candidates", "mood"))


def run(connection: Connection, *documents: Any, bulk_from: int = 1_000, **options: Any) -> Any:
    return load(connection, club(), "diary", described(*documents), bulk_from=bulk_from, **options)


def test_columns_are_in_the_order_these_tests_assume() -> None:
    columns = [column.name for column in club().tables["diary"].stored_columns]
    assert columns == ["member_id", "day", "mood", "group_id", "updated_at", "document_id"]


@pytest.mark.parametrize("bulk_from", [1, 1_000])
@pytest.mark.parametrize("existing", [False, True])
def test_the_declared_winner_shows_and_the_others_wait(diary: Connection, existing: bool, bulk_from: int) -> None:
    if existing:
        run(diary)

    result = run(diary, entry(1, 1, "a", age=1), entry(2, 1, "b", age=3), entry(3, 1, "c", age=2), bulk_from=bulk_from)

    assert (result.inserted, result.rows) == (1, 1)
    assert (shown(diary), waiting(diary)) == ({(1, 1): "b"}, ["a", "c"])


def test_a_document_without_the_deciding_value_comes_last(diary: Connection) -> None:
    run(diary, entry(1, 1, "undated", age=None), entry(2, 1, "dated"))
    assert shown(diary) == {(1, 1): "dated"}


def test_equal_documents_are_told_apart_by_their_id(diary: Connection) -> None:
    run(diary, entry(2, 1, "b"), entry(1, 1, "a"))
    assert shown(diary) == {(1, 1): "b"}


def test_a_better_document_takes_the_row_over_and_keeps_its_number(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=1))
    number = rows_of(diary, "diary", "id")

    result = run(diary, entry(2, 1, "b", age=2))

    assert (result.inserted, result.updated, result.deleted) == (0, 1, 0)
    assert (shown(diary), waiting(diary)) == ({(1, 1): "b"}, ["a"])
    assert rows_of(diary, "diary", "id") == number


def test_when_the_winner_moves_to_another_key_the_next_one_shows(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=1), entry(2, 1, "b", age=2))

    run(diary, entry(2, 5, "b", age=3))

    assert (shown(diary), waiting(diary)) == ({(1, 1): "a", (1, 5): "b"}, [])


def test_when_the_winner_stops_matching_the_filter_the_next_one_shows(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=1), entry(2, 1, "b", age=2))

    run(diary, (oid(2), []))

    assert (shown(diary), waiting(diary)) == ({(1, 1): "a"}, [])


def test_when_the_only_document_of_a_key_goes_so_does_the_row(diary: Connection) -> None:
    run(diary, entry(1, 1, "a"), entry(2, 2, "b"))

    result = run(diary, (oid(1), []))

    assert (result.deleted, shown(diary)) == (1, {(1, 2): "b"})


def test_when_the_winner_becomes_worse_the_next_one_shows(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=2), entry(2, 1, "b", age=3))

    run(diary, entry(2, 1, "b", age=1))

    assert (shown(diary), waiting(diary)) == ({(1, 1): "a"}, ["b"])


def test_a_waiting_document_that_goes_waits_no_more(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=1), entry(2, 1, "b", age=2))

    run(diary, (oid(1), []))

    assert (shown(diary), waiting(diary)) == ({(1, 1): "b"}, [])


def test_two_documents_may_swap_keys(diary: Connection) -> None:
    run(diary, entry(1, 1, "a"), entry(2, 2, "b"))

    run(diary, entry(1, 2, "a"), entry(2, 1, "b"))

    assert (shown(diary), waiting(diary)) == ({(1, 1): "b", (1, 2): "a"}, [])


def test_a_rejected_winner_stays(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=1), entry(2, 1, "b", age=2))

    load(diary, club(), "diary", described(rejects=[reject(oid(2))]))

    assert (shown(diary), waiting(diary)) == ({(1, 1): "b"}, ["a"])


def test_running_twice_writes_nothing(diary: Connection) -> None:
    documents = [entry(1, 1, "a", age=1), entry(2, 1, "b", age=2), entry(3, 2, "c"), entry(4, 3, "d", group=51)]
    run(diary, *documents)
    before = (
        versions_of(diary, "diary"),
        rows_of(diary, "smartdiet.public.diary_candidates", "t.xmin::text, t.ctid::text"),
    )

    result = run(diary, *documents)

    assert (result.inserted, result.updated, result.deleted, result.unchanged) == (0, 0, 0, 2)
    after = (
        versions_of(diary, "diary"),
        rows_of(diary, "smartdiet.public.diary_candidates", "t.xmin::text, t.ctid::text"),
    )
    assert after == before


def test_a_row_of_the_replaced_tool_gives_way_to_the_winner_of_its_key(diary: Connection) -> None:
    run(diary)
    diary.execute("INSERT INTO diary (member_id, day, mood) VALUES (%s, 1, 'old'), (%s, 2, 'old')", [oid(1), oid(1)])

    result = run(diary, entry(1, 1, "new"))

    assert (result.updated, result.inserted, result.deleted) == (1, 0, 0)
    assert shown(diary) == {(1, 1): "new", (1, 2): "old"}


def test_a_waiting_document_whose_parent_went_is_rejected_when_its_turn_comes(diary: Connection) -> None:
    run(diary, entry(1, 1, "a", age=1, group=50), entry(2, 1, "b", age=2))
    diary.execute("DELETE FROM groups")

    result = run(diary, (oid(2), []))

    assert shown(diary) == {}
    assert (result.deleted, result.rejected) == (1, 1)
    assert rejects_of(diary, "diary") == [(oid(1), "group_id", "missing_parent", 1, 1)]


def test_of_a_document_read_twice_the_last_read_counts(diary: Connection) -> None:
    load(diary, club(), "diary", described(entry(1, 1, "a", age=5)), described(entry(1, 2, "b")), Batch())
    assert (shown(diary), waiting(diary)) == ({(1, 2): "b"}, [])


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_order_of_ids_proves_nothing_where_the_collation_takes_some_for_one(
    diary: Connection, deterministic: bool
) -> None:
    run(diary)
    # The server of these tests has no collation of that kind, but it can be told that one is.
    diary.execute('CREATE COLLATION caseless FROM "C"')
    diary.execute("UPDATE pg_collation SET collisdeterministic = %s WHERE collname = 'caseless'", [deterministic])
    diary.execute("ALTER TABLE diary ALTER COLUMN document_id TYPE varchar COLLATE caseless")
    table = club().tables["diary"]
    order = ReadOrder(table)
    order.note(["A", "a"])

    assert is_read_once(Settlement(diary, table, target_of(table), order=order)) == deterministic
