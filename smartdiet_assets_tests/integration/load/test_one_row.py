"""Tables of one row per document: what a run leaves in them."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.support.loads import (
    EARLY,
    LATE,
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
FIRST, SECOND, THIRD = oid(1), oid(2), oid(3)


@pytest.fixture(params=[1, 1_000], ids=["bulk", "staged"])
def bulk_from(request: pytest.FixtureRequest) -> int:
    """Both ways into an empty table."""
    return int(request.param)


@pytest.fixture
def ordinary_user(postgres: Connection) -> Iterator[None]:
    """A user who may not tell the server what to log."""
    role, database = (sql.Identifier(prefix + postgres.info.dbname) for prefix in ("ordinary_", ""))
    postgres.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        postgres.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        postgres.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(role))
        postgres.execute(sql.SQL("SET ROLE {}").format(role))
        yield
    finally:
        postgres.execute("RESET ROLE")
        postgres.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(role, role))


def group(number: int, name: str | None = None, parent: int | None = None) -> tuple[Any, ...]:
    return (oid(number), None if parent is None else oid(parent), name)


def make_existing(connection: Connection, *tables: str) -> None:
    """Create the tables in a run of their own, so that the next one finds them empty."""
    for table in tables:
        load(connection, club(), table)


def test_a_first_run_creates_the_table_and_fills_it_in_bulk(postgres: Connection) -> None:
    result = load(postgres, club(), "groups", read(group(1, "a"), group(2, "b")), watermark=LATE)

    assert (result.mode, result.inserted, result.rows, result.documents_read) == ("bulk", 2, 2, 2)
    assert result.watermark == LATE
    assert rows_of(postgres, "groups") == [(FIRST, None, "a"), (SECOND, None, "b")]


def test_a_run_inserts_updates_and_leaves_alone(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(group(1, "a"), group(2, "b")))

    result = load(postgres, club(), "groups", read(group(1, "a"), group(2, "changed"), group(3, "new")))

    assert (result.mode, result.inserted, result.updated, result.deleted, result.unchanged) == ("upsert", 1, 1, 0, 1)
    assert [row[2] for row in rows_of(postgres, "groups")] == ["a", "changed", "new"]


def test_an_existing_empty_table_gets_its_keys_back_after_a_bulk_load(postgres: Connection) -> None:
    make_existing(postgres, "members")
    catalogue = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY conname"
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef"
    before = postgres.execute(catalogue).fetchall(), postgres.execute(indexes).fetchall()

    result = load(postgres, club(), "members", read((FIRST, None, None, "e", None, EARLY, EARLY)), bulk_from=1)

    assert (result.mode, result.inserted) == ("bulk", 1)
    assert (postgres.execute(catalogue).fetchall(), postgres.execute(indexes).fetchall()) == before


def test_of_a_document_read_twice_the_last_read_counts(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "groups")

    result = load(
        postgres, club(), "groups", read(group(1, "old"), group(2, "b")), read(group(1, "new")), bulk_from=bulk_from
    )

    assert (result.inserted, result.superseded) == (2, 1)
    assert [row[2] for row in rows_of(postgres, "groups")] == ["new", "b"]


def test_the_last_read_counts_whatever_became_of_the_parent_of_the_first(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "groups")

    result = load(
        postgres, club(), "groups", read(group(1, "old", parent=9), group(2, "b")), read(group(1, "new")),
        bulk_from=bulk_from,
    )  # fmt: skip

    assert (result.inserted, result.superseded, result.missing_parents_null) == (2, 1, 0)
    assert rows_of(postgres, "groups", "parent_id, name") == [(None, "new"), (None, "b")]


def test_a_document_whose_last_read_was_rejected_keeps_the_row_it_had(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "groups")

    load(postgres, club(), "groups", read(group(1, "old")), read(rejects=[reject(FIRST)]), bulk_from=bulk_from)

    assert rows_of(postgres, "groups") == []
    assert rejects_of(postgres, "groups") == [(FIRST, "name", "invalid_type", 1, 1)]


def test_a_document_whose_last_read_was_good_is_no_reject(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "groups")

    load(postgres, club(), "groups", read(rejects=[reject(FIRST)]), read(group(1, "good")), bulk_from=bulk_from)

    assert [row[2] for row in rows_of(postgres, "groups")] == ["good"]
    assert rejects_of(postgres, "groups") == []


def test_a_rejected_document_keeps_its_last_good_row(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(group(1, "good")))

    load(postgres, club(), "groups", read(rejects=[reject(FIRST)]))

    assert [row[2] for row in rows_of(postgres, "groups")] == ["good"]


def test_a_document_that_stops_matching_the_filter_loses_its_row(postgres: Connection) -> None:
    load(postgres, club(), "guests", described((FIRST, [(FIRST, "a")]), (SECOND, [(SECOND, "b")])))

    result = load(postgres, club(), "guests", described((FIRST, [])))

    assert (result.deleted, result.unchanged) == (1, 0)
    assert rows_of(postgres, "guests") == [(SECOND, "b")]


def test_the_last_of_two_reads_decides_whether_a_document_matches(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "guests")

    load(
        postgres,
        club(),
        "guests",
        described((FIRST, [(FIRST, "a")]), (SECOND, [])),
        described((FIRST, []), (SECOND, [(SECOND, "b")])),
        bulk_from=bulk_from,
    )

    assert rows_of(postgres, "guests") == [(SECOND, "b")]


def test_running_twice_writes_nothing(postgres: Connection) -> None:
    batch = read(group(1, "a"), group(2, "b", parent=1), group(3, None, parent=9))
    load(postgres, club(), "groups", batch, watermark=LATE)
    before = versions_of(postgres, "groups")

    result = load(postgres, club(), "groups", batch, watermark=LATE)

    assert (result.inserted, result.updated, result.deleted, result.unchanged) == (0, 0, 0, 3)
    assert versions_of(postgres, "groups") == before


def test_rows_with_a_missing_parent_are_rejected_and_wait_for_it(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "members")
    rows = [(oid(n), oid(100 + n % 2), None, None, None, EARLY, EARLY) for n in range(4)]
    load(postgres, club(), "groups", read(group(100)))

    result = load(postgres, club(), "members", read(*rows), bulk_from=bulk_from)

    assert (result.inserted, result.rejected, result.rejected_rows) == (2, 2, 2)
    assert rejects_of(postgres, "members") == [
        (oid(1), "group_id", "missing_parent", 1, 1),
        (oid(3), "group_id", "missing_parent", 1, 1),
    ]
    assert rows_of(postgres, "smartdiet.awaited_parents", "document_id, column_name, parent_table, parent_id") == [
        (oid(1), "group_id", "groups", oid(101)),
        (oid(3), "group_id", "groups", oid(101)),
    ]


def test_a_nullable_reference_may_be_set_to_null_until_its_parent_comes(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "members")
    batch = read((FIRST, None, oid(7), None, None, EARLY, EARLY))

    result = load(postgres, club(), "members", batch, bulk_from=bulk_from)

    assert (result.inserted, result.missing_parents_null, result.rejected) == (1, 1, 0)
    load(postgres, club(), "groups", read(group(7)))
    result = load(postgres, club(), "members", batch)
    assert (result.updated, result.missing_parents_null) == (1, 0)
    assert rows_of(postgres, "members", "sponsor_id") == [(oid(7),)]
    assert rows_of(postgres, "smartdiet.awaited_parents") == []


def test_a_row_with_several_missing_parents_is_one_reject(postgres: Connection) -> None:
    make_existing(postgres, "members")

    result = load(postgres, club(), "members", read((FIRST, oid(7), oid(8), None, None, EARLY, EARLY)))

    assert (result.rejected, result.missing_parents_null) == (1, 0)
    assert rows_of(postgres, "smartdiet.awaited_parents", "column_name, parent_id") == [
        ("group_id", oid(7)),
        ("sponsor_id", oid(8)),
    ]


def test_a_parent_in_the_same_table_may_come_in_the_same_run(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "groups", "chains")
    load(postgres, club(), "groups", read(group(1, "old")))

    load(postgres, club(), "groups", read(group(1, "old", parent=2), group(2, "new")))
    load(postgres, club(), "chains", read((FIRST, SECOND), (SECOND, None)), bulk_from=bulk_from)

    assert rows_of(postgres, "groups", "id, parent_id") == [(FIRST, SECOND), (SECOND, None)]
    assert len(rows_of(postgres, "chains")) == 2


def test_a_chain_of_missing_parents_in_one_table_falls_out_whole(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "chains")
    rows = [(oid(n), oid(n + 1)) for n in range(5)]

    result = load(postgres, club(), "chains", read(*rows, (oid(9), None)), bulk_from=bulk_from)

    assert (result.inserted, result.rejected) == (1, 5)
    assert rows_of(postgres, "chains", "id") == [(oid(9),)]


def member(number: int, email: str | None) -> tuple[Any, ...]:
    return (oid(number), None, None, email, None, EARLY, EARLY)


def test_newcomers_with_one_unique_value_leave_it_to_the_smallest_id(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "members")

    result = load(
        postgres,
        club(),
        "members",
        read(member(2, "x"), member(1, "x"), member(3, None), member(4, None)),
        bulk_from=bulk_from,
    )

    assert (result.inserted, result.rejected) == (3, 1)
    assert rejects_of(postgres, "members") == [(SECOND, "email", "duplicate_key", 1, 1)]


def test_a_document_read_twice_does_not_clash_with_itself(postgres: Connection, bulk_from: int) -> None:
    make_existing(postgres, "members")

    result = load(
        postgres,
        club(),
        "members",
        read(member(1, "x"), member(3, "z"), member(4, "z")),
        read(member(1, "x")),
        bulk_from=bulk_from,
    )

    assert (result.inserted, result.superseded, result.rejected) == (2, 1, 1)
    assert rows_of(postgres, "members", "id, email") == [(FIRST, "x"), (THIRD, "z")]


@pytest.mark.parametrize("sharing", [1, 2])
def test_a_shared_unique_value_of_a_first_load_does_not_reach_postgresqls_log(
    postgres: Connection, postgres_server: EmbeddedPostgres, ordinary_user: None, sharing: int
) -> None:
    """Neither from the server process of the load nor from the workers that help to build a large index."""
    log = postgres_server.directory / "postgres.log"
    before = log.stat().st_size
    make_existing(postgres, "members")
    for setting in ("min_parallel_table_scan_size = 0", "parallel_leader_participation = off"):
        postgres.execute(f"SET {setting}")
    members = [member(number, f"hidden {number // sharing}") for number in range(20_000)]

    result = load(postgres, club(), "members", read(*members), read(members[0]), bulk_from=1)

    assert (result.mode, result.superseded, result.rejected) == ("bulk", 1, 20_000 - 20_000 // sharing)
    written = log.read_bytes()[before:].decode()
    assert "hidden" not in written
    assert oid(0) not in written


@pytest.mark.parametrize(
    "pin",
    [
        "CREATE VIEW counted AS SELECT id, email, count(*) FROM members GROUP BY id",
        "COMMENT ON INDEX members_email_key IS 'ours'",
        "CREATE TABLE more () INHERITS (members)",
    ],
)
def test_keys_that_have_to_stay_do_not_stop_a_first_load(postgres: Connection, pin: str) -> None:
    make_existing(postgres, "members")
    postgres.execute(pin.encode())

    result = load(
        postgres,
        club(),
        "members",
        read(member(1, "x"), member(2, "y"), member(3, "y")),
        read(member(1, "z")),
        bulk_from=1,
    )

    assert (result.inserted, result.superseded, result.rejected) == (2, 1, 1)
    assert rows_of(postgres, "members", "id, email") == [(FIRST, "z"), (SECOND, "y")]


def test_a_first_load_needs_no_procedural_language(postgres: Connection) -> None:
    postgres.execute("DROP EXTENSION plpgsql")

    result = load(postgres, club(), "members", read(member(1, "x"), member(2, "x")), read(member(1, "x")))

    assert (result.inserted, result.superseded, result.rejected) == (1, 1, 1)


def test_who_has_a_unique_value_keeps_it(postgres: Connection) -> None:
    load(postgres, club(), "members", read(member(2, "x")))

    result = load(postgres, club(), "members", read(member(1, "x"), member(3, "y")))

    assert (result.inserted, result.rejected) == (1, 1)
    assert rows_of(postgres, "members", "id, email") == [(SECOND, "x"), (THIRD, "y")]


def test_documents_may_swap_their_unique_values(postgres: Connection) -> None:
    load(postgres, club(), "members", read(member(1, "x"), member(2, "y")))

    result = load(postgres, club(), "members", read(member(1, "y"), member(2, "x")))

    assert (result.updated, result.rejected) == (2, 0)
    assert rows_of(postgres, "members", "email") == [("y",), ("x",)]


def test_a_new_document_may_take_over_a_unique_value(postgres: Connection) -> None:
    load(postgres, club(), "members", read(member(1, "x")))

    result = load(postgres, club(), "members", read(member(1, "z"), member(2, "x")))

    assert (result.updated, result.inserted, result.rejected) == (1, 1, 0)


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
def test_a_batch_that_does_not_account_for_every_document_stops_the_run(postgres: Connection, kept: bool) -> None:
    batch = read(group(1, "a"), rejects=[reject(SECOND)])
    batch.documents_read += -1 if kept else 1

    with pytest.raises(ValueError, match="groups"):
        load(postgres, club(), "groups", batch)

    assert postgres.execute("SELECT to_regclass('groups')").fetchone() == (None,)
