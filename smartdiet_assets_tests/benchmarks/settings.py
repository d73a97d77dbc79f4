"""What a run of the benchmarks is told: sizes and rounds. Here: the record every benchmark receives."""

from dataclasses import dataclass

from smartdiet_assets_tests.benchmarks.measuring import ProgressListener


def _be_quiet(_what: str, _number: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class Settings:
    """Sizes of a run.

    Attributes:
        documents: logbook documents.
        parents: parents of the relationship table.
        pairs: how often each measurement is repeated.
        on_round: told before each repetition.
    """

    documents: int = 30_000
    parents: int = 6_000
    pairs: int = 5
    on_round: ProgressListener = _be_quiet
