"""A refresh that ends early leaves the old data whole; others read and write until the new is there at once."""

import subprocess
import sys

import psycopg
import pytest

from smartdiet_assets.errors import LoadConflictError, TransientError
from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.refresh.postgres.sessions import Waits
from smartdiet_assets_tests.integration.refresh import killed_postgres_refresh
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import PostgresPair, assert_same, dump_structure

STEPS = ["built", "copied", "completed", "swapped"]
COUNTED = "SELECT (SELECT min(id) FROM parents), (SELECT count(*) FROM children)"
OLD, NEW = [(101, 200)], [(1, 400)]


@pytest.fixture
def tables(postgres_pair: PostgresPair) -> PostgresPair:
    """Parents and children on both sides, other rows in each."""
    for run, first, count in ((postgres_pair.source, 1, 400), (postgres_pair.target, 101, 200)):
        run(
            "CREATE TABLE parents (id int PRIMARY KEY, name text)",
            "CREATE TABLE children (id serial PRIMARY KEY, parent int REFERENCES parents)",
            f"INSERT INTO parents SELECT g, 'p' || g FROM generate_series({first}, {first} + 49) g",
            f"INSERT INTO children (parent) SELECT {first} + g % 50 FROM generate_series(1, {count}) g",
        )
    return postgres_pair


def kill_refresh(pair: PostgresPair, step: str) -> None:
    """Run a refresh in a process of its own, and kill it when it is done with a step."""
    server = pair.server
    process = subprocess.Popen(
        [sys.executable, "-m", killed_postgres_refresh.__name__, server.host, str(server.port), server.user,
         server.password, pair.source_name, pair.target_name, step],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("step", STEPS)
def test_killed_it_leaves_the_old_data_whole_and_nothing_of_its_own(tables: PostgresPair, step: str) -> None:
    before = dump_structure(tables.server, tables.target_name)
    kill_refresh(tables, step)
    assert tables.target(COUNTED) == OLD
    tables.target("INSERT INTO children (parent) VALUES (101)", "DELETE FROM children WHERE id = 201")
    assert dump_structure(tables.server, tables.target_name) == before
    tables.refresh()
    assert tables.target(COUNTED) == NEW
    assert_same(tables)


def test_a_server_that_ends_the_refresh_is_a_reason_to_try_again(tables: PostgresPair) -> None:
    def end(step: str) -> None:
        if step == "built":
            tables.target(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with pytest.raises(TransientError, match="the target is as it was"):
        tables.refresh(on_step=end)
    assert tables.target(COUNTED) == OLD


def test_a_connection_lost_with_the_answer_to_the_commit_is_told_as_unknown(tables: PostgresPair) -> None:
    def end(step: str) -> None:
        if step == "swapped":
            tables.target(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with pytest.raises(TransientError, match="as it was, or wholly new"):
        tables.refresh(on_step=end)
    assert tables.target(COUNTED) in (OLD, NEW)


def test_others_read_and_write_the_old_tables_until_the_swap(tables: PostgresPair) -> None:
    with tables.open(tables.target_name) as other:
        seen = []

        def look(step: str) -> None:
            if step != "swapped":
                other.execute("SET lock_timeout = '10s'")
                seen.append(other.execute(COUNTED).fetchall())
                other.execute("UPDATE parents SET name = 'written meanwhile' WHERE id = 101")
                other.execute("CREATE TABLE IF NOT EXISTS made_meanwhile (id int)")

        tables.refresh(on_step=look)
        assert seen == [OLD] * 3
        # The connection goes on with the new tables, and what was made beside them is there.
        assert other.execute(COUNTED).fetchall() == NEW
        assert other.execute("SELECT count(*) FROM made_meanwhile").fetchall() == [(0,)]


def test_a_reader_of_an_older_moment_sees_whole_tables(tables: PostgresPair) -> None:
    with psycopg.connect(tables.server.dsn(tables.target_name)) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT 1 FROM pg_class LIMIT 1")
        tables.refresh()
        assert reader.execute(COUNTED).fetchall() == NEW


def test_it_waits_for_readers_and_lets_them_go_on(tables: PostgresPair) -> None:
    tables.waits = Waits(attempt=0.2)
    with psycopg.connect(tables.server.dsn(tables.target_name)) as reader:
        assert reader.execute(COUNTED).fetchall() == OLD
        say = tables.say

        def answer(line: str) -> None:
            say(line)
            if "waiting for those who read" in line:
                # Between two attempts nobody is held up.
                assert tables.target(COUNTED) == OLD
                reader.commit()

        tables.say = answer  # type: ignore[method-assign]
        tables.refresh()
        assert tables.target(COUNTED) == NEW


def test_readers_without_a_pause_keep_the_old_tables(tables: PostgresPair) -> None:
    tables.waits = Waits(attempt=0.2, readers=0.5)
    with psycopg.connect(tables.server.dsn(tables.target_name)) as reader:
        reader.execute("SELECT 1 FROM children LIMIT 1")
        with pytest.raises(LoadConflictError, match="in use for"):
            tables.refresh()
        assert reader.execute(COUNTED).fetchall() == OLD


def test_what_somebody_adds_to_the_old_tables_meanwhile_is_not_lost(tables: PostgresPair) -> None:
    def add(step: str) -> None:
        if step == "completed":
            tables.target("CREATE VIEW added AS SELECT * FROM parents")

    with pytest.raises(LoadConflictError, match="meanwhile"):
        tables.refresh(on_step=add)
    assert tables.target("SELECT count(*) FROM added") == [(50,)]
    tables.refresh()
    assert tables.target("SELECT min(id) FROM added") == [(1,)]


def test_two_refreshes_do_not_run_at_once(tables: PostgresPair) -> None:
    tables.waits = Waits(writers=0.5)
    refused: list[BaseException] = []

    def start_another(step: str) -> None:
        if step == "built":
            names = (tables.source_name, tables.target_name)
            another = PostgresPair(tables.server, *map(tables.server.dsn, names))
            another.waits = tables.waits
            with pytest.raises(LoadConflictError, match="another refresh") as caught:
                another.refresh()
            refused.append(caught.value)

    tables.refresh(on_step=start_another)
    assert len(refused) == 1
    assert tables.target(COUNTED) == NEW


def test_it_waits_for_a_run_that_mirrors_into_a_table(tables: PostgresPair) -> None:
    tables.waits = Waits(writers=0.5)
    with psycopg.connect(tables.server.dsn(tables.target_name)) as run:
        lock_tables(run, ["children"])
        with pytest.raises(LoadConflictError, match="a run mirrors into"):
            tables.refresh()
        assert tables.target(COUNTED) == OLD
        tables.waits = Waits()
        say = tables.say

        def end_run(line: str) -> None:
            say(line)
            if "Waiting: a run mirrors" in line:
                run.rollback()

        tables.say = end_run  # type: ignore[method-assign]
        tables.refresh()
    assert tables.target(COUNTED) == NEW


def test_a_run_that_mirrors_waits_for_the_refresh(tables: PostgresPair) -> None:
    def try_to_mirror(step: str) -> None:
        if step in ("built", "completed"):
            with psycopg.connect(tables.server.dsn(tables.target_name)) as run:
                run.execute("SET LOCAL lock_timeout = '200ms'")
                with pytest.raises(LoadConflictError):
                    lock_tables(run, ["parents"])

    tables.refresh(on_step=try_to_mirror)
    assert tables.target(COUNTED) == NEW
