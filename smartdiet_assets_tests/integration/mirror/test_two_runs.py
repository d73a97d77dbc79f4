"""Two runs at once: whatever they do to each other's tables, both end well and the oracle finds no row missing.

One run is halted when a stage is over, the other starts then and goes as far as it can; no error is tried again here,
so a deadlock would fail the test.
"""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import errors
from pymongo.database import Database

from smartdiet_assets.errors import LoadConflictError, TransientError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.limits import Bulk
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.integration.mirror.pausing import PausingRun, open_pool
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import Application, local_midnight, reference
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.mirrored import Mirrored

STAGES = ["opened", "begun", "copied", "compared", "settled", "rejected", "merged", "stored"]
#: One with nothing but its own lock, one that has read every table it needs, one that has written.
SOME = ["begun", "compared", "merged"]
#: The halted run's table, then the other's: the same, a parent and its child both ways, a tree, two siblings.
PAIRS = [
    ("menus", "menus"), ("menus", "meals"), ("meals", "menus"), ("people", "person_menus"), ("person_menus", "people"),
    ("teams", "teams"), ("teams", "people"), ("people", "teams"), ("person_menus", "meals"),
]  # fmt: skip
Connection = psycopg.Connection[Any]


class Company:
    """Documents of the compact schema, saved with few words."""

    def __init__(self, mirrored: Mirrored) -> None:
        self.application = Application(mirrored.mongo)

    def save(self, collection: str, number: int, **fields: Any) -> None:
        self.application.save(collection, number, compact.birth(collection, number), fields)

    def begin(self) -> None:
        """Two menus, who likes and cooks them, and a tree of teams."""
        for number in (0, 1):
            self.save("events", number)
            self.save("meals", number, menu=reference("events", number), day=local_midnight(5, number + 1))
        self.save("teams", 2)
        self.save("teams", 1, parent=reference("teams", 2))
        self.save("people", 0, liked=[reference("events", n) for n in (0, 1)], team=reference("teams", 1))

    def go_on(self) -> None:
        """Menu 0 stops being one, menu 2 comes; both have old or new likes and meals. The tree grows another root."""
        self.save("events", 0, __t="webinar")
        self.save("events", 2)
        self.save("teams", 3)
        self.save("teams", 1, parent=reference("teams", 3))
        self.save("people", 0, liked=[reference("events", n) for n in (1, 2)], team=reference("teams", 3))
        self.save("people", 1, liked=[reference("events", 0)], mentor=reference("people", 0))
        self.save("meals", 2, menu=reference("events", 0), day=local_midnight(5, 7))
        self.save("meals", 3, menu=reference("events", 2), day=local_midnight(5, 8))


def first_load(mirrored: Mirrored, company: Company) -> None:
    """Nothing is there yet: both runs create their table, and what is missing of its parents."""
    company.begin()


def changes(mirrored: Mirrored, company: Company) -> None:
    """Everything is there, and much changes: rows come, change, and go with their children."""
    company.begin()
    assert not mirrored.sync()
    company.go_on()


def bulk(mirrored: Mirrored, company: Company) -> None:
    """The tables are there and empty: both runs want to take the keys away."""
    mirrored.run()
    company.begin()


SITUATIONS = [first_load, changes, bulk]


@pytest.fixture
def company(mirrored: Mirrored) -> Company:
    mirrored.bulk = Bulk(rows=1, pause=0.01)
    return Company(mirrored)


def meet(mirrored: Mirrored, database: str, halted: PausingRun, other: PausingRun, **options: Any) -> bool:
    """Start one run, the other when it is halted, and let both end; tell whether the other had to wait."""
    with open_pool(halted, other) as pool:
        halted.start(pool, database, **options).wait_for_halt()
        waited = other.start(pool, database).wait_for_lock(mirrored.connection)
        halted.resume()
        other.result()
        halted.result()
    return waited


@pytest.mark.parametrize(("number", "first", "second"), [(n, *pair) for n, pair in enumerate(PAIRS)])
def test_two_runs_end_well_wherever_they_meet(
    mirrored: Mirrored, company: Company, postgres_database: str, number: int, first: str, second: str
) -> None:
    """Every pair at every stage, every pair in every situation, and every situation at every stage."""
    for shift, stage in enumerate(STAGES):
        mirrored.forget()
        situation = SITUATIONS[(number + shift) % len(SITUATIONS)]
        situation(mirrored, company)
        waited = meet(mirrored, postgres_database, PausingRun(mirrored, first, stage), PausingRun(mirrored, second))
        assert waited or first != second, "two runs of one table never interleave"
        differences = mirrored.sync()
        assert not differences, f"{situation.__name__}, halted when {stage}:\n" + "\n".join(differences)


