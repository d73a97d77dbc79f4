"""Copying the documents of a refresh, all or a sample, as of one moment where the source can show it.

Here: what happens when it cannot, or can no longer. Not here: a single batch (`documents`), making and indexing
the new collections (`copying`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pymongo.errors import OperationFailure, PyMongoError

from smartdiet_assets.operations.refresh.mongo.copying import NewCollections
from smartdiet_assets.operations.refresh.mongo.documents import fetch_batches
from smartdiet_assets.operations.refresh.mongo.references import Reference
from smartdiet_assets.operations.refresh.mongo.sample import Sample
from smartdiet_assets.operations.refresh.mongo.snapshot import (
    SNAPSHOT_LOST,
    SNAPSHOT_TOO_OLD,
    open_reading_session,
)
from smartdiet_assets.operations.refresh.plan import RefreshOutcome
from smartdiet_assets.resources.mongo import MongoResource

_LOST_NOTE = (
    "The source could not show one moment for as long as the copy took: the rest was read as it was later. It keeps"
    " minSnapshotHistoryWindowInSeconds (300 unless raised)."
)
_LATER = "read later than the others"


def copy_all(source: MongoResource, new: NewCollections, outcome: RefreshOutcome) -> None:
    """Copy and index every collection; where the moment is lost, that collection and the rest are read as of now.

    Args:
        outcome: says at first whether the source can show one moment, and is told when that ends.

    Raises:
        SmartdietError: a server refused or was lost.
    """
    database = source.open_database()
    with (
        open_reading_session(database, snapshot=outcome.consistent) as snapshot,
        open_reading_session(database, snapshot=False) as plain,
    ):
        lost = promised_none = not outcome.consistent
        for name, spec in new.specs.items():
            new.begin(name)
            consistent = not lost
            if lost and not promised_none:
                new.items[name].note = _LATER
            try:
                new.fill(name, _read(source, name, fetch_batches(database, spec, plain if lost else snapshot)))
            except _SnapshotLostError as error:
                # Of a capped collection a server may show no moment but the present one.
                lost = error.too_old or not spec.capped
                consistent = False
                _tell(outcome)
                new.items[name].note = _LATER
                new.forget(name)
                new.begin(name)
                new.fill(name, _read(source, name, fetch_batches(database, spec, plain)))
            new.finish(name, snapshot=consistent)


def copy_sample(
    source: MongoResource,
    new: NewCollections,
    outcome: RefreshOutcome,
    references: Mapping[str, Sequence[Reference]],
    percent: float,
) -> None:
    """Copy and index a share of every collection and what it refers to; where the moment is lost, all over again.

    Raises:
        SmartdietError: a server refused or was lost.
    """
    try:
        _copy_sample(source, new, references, percent, snapshot=outcome.consistent)
    except _SnapshotLostError:
        _tell(outcome)
        for name in new.specs:
            new.forget(name)
        _copy_sample(source, new, references, percent, snapshot=False)


def _copy_sample(
    source: MongoResource,
    new: NewCollections,
    references: Mapping[str, Sequence[Reference]],
    percent: float,
    *,
    snapshot: bool,
) -> None:
    database = source.open_database()
    with open_reading_session(database, snapshot=snapshot) as session:
        sample = Sample(database, session, new.specs, references, percent)
        for name in new.specs:
            new.begin(name, percent / 100)
            new.fill(name, _read(source, name, sample.fetch_chosen(name)), "skip")
        with _reading(source, "what sampled documents refer to"):
            for name, batch in sample.fetch_missing():
                with new.timing(name):
                    new.write(name, batch, "skip")
    for name in new.specs:
        new.finish(name, snapshot=snapshot)


class _SnapshotLostError(Exception):
    """The moment that was read can no longer be shown."""

    def __init__(self, *, too_old: bool) -> None:
        self.too_old = too_old


def _tell(outcome: RefreshOutcome) -> None:
    if outcome.consistent:
        outcome.consistent = False
        outcome.notes.append(_LOST_NOTE)


def _read(source: MongoResource, name: str, batches: Iterator[bytes]) -> Iterator[bytes]:
    with _reading(source, name):
        yield from batches


@contextmanager
def _reading(source: MongoResource, name: str) -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code in SNAPSHOT_LOST:
            raise _SnapshotLostError(too_old=error.code == SNAPSHOT_TOO_OLD) from None
        raise source.translate(error, f"reading {name} from the source") from None
