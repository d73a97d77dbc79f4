"""A sample of a PostgreSQL database keeps every foreign key, whatever they look like, and is the same each time."""

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import (
    PostgresPair,
    load_everything,
    read_structure,
)


def count(pair: PostgresPair, *tables: str) -> list[int]:
    return [pair.target(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


@pytest.fixture
def shop(postgres_pair: PostgresPair) -> PostgresPair:
    """1,000 users, each with 10 orders of 3 lines; 50 products; users who were invited by users."""
    postgres_pair.source(
        "CREATE TABLE users (id text COLLATE \"C\" PRIMARY KEY, invited_by text COLLATE \"C\" REFERENCES users)",
        "CREATE TABLE products (id int PRIMARY KEY, code varchar(9) UNIQUE NOT NULL)",
        "CREATE TABLE orders (id bigserial PRIMARY KEY, owner text REFERENCES users, gift_of text REFERENCES users)",
        "CREATE TABLE lines (of bigint REFERENCES orders, n int, product varchar(20) REFERENCES products (code),"
        " PRIMARY KEY (of, n))",
        "CREATE TABLE logs (message text)",
        "INSERT INTO users SELECT 'u' || g, CASE WHEN g % 3 = 0 THEN 'u' || (g / 3) END"
        " FROM generate_series(1, 1000) g",
        "INSERT INTO products SELECT g, 'p' || g FROM generate_series(1, 50) g",
        "INSERT INTO orders (owner) SELECT 'u' || (1 + g % 1000) FROM generate_series(1, 10000) g",
        "INSERT INTO lines SELECT o, n, 'p' || (1 + (o + n) % 50)"
        " FROM generate_series(1, 10000) o, generate_series(1, 3) n",
        "INSERT INTO logs SELECT 'm' || g FROM generate_series(1, 5000) g",
    )  # fmt: skip
    return postgres_pair


def test_a_sample_is_a_share_of_each_table_and_what_it_refers_to(shop: PostgresPair) -> None:
    outcome = shop.refresh(sample=10)
    logs, lines, orders, products = count(shop, "logs", "lines", "orders", "products")
    # 10% of what nothing refers to; more of what its rows refer to.
    assert 400 < logs < 600
    assert 2700 < lines < 3300
    assert lines < 3 * orders < 30000
    assert orders < 4500
    assert products == 50
    assert {item.name: item.count for item in outcome.items}["public.lines"] == lines
    assert any("A sample: 10%" in note for note in outcome.plan.notes)
    with shop.open(shop.source_name) as source, shop.open(shop.target_name) as target:
        assert read_structure(target)["constraints"] == read_structure(source)["constraints"]


def test_a_sample_is_the_same_each_time_and_part_of_a_larger_one(shop: PostgresPair) -> None:
    def read() -> dict[str, set[Any]]:
        return {
            table: {row[0] for row in shop.target(f"SELECT t::text FROM {table} t")}
            for table in ("users", "orders", "lines", "products", "logs")
        }

    shop.refresh(sample=5)
    first = read()
    shop.refresh(sample=5)
    assert read() == first
    shop.refresh(sample=20)
    larger = read()
    assert all(first[table] <= larger[table] for table in first)
    assert len(larger["logs"]) > len(first["logs"])


def test_a_chain_of_rows_is_followed_to_its_end(postgres_pair: PostgresPair) -> None:
    postgres_pair.source(
        "CREATE TABLE chain (id int PRIMARY KEY, before int REFERENCES chain)",
        "INSERT INTO chain SELECT g, nullif(g - 1, 0) FROM generate_series(1, 3000) g",
    )
    postgres_pair.refresh(sample=1)
    chosen, last = postgres_pair.target("SELECT count(*), max(id) FROM chain")[0]
    assert chosen == last < 3001
    assert last > 2000


def test_everything_a_database_can_have_is_sampled_too(postgres_pair: PostgresPair) -> None:
    with postgres_pair.open(postgres_pair.source_name) as connection:
        load_everything(connection)
    postgres_pair.refresh(sample=10)
    assert 0 < count(postgres_pair, "users")[0] <= 500
    assert 20 < postgres_pair.target("SELECT count(*) FROM app.events")[0][0] < 250
    assert postgres_pair.target("SELECT count(*) FROM app.event_refs")[0][0] < 49
    # A sequence goes on where the source's does.
    assert postgres_pair.target("SELECT last_value FROM users_s_seq") == [(500,)]


@st.composite
def databases(draw: st.DrawFn) -> list[str]:
    """Tables that refer to each other at random, in cycles and to themselves, by keys of one or two columns."""
    names = [f"t{number}" for number in range(draw(st.integers(2, 6)))]
    pairs = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names), st.booleans()), max_size=10))
    rows = draw(st.integers(5, 60))
    step = draw(st.integers(1, 7))
    statements = [f"CREATE TABLE {name} (a int, b text, PRIMARY KEY (a), UNIQUE (a, b))" for name in names]
    statements += [f"INSERT INTO {name} SELECT g, 'b' || g FROM generate_series(1, {rows}) g" for name in names]
    for number, (child, parent, wide) in enumerate(pairs):
        column = f"r{number}"
        empty = f"CASE WHEN (a + {number}) % {step + 1} > 0 THEN"
        statements += [
            f"ALTER TABLE {child} ADD {column} int, ADD {column}_b text",
            f"UPDATE {child} SET {column} = {empty} 1 + (a * {step} + {number}) % {rows} END,"
            f" {column}_b = {empty} 'b' || (1 + (a * {step} + {number}) % {rows}) END",
            f"ALTER TABLE {child} ADD FOREIGN KEY ({column}{f', {column}_b' if wide else ''})"
            f" REFERENCES {parent} ({'a, b' if wide else 'a'}) DEFERRABLE",
        ]
    return statements


@settings(max_examples=5)
@given(statements=databases(), percent=st.sampled_from([0.5, 5, 10, 40]))
def test_every_foreign_key_holds_in_a_sample_of_random_tables(
    postgres_server: EmbeddedPostgres, postgres_admin: psycopg.Connection, statements: list[str], percent: float
) -> None:
    """That the refresh ends says it: PostgreSQL itself checks each foreign key when it is added."""
    with (
        create_database(postgres_server, postgres_admin) as source_url,
        create_database(postgres_server, postgres_admin) as target_url,
    ):
        pair = PostgresPair(postgres_server, source_url, target_url)
        pair.source(*statements)
        pair.refresh(sample=percent)
        with pair.open(pair.source_name) as source, pair.open(pair.target_name) as target:
            assert read_structure(target) == read_structure(source)
        referenced = pair.target("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")
        assert referenced == [(0,)]
