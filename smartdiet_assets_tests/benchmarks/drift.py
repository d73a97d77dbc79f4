"""What looking for undeclared fields costs: runs that do it against runs that do not, of equal collections."""

from collections.abc import Iterator
from dataclasses import replace

from smartdiet_assets.schema.model import CollectionRules
from smartdiet_assets_tests.benchmarks.changing import ChangingLogbooks, open_changing
from smartdiet_assets_tests.benchmarks.logbooks import TABLE
from smartdiet_assets_tests.benchmarks.measuring import Comparison, measure
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

#: Three percent of a run.
AIM = 1.03
LOOKING, NOT_LOOKING = "report", "ignore"
SHARES = (0.01, 0.1)
FULL = "first load"
AGAINST = "the same with undeclared: ignore"


def run_drift(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare first loads and incremental runs."""
    with open_changing(servers, settings.documents, settings.documents) as collections:
        contestants = []
        for logbooks, undeclared in zip(collections, (LOOKING, NOT_LOOKING), strict=True):
            _declare(logbooks, undeclared)
            for share in SHARES:
                count = max(1, round(logbooks.documents * share))
                name = f"{undeclared}: {share:.0%}"
                contestants += logbooks.enter_change(name, f"{name}, read alone", count)
            contestants.append(logbooks.enter_full(f"{undeclared}: {FULL}"))
        rounds = measure("drift", "runs that look and do not", contestants, settings.pairs, settings.on_round)
    work = {"documents": settings.documents}
    for case in (FULL, *(f"{share:.0%}" for share in SHARES)):
        yield rounds.compare(
            f"{LOOKING}: {case}",
            f"{NOT_LOOKING}: {case}",
            against=AGAINST,
            work=work,
            at_most=AIM,
            case=case if case == FULL else f"{case} changed",
        )


def _declare(logbooks: ChangingLogbooks, undeclared: str) -> None:
    schema = logbooks.logbooks.schema
    rules = {**schema.collections, TABLE: CollectionRules.model_validate({"undeclared": undeclared})}
    logbooks.logbooks = replace(logbooks.logbooks, schema=schema.model_copy(update={"collections": rules}))
