"""What a run learns from a collection's change stream: the documents to read, those deleted, where to go on.

The stream is read before any document: what changes after that is after the new position, and is read again next time.
A document named as deleted is looked for, and one named as changed is read, as they are by then: the last state counts,
whatever came in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from smartdiet_assets.errors import PositionLostError, SourceBehindError
from smartdiet_assets.extract.mongodb.documents import IDS_PER_QUERY
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.changes import ChangedDocuments
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.removal.cascade import Removal
from smartdiet_assets.load.removal.gone import remove_documents
from smartdiet_assets.mirror.sources.interface import ChangeSource, Source
from smartdiet_assets.schema.document_id import IdBatch, encode_plain_value

#: Ids of deleted documents whose rows are removed at once.
_REMOVED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Capture:
    """What the stream told a run.

    Attributes:
        position: where the next run goes on.
        start: `resumed` after the last run's position; `begun` without one; `renewed` where a run that read every
            document found the old one lost.
        events: changes read from the stream.
        deleted: documents it named as deleted that are not there.
        behind: the source's time the stream was read up to, where the server did not show more; None where it was read
            up to the moment the run began. The next run goes on from there.
    """

    position: str
    start: Literal["resumed", "begun", "renewed"]
    events: int = 0
    deleted: int = 0
    behind: datetime | None = None


def capture_changes(
    source: Source, load: Load, changed: ChangedDocuments, window: Window, now: datetime
) -> tuple[Capture | None, Removal | None]:
    """Read the stream on from the last run's position, or open it for the first one; None for other tables.

    Notes the changed documents, and removes the rows of those that are gone, or marks them: what the rows that come
    then want of the removed ones, such as a unique value, is free. Also gives what became of those, None without any.

    Args:
        now: the source's time at the start of the run, which marks bear.

    Raises:
        PositionLostError, SourceBehindError: the stream cannot be read on, and the run does not read every document.
    """
    if (stream := source.changes) is None:
        return None, None
    stored = load.state.change_position
    if stored is None:
        return Capture(stream.open_position(), "begun"), None
    # Reading everything makes up for changes that were missed, so here alone a lost position may be replaced.
    renewed = stream.open_position() if window.reads_everything else None
    events, position, behind = 0, stored, None
    try:
        for changes in stream.fetch_changes(stored):
            changed.note("changed", changes.changed)
            changed.note("deleted", changes.deleted)
            events, position, behind = events + changes.events, changes.position, changes.behind
    except (PositionLostError, SourceBehindError):
        if renewed is None:
            raise
        deleted, removal = _remove_deleted(stream, load, changed, now)
        return Capture(renewed, "renewed", events, deleted), removal
    deleted, removal = _remove_deleted(stream, load, changed, now)
    return Capture(position, "resumed", events, deleted, behind), removal


def _remove_deleted(
    stream: ChangeSource, load: Load, changed: ChangedDocuments, now: datetime
) -> tuple[int, Removal | None]:
    deleted, removal = 0, Removal()
    for chunk in _gather(stream.fetch_deleted(ids) for ids in changed.stream_ids("deleted")):
        deleted += len(chunk)
        ids = _add_plain(stream, stream.convert_ids(chunk))
        with load.clock.timed("remove"):
            removal.add(remove_documents(load.connection, load.schema, load.table, [ids], load.run_id, deleted_at=now))
    return deleted, removal if deleted else None


def _add_plain(stream: ChangeSource, deleted: IdBatch) -> IdBatch:
    """Add to ids the document column does not tell those it seems to, where there is no such document either.

    An earlier version kept only the value of such an id; of pseudonyms there was none.
    """
    if stream.table.hides_ids:
        return deleted
    plain = {encode_plain_value(value): value for value, _ in deleted.typed if isinstance(value, str | int)}
    chunks = (list(plain)[at : at + IDS_PER_QUERY] for at in range(0, len(plain), IDS_PER_QUERY))
    gone = [plain[text] for chunk in chunks for text in stream.fetch_deleted(chunk)]
    return IdBatch([*deleted.plain, *gone], deleted.typed)


def _gather(lists: Iterator[list[str]]) -> Iterator[list[str]]:
    """Join short lists into ones of about `_REMOVED_AT_ONCE`."""
    gathered: list[str] = []
    for some in lists:
        gathered += some
        if len(gathered) >= _REMOVED_AT_ONCE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered
