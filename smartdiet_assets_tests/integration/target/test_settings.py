"""Settings of the database and of the role that change what statements mean, or end them: no command meets them."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.integration.target.conftest import Target

MEANING = {
    "client_encoding": "LATIN1",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Apia",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "xmlbinary": "hex",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "exit_on_error": "on",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_nestloop": "off",
    "check_function_bodies": "off",
    "escape_string_warning": "off",
    "backslash_quote": "off",
    "synchronize_seqscans": "off",
    "client_min_messages": "error",
    "default_statistics_target": "1",
    "default_table_access_method": "heap",
    "lc_monetary": "C",
    "row_security": "off",
    "jit": "on",
    "work_mem": "64kB",
    "plan_cache_mode": "force_generic_plan",
}
ENDING = {
    "statement_timeout": "100ms",
    "lock_timeout": "100ms",
    "idle_in_transaction_session_timeout": "100ms",
    "idle_session_timeout": "100ms",
    "transaction_timeout": "100ms",
}


def set_for(postgres: psycopg.Connection[Any], where: sql.Composable, settings: dict[str, str]) -> None:
    known = {row[0] for row in postgres.execute("SELECT lower(name) FROM pg_settings")}
    for name, value in settings.items():
        if name.lower() in known:
            postgres.execute(sql.SQL("ALTER {} SET {} = {}").format(where, sql.Identifier(name), sql.Literal(value)))


def database_of(target: Target) -> sql.Composed:
    return sql.SQL("DATABASE {}").format(sql.Identifier(target.resource.database))


def test_every_command_works_whatever_the_database_sets(target: Target) -> None:
    set_for(target.postgres, database_of(target), MEANING | ENDING)
    target.use_all_commands()


@pytest.mark.parametrize("name", MEANING | ENDING)
def test_a_session_is_the_same_with_every_one_of_them(
    postgres: Any, postgres_resource: PostgresResource, name: str
) -> None:
    where = sql.SQL("DATABASE {}").format(sql.Identifier(postgres_resource.database))
    with postgres_resource.connect() as connection:
        ours = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
    set_for(postgres, where, {name: (MEANING | ENDING)[name]})
    with postgres_resource.connect() as connection:
        found = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
    assert "'" not in found["DateStyle"]
    kept = {
        # What a load sets, or chooses with regard to it, for its own transaction.
        "jit", "work_mem", "default_statistics_target", "check_function_bodies", "escape_string_warning",
        # What changes none of our statements.
        "backslash_quote", "synchronize_seqscans", "client_min_messages", "plan_cache_mode", "lc_monetary",
        # An administrator's decision.
        "row_security",
    }  # fmt: skip
    assert {key for key in found if found[key] != ours[key]} <= kept
