"""The mirror's own records go along with the tables they are about, and no others."""

import pytest
from psycopg import Connection

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import PostgresPair, assert_same
from smartdiet_assets_tests.support.loads import EARLY, LATE, club, described, load, oid, reject, rows_of
from smartdiet_assets_tests.support.older_records import LAYOUTS, age

STATES = "SELECT table_name, run_id FROM smartdiet.sync_state ORDER BY 1"
REJECTS = "SELECT table_name, document_id FROM smartdiet.rejected_rows ORDER BY 1, 2"


def note(connection: Connection, run: str, *tables: str) -> None:
    """Leave records as a run of some tables would."""
    apply_bookkeeping(connection)
    for table in tables:
        connection.execute(b"INSERT INTO smartdiet.sync_state (table_name, run_id) VALUES (%s, %s)", [table, run])
        connection.execute(
            b"INSERT INTO smartdiet.rejected_rows (table_name, document_id, column_name, reason, expected, received)"
            b" VALUES (%s, %s, '', '', '', '')",
            [table, run],
        )


@pytest.fixture
def mirrors(postgres_pair: PostgresPair) -> PostgresPair:
    """Two tables on both sides with records of each, and a third in the target only."""
    for name, run, tables in (
        (postgres_pair.source_name, "new", ("users", "items")),
        (postgres_pair.target_name, "old", ("users", "items", "own")),
    ):
        with postgres_pair.open(name) as connection:
            for table in tables:
                connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)".encode())
            note(connection, run, *tables)
    return postgres_pair


def test_records_go_along_with_their_tables_and_those_of_other_tables_stay(mirrors: PostgresPair) -> None:
    mirrors.refresh()
    assert mirrors.target(STATES) == [("items", "new"), ("own", "old"), ("users", "new")]
    assert mirrors.target(REJECTS) == [("items", "new"), ("own", "old"), ("users", "new")]


@pytest.mark.parametrize(
    "filters", [{"include_tables": ["items"]}, {"exclude_tables": ["users"]}, {"include_tables": ["public.items"]}]
)
def test_filters_choose_the_records_with_the_tables(mirrors: PostgresPair, filters: dict[str, list[str]]) -> None:
    mirrors.refresh(**filters)
    assert mirrors.target(STATES) == [("items", "new"), ("own", "old"), ("users", "old")]


def test_records_of_a_replaced_table_are_not_left_behind_where_the_source_has_none(mirrors: PostgresPair) -> None:
    mirrors.source("DROP SCHEMA smartdiet CASCADE")
    mirrors.refresh()
    assert mirrors.target(STATES) == [("own", "old")]
    assert mirrors.target(REJECTS) == [("own", "old")]


def test_a_table_without_its_data_has_no_watermark(mirrors: PostgresPair) -> None:
    mirrors.refresh(exclude_data=["items"])
    assert mirrors.target(STATES) == [("own", "old"), ("users", "new")]


def test_records_of_an_older_form_are_kept_in_the_new_one(mirrors: PostgresPair) -> None:
    mirrors.target("ALTER TABLE smartdiet.sync_state DROP COLUMN change_position")
    mirrors.refresh()
    assert mirrors.target(STATES) == [("items", "new"), ("own", "old"), ("users", "new")]
    assert mirrors.target("SELECT count(change_position) FROM smartdiet.sync_state") == [(0,)]


def in_two_schemas(mirrors: PostgresPair) -> None:
    """Give the target's mirror in `public` a second one beside it, in `b`, with tables of the same names."""
    with mirrors.open(mirrors.target_name) as connection:
        connection.execute("CREATE SCHEMA b; CREATE TABLE b.users (id int PRIMARY KEY); CREATE TABLE b.own (id int)")
        connection.execute("SET search_path = b")
        note(connection, "other", "users", "own")


def test_records_of_another_schemas_mirror_stay(mirrors: PostgresPair) -> None:
    in_two_schemas(mirrors)
    mirrors.refresh()
    assert mirrors.target("SELECT schema_name, table_name, run_id FROM smartdiet.sync_state ORDER BY 1, 2") == [
        ("b", "own", "other"), ("b", "users", "other"),
        ("public", "items", "new"), ("public", "own", "old"), ("public", "users", "new"),
    ]  # fmt: skip


def test_the_records_of_the_chosen_schema_alone_go_along(mirrors: PostgresPair) -> None:
    with mirrors.open(mirrors.source_name) as connection:
        connection.execute("CREATE SCHEMA b; CREATE TABLE b.users (id int PRIMARY KEY)")
        connection.execute("SET search_path = b")
        note(connection, "other", "users")
    mirrors.refresh(include_schemas=["b"])
    assert mirrors.target("SELECT schema_name, table_name, run_id FROM smartdiet.sync_state ORDER BY 1, 2") == [
        ("b", "users", "other"),
        ("public", "items", "old"), ("public", "own", "old"), ("public", "users", "old"),
    ]  # fmt: skip


@pytest.mark.parametrize("older", ["source", "target", "both"])
def test_records_that_do_not_tell_schemas_apart_go_along(mirrors: PostgresPair, older: str) -> None:
    for side, name in (("source", mirrors.source_name), ("target", mirrors.target_name)):
        if older in (side, "both"):
            with mirrors.open(name) as connection:
                age(connection, LAYOUTS["last"])
    mirrors.refresh()
    assert mirrors.target(STATES) == [("items", "new"), ("own", "old"), ("users", "new")]
    assert mirrors.target(REJECTS) == [("items", "new"), ("own", "old"), ("users", "new")]
    with mirrors.open(mirrors.target_name) as connection:
        connection.execute("SET search_path = public")
        apply_bookkeeping(connection)
    assert set(mirrors.target("SELECT schema_name FROM smartdiet.sync_state")) == {("public",)}


def test_a_refresh_waits_for_a_run_in_the_tables_schema_alone(mirrors: PostgresPair) -> None:
    in_two_schemas(mirrors)
    with mirrors.open(mirrors.target_name) as other, other.transaction():
        other.execute("SET LOCAL search_path = b")
        lock_tables(other, ["users"])
        mirrors.refresh()
    assert mirrors.target(STATES)[0] == ("items", "new")


def test_the_mirror_goes_on_in_the_copy(postgres_pair: PostgresPair) -> None:
    with postgres_pair.open(postgres_pair.source_name) as source:
        batch = described((oid(1), [(oid(1), "a")]), (oid(2), [(oid(2), "b")]), rejects=[reject(oid(3))])
        load(source, club(), "guests", batch, watermark=EARLY)
    postgres_pair.refresh()
    assert_same(postgres_pair)
    with postgres_pair.open(postgres_pair.target_name) as target:
        target.execute("SET search_path = public")
        result = load(
            target,
            club(),
            "guests",
            described((oid(2), [(oid(2), "changed")]), (oid(3), [(oid(3), "c")])),
            watermark=LATE,
        )
        assert (result.inserted, result.updated, result.unchanged) == (1, 1, 0)
        assert rows_of(target, "guests") == [(oid(1), "a"), (oid(2), "changed"), (oid(3), "c")]