@pytest.mark.parametrize(("first", "second"), [("x" * 62 + "a", "x" * 62 + "b"), ("orders", "_orders")])
def test_tables_whose_array_types_would_have_one_name_are_created_one_after_the_other(
    mongo_database: Database[Any], postgres: Connection, postgres_database: str, first: str, second: str
) -> None:
    lines = [f"  {name}: {{mongo_collection: orders, include_base: true}}" for name in (first, second)]
    mirrored = Mirrored(declare("\n".join(["tables:", *lines])), mongo_database, postgres)
    mongo_database.orders.insert_one({"creation_date": local_midnight(5, 1), "update_date": local_midnight(5, 1)})
    assert meet(mirrored, postgres_database, PausingRun(mirrored, first, "copied"), PausingRun(mirrored, second))
    assert not mirrored.compare()


def emptying(schema: Schema, table: str) -> Schema:
    """The schema, with a table that is emptied before it is read whole."""
    changed = schema.tables[table].model_copy(update={"truncate_before_import": True})
    return schema.model_copy(update={"tables": {**schema.tables, table: changed}})


def sync_ignoring_first_dates(mirrored: Mirrored) -> list[str]:
    """Sync, and list the differences but for when an item was first mirrored: nobody asked the oracle at that time."""
    items = tuple(table.name for table in mirrored.schema.tables.values() if table.shape == "items")
    return [line for line in mirrored.sync() if not (line.startswith(items) and "ed_at is datetime" in line)]


@pytest.mark.parametrize("truncating_first", [True, False])
def test_a_table_is_emptied_with_its_children_while_one_of_them_loads(
    mirrored: Mirrored, company: Company, postgres_database: str, truncating_first: bool
) -> None:
    for stage in SOME:
        mirrored.forget()
        changes(mirrored, company)
        truncating = PausingRun(
            mirrored, "menus", stage if truncating_first else "", emptying(mirrored.schema, "menus")
        )
        child = PausingRun(mirrored, "meals", "" if truncating_first else stage)
        first, second = (truncating, child) if truncating_first else (child, truncating)
        with open_pool(first, second) as pool:
            for run in (first, second):
                kind = "full" if run is truncating else "newest"
                run.start(pool, postgres_database, request=WindowRequest(kind))
                if run is first:
                    run.wait_for_halt()
            second.wait_for_lock(mirrored.connection)
            first.resume()
            first.result()
            second.result()
        differences = sync_ignoring_first_dates(mirrored)
        assert not differences, f"halted when {stage}:\n" + "\n".join(differences)


def test_a_column_is_added_while_a_child_loads_and_the_parent_has_deletions(
    mirrored: Mirrored, company: Company, postgres_database: str
) -> None:
    """The run that changes the table's form waits for the child before it holds the table, not after."""
    changes(mirrored, company)
    mirrored.connection.execute("ALTER TABLE menus DROP COLUMN city")
    for stage in ("opened", "begun"):
        meet(mirrored, postgres_database, PausingRun(mirrored, "meals", stage), PausingRun(mirrored, "menus"))
    assert not mirrored.sync()


# --- readers and operators


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nobody_waits_for_an_analyst_who_reads(
    mirrored: Mirrored, company: Company, postgres_database: str, situation: Callable[[Mirrored, Company], None]
) -> None:
    """A long SELECT on every table there is: the bulk way would have to shut it out, so it is not taken."""
    situation(mirrored, company)
    with psycopg.connect(postgres_database) as analyst:
        for (name,) in mirrored.connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            analyst.execute(f"SELECT FROM {name}")  # type: ignore[arg-type]
        assert not mirrored.sync()


def test_emptying_a_table_that_somebody_reads_is_a_transient_error(
    mirrored: Mirrored, company: Company, postgres_database: str
) -> None:
    changes(mirrored, company)
    truncating = PausingRun(mirrored, "menus", schema=emptying(mirrored.schema, "menus"))
    with psycopg.connect(postgres_database) as analyst, open_pool(truncating) as pool:
        analyst.execute("SELECT FROM meals")
        truncating.start(pool, postgres_database, request=WindowRequest("full"), lock_timeout=0.1)
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            truncating.result()
    error = translate_postgres_error(caught.value, "writing its rows", "menus")
    assert isinstance(error, TransientError)
    assert str(error) == "menus: writing its rows failed: another transaction held a lock for too long (SQLSTATE 55P03)"
    assert not mirrored.sync()


