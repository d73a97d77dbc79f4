"""Copying the documents of a refresh, all or a sample, as of one moment where the source can show it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError

from smartdiet_assets.refresh.mongo.copying import NewCollections
from smartdiet_assets.refresh.mongo.documents import fetch_batches
from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.refresh.mongo.references import Reference
from smartdiet_assets.refresh.mongo.sample import Sample
from smartdiet_assets.refresh.mongo.snapshot import (
    SNAPSHOT_LOST,
    SNAPSHOT_TOO_OLD,
    open_snapshot,
)
from smartdiet_assets.refresh.plan import RefreshOutcome
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
    with open_snapshot(database) if outcome.consistent else nullcontext() as snapshot:
        lost = promised_none = not outcome.consistent
        for name, spec in new.specs.items():
            consistent = not lost
            if lost and not promised_none:
                new.items[name].note = _LATER
            try:
                _fill(source, new, name, spec, None if lost else snapshot)
            except _SnapshotLostError as error:
                # Of a capped collection a server may show no moment but the present one.
                lost = error.too_old or not spec.capped
                consistent = False
                _tell(outcome)
                new.items[name].note = _LATER
                new.forget(name)
                _fill(source, new, name, spec, None)
            source.insist(lambda: new.finish(name, snapshot=consistent))  # noqa: B023


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
    begun = False

    def copy() -> None:
        nonlocal begun
        for name in new.specs if begun else ():
            new.forget(name)
        begun = True
        _copy_sample(source, new, references, percent, snapshot=outcome.consistent)

    try:
        source.insist(copy)
    except _SnapshotLostError:
        _tell(outcome)
        source.insist(copy)


def _copy_sample(
    source: MongoResource,
    new: NewCollections,
    references: Mapping[str, Sequence[Reference]],
    percent: float,
    *,
    snapshot: bool,
) -> None:
    database = source.open_database()
    with open_snapshot(database) if snapshot else nullcontext() as session:
        sample = Sample(database, session, new.specs, references, percent)
        for name in new.specs:
            new.begin(name, percent / 100)
            new.fill(name, _read(source, name, sample.fetch_chosen(name), session), "skip")
        with _reading(source, "what sampled documents refer to", session):
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


def _fill(
    source: MongoResource, new: NewCollections, name: str, spec: CollectionSpec, session: ClientSession | None
) -> None:
    """Fill a collection from its first document on, again where a server was lost on the way."""
    begun = False

    def fill() -> None:
        nonlocal begun
        if begun:
            new.forget(name)
        begun = True
        database = session.client[source.database] if session else source.open_database()
        new.begin(name)
        new.fill(name, _read(source, name, fetch_batches(database, spec, session), session))

    source.insist(fill)


def _read(source: MongoResource, name: str, batches: Iterator[bytes], session: ClientSession | None) -> Iterator[bytes]:
    with _reading(source, name, session):
        yield from batches


@contextmanager
def _reading(source: MongoResource, name: str, session: ClientSession | None) -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        if session is not None and isinstance(error, OperationFailure) and error.code in SNAPSHOT_LOST:
            raise _SnapshotLostError(too_old=error.code == SNAPSHOT_TOO_OLD) from None
        raise source.translate(error, f"reading {name} from the source") from None
