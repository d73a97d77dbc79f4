"""A server that is away fails the checks that need it, with a sentence; the others are evaluated."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from smartdiet_assets.checks.mongodb import CheckedMongo
from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.checked import Checked

READS_SOURCE = {kind.name for kind in KINDS.values() if kind.reads_source}


def test_without_mongodb_what_postgresql_knows_is_checked_all_the_same(checked: Checked) -> None:
    away = MongoResource(url="mongodb://user:Marked-Secret@127.0.0.1:1", server_selection_timeout=0.2)
    checked.servers = replace(checked.servers, sources={"mongodb": CheckedMongo(away.read)})
    found = checked.evaluate()
    failed = {key: outcome for key, outcome in found.items() if not outcome.passed}
    assert set(failed) == {(table, kind) for table in checked.mirrored.schema.tables for kind in READS_SOURCE}
    [sentence] = {outcome.sentence for outcome in failed.values()}
    assert sentence == "Not checked: reading MongoDB failed: no server answers; check it and MONGODB_URL."
    assert all(outcome.is_error for outcome in failed.values())
    away.close()


def test_without_postgresql_every_check_fails_with_one_sentence(checked: Checked) -> None:
    away = PostgresResource(host="127.0.0.1", port=1, password="Marked-Secret")
    checked.servers = replace(checked.servers, postgres=away.borrow)
    found = checked.evaluate()
    assert set(found) == checked.asked
    [sentence] = {outcome.sentence for outcome in found.values()}
    assert "no server answers; check it, POSTGRES_HOST and POSTGRES_PORT" in sentence
    assert "Marked" not in sentence


def test_a_connection_lost_half_way_is_a_sentence_too(checked: Checked, postgres_database: str) -> None:
    import psycopg

    def kill_and_read(attempt: Callable[[Any], Any]) -> Any:
        with psycopg.connect(postgres_database, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return attempt(checked.source)

    checked.servers = replace(checked.servers, sources={"mongodb": CheckedMongo(kill_and_read)})
    failed = checked.failures()
    assert {kind for _, kind in failed} == READS_SOURCE
    assert all("the connection" in outcome.sentence for outcome in failed.values())
