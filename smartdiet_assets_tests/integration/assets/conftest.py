"""Fixtures of the tests that run the graph through an instance of Dagster."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql


@pytest.fixture
def dagster_database(postgres: psycopg.Connection, postgres_database: str) -> Iterator[str]:
    """The URL of an empty database for Dagster's own records."""
    name = sql.Identifier(f"dagster_{os.getpid()}")
    postgres.execute(sql.SQL("CREATE DATABASE {}").format(name))
    parts = psycopg.conninfo.conninfo_to_dict(postgres_database)
    yield f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/dagster_{os.getpid()}"
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
