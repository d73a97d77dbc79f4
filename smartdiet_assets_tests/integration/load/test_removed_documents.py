"""Documents that are gone at the source: what `on_delete` makes of their rows, for every shape of a table."""

from datetime import datetime
from typing import Any

import psycopg
import pytest

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.removal.cascade import Removal
from smartdiet_assets.load.removal.gone import remove_documents
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.loads import (
    EARLY,
    LATE,
    club,
    described,
    load,
    oid,
    parent,
    read,
    reject,
    rejects_of,
    retry_ids,
    rows_of,
)

Connection = psycopg.Connection[Any]
TABLES = ("groups", "members", "guests", "visits", "notes", "tags", "diary")


def declared(on_delete: str, *tables: str, more: tuple[tuple[str, str], ...] = ()) -> Schema:
    return club(*[(f"  {table}:\n", f"  {table}:\n    on_delete: {on_delete}\n") for table in tables or TABLES], *more)


def remove(
    connection: Connection, schema: Schema, table: str, *documents: object, at: datetime | None = LATE
) -> Removal:
    with connection.transaction():
        lock_tables(connection, [table])
        batches = [document if isinstance(document, IdBatch) else IdBatch([document]) for document in documents]
        return remove_documents(connection, schema, schema.tables[table], batches, "gone", deleted_at=at)


def values(schema: Schema, table: str, *known: Any) -> tuple[Any, ...]:
    """A row: the known values, and NULL in the mark that may come after them."""
    return (*known, *[None] * (len(schema.tables[table].stored_columns) - len(known)))


def fill_members(connection: Connection, schema: Schema) -> None:
    load(
        connection,
        schema,
        "members",
        read(*[values(schema, "members", oid(n), None, None, None, None, EARLY, EARLY) for n in (1, 2, 3)]),
    )


def tags_of(schema: Schema, number: int, *tags: str) -> tuple[Any, list[tuple[Any, ...]]]:
    return oid(number), [values(schema, "tags", oid(number), tag, None, EARLY, EARLY) for tag in tags]


def entry(schema: Schema, number: int, day: int, mood: str, when: datetime) -> tuple[Any, list[tuple[Any, ...]]]:
    columns = {"member_id": oid(1), "day": day, "mood": mood, "updated_at": when, "document_id": oid(number)}
    return oid(number), [tuple(columns.get(column.name) for column in schema.tables["diary"].stored_columns)]


def diary(connection: Connection, columns: str = "day, mood") -> list[tuple[Any, ...]]:
    return rows_of(connection, "diary", columns)


# --- one row per document


def test_keep_leaves_every_row(postgres: Connection) -> None:
    schema = declared("keep")
    fill_members(postgres, schema)
    assert remove(postgres, schema, "members", oid(1)) == Removal()
    assert len(rows_of(postgres, "members")) == 3


def test_delete_removes_the_row(postgres: Connection) -> None:
    schema = declared("delete")
    fill_members(postgres, schema)
    assert remove(postgres, schema, "members", oid(1), oid(1), oid(99)) == Removal(removed=1)
    assert rows_of(postgres, "members", "id") == [(oid(2),), (oid(3),)]


def test_flag_marks_the_row_once(postgres: Connection) -> None:
    schema = declared("flag")
    fill_members(postgres, schema)

    assert remove(postgres, schema, "members", oid(1), at=EARLY) == Removal(flagged=1)
    assert remove(postgres, schema, "members", oid(1), oid(2), at=LATE) == Removal(flagged=1)

    assert rows_of(postgres, "members", "id, deleted_at") == [(oid(1), EARLY), (oid(2), LATE), (oid(3), None)]


def test_a_document_that_is_back_loses_its_mark(postgres: Connection) -> None:
    schema = declared("flag")
    fill_members(postgres, schema)
    remove(postgres, schema, "members", oid(1))

    fill_members(postgres, schema)

    assert {mark for (mark,) in rows_of(postgres, "members", "deleted_at")} == {None}


def test_a_mark_is_kept_in_utc_whatever_the_session_and_the_column(postgres: Connection) -> None:
    column = "      - {name: deleted_at, sql_type: TIMESTAMPTZ}\n"
    schema = declared("flag", "guests", more=(("  visits:\n", f"{column}  visits:\n"),))
    postgres.execute("SET timezone = 'America/New_York'")
    load(postgres, schema, "guests", described((oid(1), [(oid(1), "a", None)])))

    remove(postgres, schema, "guests", oid(1), at=LATE)

    assert rows_of(postgres, "guests", "deleted_at AT TIME ZONE 'UTC'") == [(LATE,)]


