"""Rows of two servers: what differs is found with few statements and few rows, whatever the servers' settings."""

import tracemalloc
from typing import Any

import psycopg
import pytest

from smartdiet_assets.compare.row_differences import RowComparison
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.resources.postgres_session import SettledConnection
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.compare.pair import Database, Pair

ROWS = 100_000
PEOPLE = """
CREATE TABLE people (id varchar PRIMARY KEY, name text, age integer, updated_at timestamp);
INSERT INTO people
SELECT lpad(to_hex(n), 24, '0'), 'name ' || n, n % 90, timestamp '2024-01-01' + n * interval '1 second'
FROM generate_series(1, 100000) AS n;
"""
#: One column of each type, with values that look different under other settings.
KINDS = """
CREATE TABLE kinds (
  id integer PRIMARY KEY, real real, double double precision, number numeric, moment timestamp, instant timestamptz,
  day date, span interval, bytes bytea, json jsonb, list text[], flag boolean, code char(5), note text, price money,
  clock time, uuid uuid
);
INSERT INTO kinds VALUES
  (1, 0.1, 0.1, 1.50, '2024-03-31 02:30', '2024-03-31 02:30+00', '2024-02-03', '1 year 2 days 03:04', '\\x00ff',
   '{"b": 1, "a": [1.0, null]}', '{"a,b",NULL,"c\\"d"}', true, 'ab', 'é,"()\\', 12.5, '10:00',
   '00000000-0000-0000-0000-000000000001'),
  (2, 'NaN', '-Infinity', 'NaN', 'infinity', NULL, NULL, NULL, '', 'null', '{}', NULL, '', '', NULL, NULL, NULL),
  (3, 1e-30, 1.7976931348623157e308, 12345678901234567890.123, '0001-01-01', now(), 'now', '-1 day', NULL, NULL, NULL,
   false, NULL, NULL, -1, '23:59:59.999999', NULL);
"""


class CountingCursor(psycopg.Cursor[Any]):
    """Counts statements and the rows they give."""

    statements = 0
    rows = 0

    def execute(self, *arguments: Any, **options: Any) -> Any:
        CountingCursor.statements += 1
        result = super().execute(*arguments, **options)
        CountingCursor.rows += max(self.rowcount, 0) if self.description else 0
        return result


class CountingServerCursor(psycopg.ServerCursor[Any]):
    def execute(self, *arguments: Any, **options: Any) -> Any:
        CountingCursor.statements += 1
        return super().execute(*arguments, **options)

    def __next__(self) -> Any:
        row = super().__next__()
        CountingCursor.rows += 1
        return row


