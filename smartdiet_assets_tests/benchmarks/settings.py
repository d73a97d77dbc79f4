"""What a run of the benchmarks is told: sizes and rounds. Here: the record every benchmark receives."""

from dataclasses import dataclass

from smartdiet_assets_tests.benchmarks.measuring import ProgressListener


def _be_quiet(_what: str, _number: int, _total: int) -> None:
    pass


#: As large as the real ones are known to be; the company at a tenth of the real one's 5 million documents.
REAL_DOCUMENTS = 563_086
REAL_PARENTS = 60_000
REAL_SCALE = 0.1


@dataclass(frozen=True)
class Settings:
    """Sizes of a run.

    Attributes:
        documents: logbook documents.
        parents: parents of the relationship table.
        scale: of the generated company of 31 tables; 1 is about 5 million documents.
        pairs: how often each measurement is repeated.
        on_round: told before each repetition.
        real_documents: logbook documents of the part that takes as many as there really are.
        wide_documents: documents of 24 fields and an array.
        rows: of the tables that whole commands fill, to a few percent, one after the other.
    """

    documents: int = 30_000
    parents: int = 6_000
    scale: float = 0.01
    pairs: int = 5
    on_round: ProgressListener = _be_quiet
    real_documents: int = REAL_DOCUMENTS
    rows: tuple[int, ...] = (28_000, 280_000)
    wide_documents: int = 50_000

    def describe(self) -> str:
        """Say the sizes in a sentence."""
        return (
            f"{self.documents:,} logbook documents ({self.real_documents:,} at real size), {self.parents:,} parents of"
            f" 15 items, the company at scale {self.scale:g}; {self.pairs} rounds."
        )
