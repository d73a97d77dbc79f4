"""Size: no bad plan whatever PostgreSQL knows about the tables, and cost that grows with the change alone.

Whatever statement a load can send is sent with thousands of rows, waits or rejects: `Life`. A new kind belongs there.

The shared server runs without autovacuum, so no table here is ever analysed unless a test does it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import psycopg
import pytest

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.load.diff import compose_delta, compose_read_scope
from smartdiet_assets.load.fragments import DELTA
from smartdiet_assets.load.removal.gone import remove_documents
from smartdiet_assets.load.removal.reconcile import reconcile_rows
from smartdiet_assets.load.removal.source_ids import store_source_ids
from smartdiet_assets.load.strategies import compose_delete, compose_insert, compose_update
from smartdiet_assets.load.transaction_settings import apply_settings
from smartdiet_assets.schema.document_id import IdBatch, TypedDocument
from smartdiet_assets_tests.conftest import FIGURES, create_database
from smartdiet_assets_tests.integration.load.watching import Watch
from smartdiet_assets_tests.support.loads import (
    EARLY,
    LATE,
    Batch,
    club,
    described,
    load,
    oid,
    open_load,
    read,
    reject,
)

Connection = psycopg.Connection[Any]
Work = dict[tuple[str, str], float]
ITEMS, CHUNK = 15, 5_000


def batches(parents: int, tag: Callable[[int, int], str]) -> Iterator[Batch]:
    for start in range(0, parents, CHUNK):
        yield described(
            *[
                (oid(n), [(oid(n), tag(n, item), None, EARLY, EARLY) for item in range(ITEMS)])
                for n in range(start, min(start + CHUNK, parents))
            ]
        )


def fill(connection: Connection, parents: int) -> None:
    load(
        connection,
        club(),
        "members",
        *[
            read(*[(oid(n), None, None, None, None, EARLY, EARLY) for n in range(start, min(start + CHUNK, parents))])
            for start in range(0, parents, CHUNK)
        ],
    )
    load(connection, club(), "tags", *batches(parents, lambda n, item: f"t{item}"))


@pytest.mark.parametrize("analysed", [False, True], ids=["never analysed", "analysed"])
def test_one_changed_document_is_found_by_index(postgres: Connection, analysed: bool) -> None:
    fill(postgres, 2 * CHUNK)
    if analysed:
        postgres.execute("ANALYZE")
    table = club().tables["tags"]
    with open_load(postgres, club(), table, "run") as run:
        run.begin()
        run.write(described((oid(7), [(oid(7), "new", None, EARLY, EARLY)])))
        run.flush()
        postgres.execute("ANALYZE pg_temp.mirror_documents, pg_temp.mirror_staging")
        delta = compose_delta(table, scope=compose_read_scope(table))
        plans = [explain(postgres, delta.as_string(postgres).split(" AS\n", 1)[1])]
        postgres.execute(delta)
        postgres.execute("ANALYZE pg_temp.mirror_delta")
        steps = (compose_insert(table), compose_update(table), compose_delete(table))
        plans.extend(explain(postgres, step.as_string(postgres)) for step in steps)
        postgres.execute(f"DROP TABLE {DELTA.as_string(postgres)}")
        run.finish(watermark=None)

    for plan in plans:
        assert "Seq Scan on tags" not in plan, plan


def explain(connection: Connection, statement: str) -> str:
    return "\n".join(line for (line,) in connection.execute("EXPLAIN " + statement))  # type: ignore[arg-type]


def test_an_unchanged_re_import_writes_no_wal_of_its_size(postgres: Connection) -> None:
    fill(postgres, CHUNK)
    before = postgres.execute("SELECT pg_current_wal_insert_lsn()").fetchone()

    result = load(postgres, club(), "tags", *batches(CHUNK, lambda n, item: f"t{item}"), retry=False)

    assert result.unchanged == CHUNK * ITEMS
    written = postgres.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", before).fetchone()
    # The catalogue entries of the temporary tables and the line of the state; 75,000 rows would be megabytes.
    assert written is not None
    assert written[0] < 200_000


MANY = 30_000


def note_many(connection: Connection, schema_name: str, table: str, many: int = MANY) -> None:
    """Leave the records of a run that rejected many documents, whose parents are missing."""
    psycopg.ClientCursor(connection).execute(
        """
        CREATE TEMPORARY TABLE many AS SELECT lpad(to_hex(n), 24, '0') AS id FROM generate_series(1, %(many)s) AS n;
        INSERT INTO smartdiet.rejected_rows
          (schema_name, table_name, document_id, column_name, reason, expected, received)
        SELECT %(schema)s, %(table)s, id, 'group_id', 'missing_parent', '', '' FROM many;
        INSERT INTO smartdiet.awaited_parents
          (schema_name, table_name, document_id, column_name, parent_table, parent_id)
        SELECT %(schema)s, %(table)s, id, 'group_id', 'groups', id FROM many;
        INSERT INTO smartdiet.missing_parents (schema_name, parent_table, parent_id, table_name)
        SELECT %(schema)s, 'groups', id, %(table)s FROM many;
        DROP TABLE many
        """,
        {"schema": schema_name, "table": table, "many": many},
    )


def count_read(connection: Connection) -> int:
    """Count the lines of the mirror's records that scans of whole tables have read so far."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    query = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'smartdiet'"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize("analysed", [False, True], ids=["never analysed", "analysed"])