def test_a_marked_parent_keeps_its_children(postgres: Connection) -> None:
    schema = declared("flag")
    fill_members(postgres, schema)
    load(postgres, schema, "tags", described(tags_of(schema, 1, "a")))

    remove(postgres, schema, "members", oid(1))

    assert rows_of(postgres, "tags", "tag, deleted_at") == [("a", None)]


# --- what points at the rows


def test_children_go_before_their_parents_and_wait_for_them(postgres: Connection) -> None:
    schema = declared("delete", "guests")
    load(postgres, schema, "guests", described((oid(1), [(oid(1), "a")]), (oid(2), [(oid(2), "b")])))
    load(postgres, schema, "visits", read((oid(11), oid(1), None), (oid(12), oid(2), oid(1))))
    load(postgres, schema, "notes", read((oid(21), oid(11))))

    removal = remove(postgres, schema, "guests", oid(1))

    assert (removal.removed, removal.cascaded) == (1, {"visits": 2, "notes": 1})
    assert rows_of(postgres, "visits") == [(oid(12), oid(2), None)]
    assert rejects_of(postgres, "visits") == [(oid(11), "guest_id", "missing_parent", 1, 1)]
    assert rejects_of(postgres, "notes") == [(oid(21), "visit_id", "missing_parent", 1, 1)]
    assert retry_ids(postgres, schema, "guests") == parent(oid(1))


def test_a_row_of_the_same_table_that_points_at_a_removed_one_is_nulled(postgres: Connection) -> None:
    schema = declared("delete", "groups")
    load(postgres, schema, "groups", read((oid(1), None, "a"), (oid(2), oid(1), "b")))

    assert remove(postgres, schema, "groups", oid(1)) == Removal(removed=1, cascaded={"groups": 1})
    assert rows_of(postgres, "groups") == [(oid(2), None, "b")]


# --- a row per item


def test_items_go_with_their_document(postgres: Connection) -> None:
    schema = declared("delete")
    fill_members(postgres, schema)
    load(postgres, schema, "tags", described(tags_of(schema, 1, "a", "b"), tags_of(schema, 2, "c")))

    assert remove(postgres, schema, "tags", oid(1)) == Removal(removed=2)
    assert rows_of(postgres, "tags", "tag") == [("c",)]


def test_items_are_marked_with_their_document_and_cleared_with_it(postgres: Connection) -> None:
    schema = declared("flag")
    fill_members(postgres, schema)
    load(postgres, schema, "tags", described(tags_of(schema, 1, "a", "b"), tags_of(schema, 2, "c")))

    assert remove(postgres, schema, "tags", oid(1)) == Removal(flagged=2)
    assert rows_of(postgres, "tags", "tag, deleted_at") == [("a", LATE), ("b", LATE), ("c", None)]

    load(postgres, schema, "tags", described(tags_of(schema, 1, "a", "b")))
    assert rows_of(postgres, "tags", "tag, deleted_at") == [("a", None), ("b", None), ("c", None)]


# --- several documents of one key


def fill_diary(connection: Connection, schema: Schema) -> None:
    fill_members(connection, schema)
    load(
        connection,
        schema,
        "diary",
        described(
            entry(schema, 11, 1, "a", datetime(2024, 1, 1)),
            entry(schema, 12, 1, "b", datetime(2024, 1, 2)),
            entry(schema, 13, 1, "c", datetime(2024, 1, 3)),
            entry(schema, 14, 2, "d", datetime(2024, 1, 3)),
        ),
    )


def test_the_next_document_shows_when_the_winner_is_gone(postgres: Connection) -> None:
    schema = declared("delete")
    fill_diary(postgres, schema)
    number = rows_of(postgres, "diary", "id, day")

    assert remove(postgres, schema, "diary", oid(13)) == Removal(replaced=1)

    assert diary(postgres) == [(1, "b"), (2, "d")]
    assert rows_of(postgres, "diary", "id, day") == number
    assert rows_of(postgres, "smartdiet.public.diary_candidates", "mood") == [("a",)]


