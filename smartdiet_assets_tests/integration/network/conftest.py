"""A mirror whose every connection goes through a proxy that can fail."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.support.broken import SCHEMA, Network
from smartdiet_assets_tests.support.fault_proxy import FaultProxy

#: Seconds; short, as nothing here takes long by itself.
TIMEOUTS = {"CONNECT_TIMEOUT": "2", "READ_TIMEOUT": "2", "STALL_TIMEOUT": "1"}


@pytest.fixture
def network(
    configured_servers: None,
    mongo_server: EmbeddedMongo,
    mongo_database: Database[Any],
    postgres_server: EmbeddedPostgres,
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Network]:
    """MongoDB with documents and an empty PostgreSQL, each behind its proxy, and short timeouts."""
    path = tmp_path / "tables.yaml"
    path.write_text(SCHEMA)
    with ExitStack() as stack:
        proxies = {
            name: stack.enter_context(FaultProxy(server.port))
            for name, server in (("mongo", mongo_server), ("postgres", postgres_server))
        }
        network = Network(proxies, mongo_database, postgres, (path,))
        variables = {
            "MONGODB_URL": mongo_server.uri.replace(f":{mongo_server.port}/", f":{proxies['mongo'].port}/"),
            "POSTGRES_PORT": str(proxies["postgres"].port),
            "SMARTDIET_SCHEMAS": str(path),
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "BATCH_SIZE": "50",
            **TIMEOUTS,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        network.write_documents()
        yield network