def test_records_of_other_tables_and_schemas_are_not_read(postgres: Connection, analysed: bool) -> None:
    """The same table has many in another mirror, and another table of this mirror has."""
    schema = club()
    for name in ("groups", "members", "tags"):
        load(postgres, schema, name)
    for schema_name, table in (("other", "members"), ("other", "tags"), ("public", "visits")):
        note_many(postgres, schema_name, table)
    if analysed:
        postgres.execute("ANALYZE")
    load(postgres, schema, "members", read((oid(1), None, None, None, None, EARLY, EARLY)))
    before = count_read(postgres)
    for turn in range(2):
        load(postgres, schema, "members", read((oid(2), oid(9), None, f"{turn}", None, EARLY, EARLY), rejects=[]))
        load(postgres, schema, "tags", described((oid(1), [(oid(1), f"t{turn}", None, EARLY, EARLY)])))
    assert count_read(postgres) - before < MANY


#: More for a longer search: `SMARTDIET_PLANS_ROWS=100000 pytest …` takes many minutes.
SIZE = int(os.environ.get("SMARTDIET_PLANS_ROWS", "10000"))
#: Ten times as many may take that many times as long. Less than the floor, in seconds, is too short to be measured.
GROWTH, FLOOR = 15, 0.1


def in_chunks(numbers: range) -> Iterator[range]:
    return (numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK))


def rows(numbers: range, build: Callable[[int], tuple[Any, ...]]) -> list[Batch]:
    return [read(*map(build, chunk)) for chunk in in_chunks(numbers)]


def documents(numbers: range, build: Callable[[int], tuple[Any, list[tuple[Any, ...]]]]) -> list[Batch]:
    return [described(*map(build, chunk)) for chunk in in_chunks(numbers)]


def rejected(numbers: range, name: Callable[[int], str] = oid) -> list[Batch]:
    return [described(rejects=[reject(name(n)) for n in chunk]) for chunk in in_chunks(numbers)]


def typed_id(n: int) -> str:
    return f'{{"$numberInt": "{n}"}}'


def typed_guests(numbers: range) -> list[Batch]:
    """Guests whose ids are numbers, in a character column."""
    return [
        Batch(
            [(f"{n}", "typed", None) for n in chunk],
            [f"{n}" for n in chunk],
            [],
            len(chunk),
            [TypedDocument(typed_id(n), f"{n}", place, place + 1, place) for place, n in enumerate(chunk)],
        )
        for chunk in in_chunks(numbers)
    ]