def test_the_row_goes_with_the_last_document_of_its_key(postgres: Connection) -> None:
    schema = declared("delete")
    fill_diary(postgres, schema)

    assert remove(postgres, schema, "diary", oid(11), oid(12), oid(13)) == Removal(removed=1)

    assert diary(postgres) == [(2, "d")]
    assert rows_of(postgres, "smartdiet.public.diary_candidates") == []


def test_a_waiting_document_that_is_gone_changes_nothing_that_shows(postgres: Connection) -> None:
    schema = declared("delete")
    fill_diary(postgres, schema)

    assert remove(postgres, schema, "diary", oid(12)) == Removal()
    assert remove(postgres, schema, "diary", oid(13)) == Removal(replaced=1)

    assert diary(postgres) == [(1, "a"), (2, "d")]


def test_a_marked_document_shows_only_where_no_other_is_left(postgres: Connection) -> None:
    schema = declared("flag")
    fill_diary(postgres, schema)

    assert remove(postgres, schema, "diary", oid(13), at=EARLY) == Removal(replaced=1)
    assert diary(postgres, "day, mood, deleted_at") == [(1, "b", None), (2, "d", None)]

    assert remove(postgres, schema, "diary", oid(11), oid(12), oid(13), oid(14), at=LATE) == Removal(flagged=2)
    assert diary(postgres, "day, mood, deleted_at") == [(1, "c", EARLY), (2, "d", LATE)]


def test_a_document_that_is_back_takes_its_key_from_the_marked_ones(postgres: Connection) -> None:
    schema = declared("flag")
    fill_diary(postgres, schema)
    remove(postgres, schema, "diary", oid(11), oid(12), oid(13))

    load(postgres, schema, "diary", described(entry(schema, 11, 1, "a", datetime(2024, 1, 1))))

    assert diary(postgres, "day, mood, deleted_at") == [(1, "a", None), (2, "d", None)]


# --- rejects, and what a run knows


@pytest.mark.parametrize("on_delete", ["keep", "delete", "flag"])
@pytest.mark.parametrize(
    ("encoded", "gone"),
    [
        (oid(7), IdBatch([oid(7)])),
        ('"abc"', IdBatch(["abc"])),
        (f'"{oid(8)}"', IdBatch(typed=[(oid(8), f'"{oid(8)}"')])),
        ('{"$numberInt": "12"}', IdBatch(typed=[("12", '{"$numberInt": "12"}')])),
    ],
)
def test_the_rejects_of_a_document_go_with_it(
    postgres: Connection, on_delete: str, encoded: str, gone: IdBatch
) -> None:
    schema = declared(on_delete)
    load(postgres, schema, "members", read(rejects=[reject(encoded), reject(oid(99))]))

    remove(postgres, schema, "members", gone)

    assert [row[0] for row in rejects_of(postgres, "members")] == [oid(99)]


def test_rows_that_waited_for_a_parent_wait_no_longer(postgres: Connection) -> None:
    schema = declared("delete")
    load(postgres, schema, "visits", read((oid(11), oid(1), None)))
    assert len(rows_of(postgres, "smartdiet.awaited_parents")) == 1

    remove(postgres, schema, "visits", oid(11))

    assert rows_of(postgres, "smartdiet.awaited_parents") == []


def test_a_removal_and_a_load_fit_in_one_transaction(postgres: Connection) -> None:
    schema = declared("delete")
    fill_diary(postgres, schema)
    with postgres.transaction():
        for document in (oid(13), oid(12)):
            remove_documents(postgres, schema, schema.tables["diary"], [IdBatch([document])], "gone")
        remove_documents(postgres, schema, schema.tables["members"], [IdBatch([oid(3)])], "gone")
    assert diary(postgres) == [(1, "a"), (2, "d")]


# --- declaring it later


@pytest.mark.parametrize("table", ["members", "tags", "diary"])
def test_declaring_flag_adds_its_column_without_reading_everything_again(postgres: Connection, table: str) -> None:
    fill_diary(postgres, club())
    load(postgres, club(), "tags", described(tags_of(club(), 1, "a")))
    before = rows_of(postgres, table)
    schema = declared("flag")

    result = load(postgres, schema, table, watermark=EARLY)

    assert result.watermark == EARLY
    assert rows_of(postgres, "smartdiet.sync_state", "table_name, reimport").count((table, None)) == 1
    assert [row[: len(before[0])] for row in rows_of(postgres, table)] == before
    if table == "diary":
        remove(postgres, schema, "diary", oid(13))
        assert diary(postgres) == [(1, "b"), (2, "d")]