class CountingConnection(SettledConnection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = CountingCursor
        self.server_cursor_factory = CountingServerCursor


@pytest.fixture
def counted(pair: Pair) -> None:
    pair.connection = CountingConnection
    CountingCursor.statements = CountingCursor.rows = 0


def compare(pair: Pair, *tables: str, limit: int | None = None) -> dict[str, RowComparison]:
    outcome = pair.compare(*tables, data=True, limit=limit)
    return {comparison.table: comparison for comparison in outcome.rows or ()}


def counts(comparison: RowComparison) -> tuple[int, int, int]:
    return comparison.missing, comparison.extra, comparison.different


def list_keys(comparison: RowComparison, kind: str) -> set[str | None]:
    return {value for key in comparison.keys if key.kind == kind for _, value in key.values}


def person(number: int) -> str:
    return f"{number:024x}"


def test_planted_differences_among_many_rows_are_found_with_few_statements_and_rows(
    pair: Pair, counted: None, record_property: Any
) -> None:
    pair.run(PEOPLE)
    pair.right.run("DELETE FROM people WHERE id = ANY(%s)", [[person(7), person(50_000), person(100_000)]])
    pair.left.run("DELETE FROM people WHERE id = %s", [person(99)])
    pair.right.run("UPDATE people SET age = age + 1 WHERE id = %s", [person(1_234)])
    pair.right.run("UPDATE people SET name = NULL, updated_at = now() WHERE id = %s", [person(77_777)])
    CountingCursor.statements = CountingCursor.rows = 0
    found = compare(pair)["people"]
    assert (found.left, found.right) == (ROWS - 1, ROWS - 3)
    assert counts(found) == (3, 1, 2)
    assert list_keys(found, "missing") == {person(7), person(50_000), person(100_000)}
    assert list_keys(found, "extra") == {person(99)}
    assert list_keys(found, "different") == {person(1_234), person(77_777)}
    assert found.columns == {"age": 1, "name": 1, "updated_at": 1}
    figures = f"{CountingCursor.statements} statements gave {CountingCursor.rows:,} rows of {2 * ROWS:,} compared"
    record_property("figures", figures)
    assert CountingCursor.statements <= 16
    assert CountingCursor.rows < ROWS // 20


def test_equal_tables_cost_one_statement_each(pair: Pair, counted: None) -> None:
    pair.run(PEOPLE)
    pair.run("CREATE TABLE copy AS SELECT * FROM people LIMIT 100; CREATE TABLE other AS SELECT * FROM people LIMIT 10")
    CountingCursor.statements = 0
    compare(pair, "copy")
    one = CountingCursor.statements
    CountingCursor.statements = 0
    compare(pair, "copy", "other")
    assert CountingCursor.statements == one + 2, "one on each server"


def test_settings_and_the_order_of_rows_and_columns_do_not_matter(pair: Pair) -> None:
    pair.left.run(KINDS)
    pair.right.run(
        KINDS.partition("INSERT")[0]
        .replace("id integer PRIMARY KEY, real real,", "real real,")
        .replace("uuid uuid", "uuid uuid, id integer PRIMARY KEY")
    )
    columns = "id, real, double, number, moment, instant, day, span, bytes, json, list, flag, code, note, price, clock"
    with pair.left.connection.cursor().copy(
        f"COPY (SELECT {columns}, uuid FROM kinds ORDER BY id DESC) TO STDOUT"
    ) as out:
        data = b"".join(bytes(block) for block in out)
    with pair.right.connection.cursor().copy(f"COPY kinds ({columns}, uuid) FROM STDIN") as into:
        into.write(data)
    name = pair.right.connection.info.dbname
    for setting, value in {
        "TimeZone": "Asia/Kolkata", "DateStyle": "SQL, DMY", "IntervalStyle": "iso_8601", "extra_float_digits": "-5",
        "bytea_output": "escape", "client_encoding": "LATIN1", "search_path": "public", "lc_monetary": "C",
    }.items():  # fmt: skip
        pair.right.run(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    try:
        found = compare(pair)["kinds"]
        assert (counts(found), found.left, found.left_out) == ((0, 0, 0), 3, ())
        for column in columns.split(", ")[1:]:
            pair.right.run(f"UPDATE kinds SET {column} = (SELECT {column} FROM kinds WHERE id = 2) WHERE id = 1")
        pair.right.run("UPDATE kinds SET note = 'é,\"()' WHERE id = 1")
        found = compare(pair)["kinds"]
        assert counts(found) == (0, 0, 1)
        assert set(found.columns) == set(columns.split(", ")[1:])
    finally:
        pair.right.run(f"ALTER DATABASE {name} RESET ALL")


def test_keys_of_any_collation_and_type_are_told_apart(pair: Pair) -> None:
    pair.left.run('CREATE TABLE words (word text COLLATE "C", n numeric, PRIMARY KEY (word, n))')
    pair.right.run('CREATE TABLE words (word text COLLATE "pg_c_utf8", n numeric, PRIMARY KEY (word, n))')
    pair.run(
        'INSERT INTO words SELECT w, n FROM unnest(\'{a,A,é,E,_," ",""}\'::text[]) AS w, generate_series(1, 99) AS n'
    )
    assert counts(compare(pair)["words"]) == (0, 0, 0)
    pair.right.run("UPDATE words SET word = 'Z' WHERE word = 'é' AND n = 5")
    assert counts(compare(pair)["words"]) == (1, 1, 0)


def test_rows_without_a_key_are_counted_as_often_as_they_are_there(pair: Pair) -> None:
    pair.run(
        "CREATE TABLE loose (a int, b text); INSERT INTO loose SELECT n % 3, NULL FROM generate_series(1, 30) AS n"
    )
    assert counts(compare(pair)["loose"]) == (0, 0, 0)
    pair.left.run("INSERT INTO loose VALUES (1, NULL), (1, NULL), (9, '')")
    pair.right.run("INSERT INTO loose VALUES (2, NULL)")
    found = compare(pair)["loose"]
    assert (counts(found), found.keys) == ((3, 1, 0), [])


def test_a_key_that_is_unique_on_one_side_only(pair: Pair) -> None:
    pair.left.run("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    pair.right.run(
        "CREATE TABLE t (id int NOT NULL, a text); INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, 'z'), (2, 'y')"
    )
    assert counts(compare(pair)["t"]) == (0, 2, 0)
    assert counts(compare(pair.turn())["t"]) == (2, 0, 0)


def test_numbers_that_each_server_gives_are_not_compared_where_something_else_identifies(pair: Pair) -> None:
    table = "CREATE TABLE days (id serial PRIMARY KEY, person text NOT NULL, day date NOT NULL, UNIQUE (person, day))"
    pair.run(table)
    pair.left.run("INSERT INTO days (person, day) VALUES ('a', 'today'), ('b', 'today')")
    pair.right.run("INSERT INTO days (person, day) VALUES ('b', 'today'), ('a', 'today')")
    found = compare(pair)["days"]
    assert (counts(found), found.key_columns, found.left_out) == ((0, 0, 0), ("person", "day"), ("id",))
    pair.run("CREATE TABLE notes (day_id integer REFERENCES days (id))")
    assert counts(compare(pair)["days"]) == (0, 0, 2), "notes point at the numbers"


def test_columns_of_other_types_are_left_out_and_named(pair: Pair) -> None:
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(10), b numeric, z int); INSERT INTO t VALUES (1, 'x', 1, 1)"
    )
    pair.right.run("ALTER TABLE t ALTER b TYPE double precision, ALTER a TYPE text, ALTER id TYPE bigint, DROP z")
    found = compare(pair)["t"]
    assert (counts(found), found.left_out) == ((0, 0, 0), ("b",))