def test_a_run_that_waits_too_long_for_another_one_says_so(
    mirrored: Mirrored, company: Company, postgres_database: str
) -> None:
    company.begin()
    first, second = PausingRun(mirrored, "menus", "begun"), PausingRun(mirrored, "menus")
    with open_pool(first, second) as pool:
        first.start(pool, postgres_database).wait_for_halt()
        second.start(pool, postgres_database, lock_timeout=0.1)
        with pytest.raises(LoadConflictError, match="menus: another run has the table"):
            second.result()
        first.resume()
        first.result()
    assert not mirrored.sync()


@pytest.mark.parametrize(
    ("stage", "situation"),
    [("begun", first_load), ("begun", changes), ("settled", bulk), ("rejected", changes), ("merged", first_load),
     ("merged", changes), ("merged", bulk)],
)  # fmt: skip
def test_a_parent_row_that_an_operator_deletes_meanwhile_costs_a_retry_at_most(
    mirrored: Mirrored,
    company: Company,
    postgres_database: str,
    stage: str,
    situation: Callable[[Mirrored, Company], None],
) -> None:
    situation(mirrored, company)
    if situation is changes:
        company.save("meals", 1, plates=9)
        company.save("meals", 4, menu=reference("events", 1), day=local_midnight(5, 9))
    mirrored.run(tables=["menus"])
    company.save("meals", 5, menu=reference("events", 1), day=local_midnight(5, 10))
    doomed = company.application.id_of("events", 1)
    child = PausingRun(mirrored, "meals", stage)
    with open_pool(child) as pool, psycopg.connect(postgres_database, autocommit=True) as operator:
        child.start(pool, postgres_database).wait_for_halt()
        operator.execute("SET lock_timeout = '100ms'")
        # The run may have shut the operator out already, or made a row the operator does not see.
        with suppress(errors.UndefinedTable, errors.LockNotAvailable, errors.ForeignKeyViolation):
            operator.execute("DELETE FROM meals")
            operator.execute("DELETE FROM person_menus")
            operator.execute("DELETE FROM menus WHERE id = %s", [str(doomed)])
        child.resume()
        if not ended_well(child):
            mirrored.run(tables=["meals"])
    assert not sync_ignoring_first_dates(mirrored)


def ended_well(run: PausingRun) -> bool:
    """Whether a run ended without error; one that Dagster would not try again is raised."""
    try:
        run.result()
    except (psycopg.Error, LoadConflictError) as error:
        if not isinstance(translate_postgres_error(error, "writing its rows", run.table), TransientError):
            raise
        return False
    return True


def test_a_server_with_another_default_isolation_still_sees_what_the_other_run_wrote(
    mirrored: Mirrored, company: Company, postgres_resource: Any
) -> None:
    name = mirrored.connection.info.dbname
    mirrored.connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")  # type: ignore[arg-type]
    with postgres_resource.connect() as connection:
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)


# --- at random


def test_runs_at_random_never_deadlock_and_lose_no_row(
    mirrored: Mirrored, company: Company, postgres_database: str
) -> None:
    """Three operators at once, each with tables in an order of its own, while the application goes on saving."""
    chance = random.Random(7)
    company.begin()
    plans = [[chance.choice(list(mirrored.schema.tables)) for _ in range(24)] for _ in range(3)]

    def operate(tables: list[str]) -> int:
        with ThreadPoolExecutor(1) as pool:
            for number, table in enumerate(tables):
                kind: Any = "full" if number % 3 == 0 else "newest"
                PausingRun(mirrored, table).start(pool, postgres_database, request=WindowRequest(kind)).result()
        return len(tables)

    with ThreadPoolExecutor(len(plans)) as operators:
        running = [operators.submit(operate, plan) for plan in plans]
        while not all(future.done() for future in running):
            number = chance.randrange(4)
            company.save("events", number, __t=chance.choice(["menu", "menu", "webinar"]))
            company.save("people", number, liked=[reference("events", chance.randrange(4)) for _ in range(3)])
            company.save("teams", number, parent=reference("teams", chance.randrange(4)))
            company.save("meals", number, menu=reference("events", chance.randrange(4)))
        assert sum(future.result() for future in running) == 72
    for number in range(4):
        # Who misses a parent keeps the last good row, of a moment nobody told the oracle.
        company.save("events", number, __t="menu")
    assert not sync_ignoring_first_dates(mirrored)


def test_a_connection_that_was_lost_before_its_run_is_said_to_be_lost(
    mirrored: Mirrored, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as lost:
        mirrored.connection.execute("SELECT pg_terminate_backend(%s)", [lost.info.backend_pid])
        with suppress(psycopg.OperationalError):
            lost.execute("SELECT 1")
        mirrored.connection = lost
        with pytest.raises(psycopg.OperationalError) as failure:
            mirrored.run()
        assert isinstance(translate_postgres_error(failure.value, "menus"), TransientError)
