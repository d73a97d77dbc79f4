"""The checks of Matomo's tables: the same kinds, counted and compared on MariaDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from smartdiet_assets.checks.evaluation import Servers, build_sources, evaluate_checks
from smartdiet_assets.checks.outcome import KINDS, CheckOutcome, list_kinds
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.matomo_mirror import ACTION, NOON, VIEW, VISIT, Matomo


@pytest.fixture
def mirrored(matomo: Matomo) -> Matomo:
    for number in (1, 2, 3):
        matomo.add(ACTION, idaction=number)
        matomo.add_visit(number)
        matomo.add_view(number, number, idaction_url=number)
    matomo.run()
    return matomo


def evaluate(mirrored: Matomo, resource: MatomoResource | None = None) -> dict[tuple[str, str], CheckOutcome]:
    @contextmanager
    def lend() -> Iterator[psycopg.Connection[Any]]:
        yield mirrored.postgres

    servers = Servers(postgres=lend, sources=build_sources({"matomo": resource or mirrored.resource}))
    wanted = list_asked(mirrored.schema)
    outcomes = evaluate_checks(mirrored.schema, wanted, servers, sample=100)
    return {(outcome.table, outcome.kind): outcome for outcome in outcomes}


def list_asked(schema: Schema) -> dict[str, list[str]]:
    return {name: list_kinds(schema, table) for name, table in schema.tables.items()}


def failures(mirrored: Matomo, resource: MatomoResource | None = None) -> dict[tuple[str, str], CheckOutcome]:
    return {key: outcome for key, outcome in evaluate(mirrored, resource).items() if not outcome.passed}


def test_every_check_passes_on_a_fresh_mirror_and_with_rows_that_came_since(mirrored: Matomo) -> None:
    found = evaluate(mirrored)
    assert set(found) == {(table, kind) for table, kinds in list_asked(mirrored.schema).items() for kind in kinds}
    assert not {key: outcome.sentence for key, outcome in found.items() if not outcome.passed}
    assert found[VIEW, "content_matches"].numbers["documents_compared"] == 3
    mirrored.add(ACTION, idaction=4)
    mirrored.execute(
        f"UPDATE {VISIT} SET visit_last_action_time = UTC_TIMESTAMP(), visit_total_time = 9 WHERE idvisit = 2"
    )
    assert not {key: outcome.sentence for key, outcome in failures(mirrored).items()}


def test_rows_deleted_and_altered_by_hand_are_found(mirrored: Matomo) -> None:
    mirrored.postgres.execute(f"DELETE FROM {VIEW} WHERE idlink_va = 2")
    mirrored.postgres.execute(f"UPDATE {VISIT} SET visit_total_time = 77 WHERE idvisit = 3")
    found = failures(mirrored)
    assert set(found) == {(VIEW, "rows_match_source"), (VIEW, "content_matches"), (VISIT, "content_matches")}
    assert found[VIEW, "rows_match_source"].numbers["missing"] == 1
    assert found[VISIT, "content_matches"].numbers["columns"] == {"visit_total_time": 1}


def test_a_visit_that_waits_too_long_is_an_error(mirrored: Matomo) -> None:
    mirrored.add_visit(9, NOON + timedelta(hours=5))
    found = failures(mirrored)
    assert set(found) == {(VISIT, "data_is_fresh")}
    assert found[VISIT, "data_is_fresh"].numbers["changed_since"] == 1


def test_matomo_away_fails_what_needs_it_with_a_sentence(mirrored: Matomo) -> None:
    away = MatomoResource(host="127.0.0.1", port=1, password="Marked-Secret")
    found = failures(mirrored, away)
    reads_source = {kind.name for kind in KINDS.values() if kind.reads_source}
    assert {key[1] for key in found} >= reads_source
    assert all("no server answers" in outcome.sentence for outcome in found.values())
    assert "Marked" not in str(found)