class Life:
    """A mirror that does, one after the other, whatever sends a statement of its own, each with many rows.

    Args:
        size: how many.
        state: what PostgreSQL knows whenever a run begins: all of it (`good`), nothing (`missing`), or what was true
            at another time (`stale`): of the records when others had many and this mirror none, of all other tables
            that they hold no row, which is what it counts before their rows are committed.
    """

    def __init__(self, connection: Connection, size: int, state: str) -> None:
        self.connection = connection
        self.size = size
        self.state = state
        self.schema = club(
            ("  guests:\n", "  guests:\n    on_delete: flag\n"),
            ("  visits:\n", "  visits:\n    on_delete: delete\n"),
            ("  diary:\n", "  diary:\n    on_delete: delete\n"),
        )
        self.watch = Watch(connection, size)
        for name in self.schema.tables:
            load(connection, self.schema, name)
        for schema_name, table in (("other", "visits"), ("public", "elsewhere")):
            note_many(connection, schema_name, table, size)
        connection.execute("ANALYZE")

    def live(self) -> None:
        every, half = range(self.size), range(self.size // 2)
        self.wait_for_parents(every, half)
        self.take_values(every)
        self.take_items(range(self.size // 5))
        self.take_the_best(every)
        self.tell_apart(half)
        self.remove(every, half)

    def wait_for_parents(self, every: range, half: range) -> None:
        visits = rows(half, lambda n: (oid(n), oid(n), oid(self.size + n)))
        self.load("visits wait, each for two guests", "visits", *visits)
        again = [*visits, *rejected(half[::2]), *visits[:1]]
        self.load("visits wait on, some read twice", "visits", *again)
        self.load("guests are asked for", "guests")
        come = documents(every, lambda n: (oid(n), [(oid(n), "a", None)]))
        twice = [*rejected(every[::2]), *documents(every[::4], lambda n: (oid(n), [(oid(n), "b", None)]))]
        self.load("guests come, some read twice", "guests", *come, *twice)
        self.load("visits come", "visits", *rows(every, lambda n: (oid(n), oid(n // 4 * 4), None)), careful=True)
        self.load("visits are rejected", "visits", *rejected(every))
        self.load("groups come, some without parent", "groups", *rows(every, lambda n: (oid(n), oid(n // 2 * 3), "")))
        self.load("groups move, some without parent", "groups", *rows(every, lambda n: (oid(n), oid(n // 4 * 5), "")))

    def take_values(self, every: range) -> None:
        def member(n: int, email: str) -> tuple[Any, ...]:
            return (oid(n), oid(n), oid(n), email, None, EARLY, EARLY)

        self.load("members come", "members", *rows(every, lambda n: member(n, f"m{n}")))
        self.load("members pass their values on", "members", *rows(every, lambda n: member(n, f"m{n + 1}")))
        self.load("members want the same", "members", *rows(every, lambda n: member(n, f"m{n // 2}")))

    def take_items(self, members: range) -> None:
        def tagged(tag: Callable[[int], str]) -> list[Batch]:
            return documents(
                members, lambda n: (oid(n), [(oid(n), tag(item), None, EARLY, EARLY) for item in range(5)])
            )

        self.load("tags come", "tags", *tagged(lambda item: f"t{item}"))
        self.load("a tag of each changes", "tags", *tagged(lambda item: f"t{item or 'x'}"))
        self.load("all tags change", "tags", *tagged(lambda item: f"u{item}"))

    def take_the_best(self, every: range) -> None:
        def entries(day: int, best: int) -> list[Batch]:
            return documents(
                every,
                lambda n: (
                    oid(n),
                    [(oid(n // 4), day + n // 2 % 2, "", None, EARLY if n % 2 == best else LATE, oid(n))],
                ),
            )

        self.load("entries come", "diary", *entries(1, 0))
        self.load("others are the best", "diary", *entries(1, 1))
        self.load("entries move", "diary", *entries(3, 1))
        self.run("entries go", lambda: self.delete("diary", every[::2]))

    def tell_apart(self, half: range) -> None:
        """Numbers and strings that a column shows as one text."""
        strings = documents(half, lambda n: (f"{n}", [(f"{n}", "string", None)]))
        self.load("numbers come", "guests", *typed_guests(half))
        self.load("strings want their places", "guests", *strings, *typed_guests(half[: CHUNK // 2]))
        self.load("numbers want them back", "guests", *typed_guests(half))
        self.load("numbers are rejected", "guests", *rejected(half, typed_id), *documents(half, lambda n: (f"{n}", [])))

    def remove(self, every: range, half: range) -> None:
        notes = (
            "INSERT INTO notes SELECT lpad(to_hex(n), 24, '0'), lpad(to_hex(n), 24, '0') FROM generate_series(0, %s) n"
        )
        self.connection.execute(notes, [self.size - 1])
        self.run("guests are gone", lambda: self.reconcile(half))
        self.run("guests are back", lambda: self.reconcile(every))
        self.run("visits go with their notes", lambda: self.delete("visits", half))
        self.load("visits are not at the source", "visits", source_keys=[IdBatch([oid(n) for n in half])])

    def run(self, step: str, act: Callable[[], Any]) -> None:
        """Do one thing, with what PostgreSQL knows about the tables brought into the state that is asked for."""
        forget = "DELETE FROM pg_statistic WHERE starelid >= 16384"
        if self.state == "good":
            self.connection.execute("ANALYZE")
        elif self.state == "missing":
            self.connection.execute(forget)
            self.connection.execute(
                "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid >= 16384 AND relkind = 'r'"
            )
        else:
            self.connection.execute(
                "UPDATE pg_class SET reltuples = 0, relpages = greatest(1, pg_relation_size(oid) / 8192)"
                " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            )
        with self.watch:
            self.watch.step = step
            act()

    def load(self, step: str, table: str, *batches: Batch, **options: Any) -> None:
        self.run(step, lambda: self.open(table, batches, **options))

    def open(
        self, table: str, batches: Iterable[Batch], *, careful: bool = False, source_keys: list[IdBatch] | None = None
    ) -> None:
        with open_load(self.connection, self.schema, self.schema.tables[table], "run", careful=careful) as run:
            run.begin()
            for batch in batches:
                run.write(batch)
            run.fetch_contested()
            list(run.retry_ids(self.size))
            run.finish(watermark=None, source_keys=source_keys)

    def delete(self, table: str, numbers: range) -> None:
        with self.connection.transaction():
            apply_settings(self.connection, 60)
            ids = IdBatch([oid(n) for n in numbers])
            removal = remove_documents(self.connection, self.schema, self.schema.tables[table], [ids], "run")
        assert removal.removed or removal.replaced

    def reconcile(self, numbers: range) -> None:
        guests = self.schema.tables["guests"]
        at_source = {oid(n) for n in numbers}
        ids = store_source_ids(self.connection, guests, [IdBatch(list(at_source))])
        reconcile_rows(
            self.connection,
            self.schema,
            guests,
            ids,
            lambda asked: [IdBatch([text for text in asked if text in at_source])],
            run_id="run",
            deleted_at=EARLY,
            force=True,
        )


@pytest.fixture(scope="module")
def known_work(postgres_server: EmbeddedPostgres, postgres_admin: Connection) -> Callable[[int], Work]:
    """The work of each statement with some rows and good statistics."""

    @cache
    def live(size: int) -> Work:
        with (
            create_database(postgres_server, postgres_admin) as url,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            life = Life(connection, size, "good")
            life.live()
            return life.watch.work

    return live


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("state", ["good", "missing", "stale"])
def test_no_statement_compares_many_with_many(
    known_work: Callable[[int], Work],
    postgres: Connection,
    state: str,
    record_property: Callable[..., None],
) -> None:
    before = known_work(SIZE // 10)
    # What is quadratic after all ends here, not the patience of whoever waits for the test.
    postgres.execute("SET statement_timeout = '100s'")
    life = Life(postgres, SIZE, state)

    life.live()

    assert not life.watch.faults
    growth = {key: work / max(before.get(key, 0.0), FLOOR) for key, work in life.watch.work.items()}
    steepest = sorted(growth, key=growth.__getitem__)[-5:]
    lines = [f"{growth[key]:.1f} x ({life.watch.work[key]:.2f} s) {key[0]}: {key[1][:120]!r}" for key in steepest]
    record_property(FIGURES, "\n".join(lines))
    assert max(growth.values()) <= GROWTH, lines