def test_at_most_as_many_keys_as_asked_for_are_listed(pair: Pair) -> None:
    pair.run("CREATE TABLE t (id int PRIMARY KEY)")
    pair.left.run("INSERT INTO t SELECT generate_series(1, 5000)")
    found = compare(pair, limit=3)["t"]
    assert (found.missing, len(found.keys)) == (5_000, 3)
    assert len(compare(pair, limit=None)["t"].keys) == 5_000


def test_both_sides_are_seen_as_they_are_at_one_moment(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")

    def write(table: str, rows: int) -> None:
        if table == "a":
            pair.right.run("INSERT INTO b VALUES (1)")

    outcome = pair.compare(data=True, report=write)
    assert not outcome.differs
    assert pair.compare(data=True).differs


def test_the_mirrors_own_records_are_compared_when_asked_for(pair: Pair) -> None:
    pair.run("CREATE SCHEMA smartdiet; CREATE TABLE smartdiet.t (id int PRIMARY KEY)")
    pair.left.run("INSERT INTO smartdiet.t VALUES (1)")
    assert not pair.compare(data=True).differs
    [found] = pair.compare(data=True, namespace="smartdiet").rows or ()
    assert counts(found) == (1, 0, 0)


@pytest.mark.parametrize("size", [0, 1, 3, 5_000])
def test_tables_of_any_size(pair: Pair, size: int) -> None:
    pair.run("CREATE TABLE t (id int PRIMARY KEY, a int)")
    pair.run(f"INSERT INTO t SELECT n, n FROM generate_series(1, {size}) AS n")
    pair.right.run("UPDATE t SET a = 0 WHERE id % 100 = 1")
    found = compare(pair)["t"]
    assert counts(found) == (0, 0, len(range(1, size + 1, 100)))


def test_servers_of_another_encoding_agree(
    pair: Pair, postgres_server: EmbeddedPostgres, postgres_admin: psycopg.Connection
) -> None:
    pair.run("CREATE TABLE t (id text PRIMARY KEY, a text); INSERT INTO t VALUES ('é', 'ÿ'), ('e', 'ß')")
    with (
        create_database(postgres_server, postgres_admin, "ENCODING 'LATIN1' LOCALE 'C'") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        other = Pair(pair.left, Database(url, connection))
        other.right.run("CREATE TABLE t (id text PRIMARY KEY, a text); INSERT INTO t VALUES ('é', 'ÿ'), ('e', 'ß')")
        assert counts(compare(other)["t"]) == (0, 0, 0)
        other.right.run("UPDATE t SET a = 's' WHERE id = 'e'")
        assert counts(compare(other)["t"]) == (0, 0, 1)


def test_memory_is_that_of_the_buckets_however_many_rows_differ(pair: Pair, record_property: Any) -> None:
    pair.run("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    peaks = []
    for rows in (10_000, 60_000):
        for side, value in ((pair.left, "x"), (pair.right, "y")):
            side.run(f"TRUNCATE t; INSERT INTO t SELECT n, '{value}' FROM generate_series(1, {rows}) AS n")
        tracemalloc.start()
        assert counts(compare(pair, limit=10)["t"]) == (0, 0, rows)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    record_property("figures", f"peaks of {peaks[0] / 1e6:.1f} and {peaks[1] / 1e6:.1f} MB for 10,000 and 60,000 rows")
    assert peaks[1] < peaks[0] + 2e6
