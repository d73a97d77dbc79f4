"""The pipe of one run, from raw batches of its source to the load: its counts, its seconds, its progress reports."""

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.changes import ChangedDocuments
from smartdiet_assets.load.intake import Intake
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.read_ahead import read_ahead
from smartdiet_assets.mirror.shared_reading import Member
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.transform.batch import DecodedBatch

_SECONDS_BETWEEN_REPORTS = 1.0
#: Before the source is asked how many documents there are: most runs are over by then.
_SECONDS_TO_ESTIMATE = 5.0


class Reading:
    """What was read so far, and of what: documents, and by column the values that were made NULL or made fit.

    Args:
        member: of tables that are read together, where it is one.
    """

    def __init__(self, source: Source, intake: Intake, window: Window, member: Member | None = None) -> None:
        self.documents_read = 0
        self.newest: datetime | None = None
        self.read_seconds = 0.0
        self.transform_seconds = 0.0
        self.collapsed = 0
        self.nulled: Counter[str] = Counter()
        self.clamped: Counter[str] = Counter()
        self._source = source
        self._intake = intake
        self._window = window
        self._member = member
        self._begun_at = self._reported = time.monotonic()
        self._expected: int | None = None
        self._estimated = False

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds of each of its stages."""
        return {"read": self.read_seconds, "transform": self.transform_seconds}

    def read(self, after_key: object, changed: ChangedDocuments) -> None:
        """Read the window, and the documents a change stream named.

        Args:
            after_key: the newest mirrored key, for a window by key.
        """
        with closing(self._open_window(after_key)) as batches:
            self._take(batches)
        for chunk in changed.stream_ids("changed"):
            self._take(self._source.fetch_by_ids(chunk))
        self._source.look_no_more()

    def _open_window(self, after_key: object) -> Generator[Any]:
        if self._member is not None:
            return self._member.share(self._source, self._window, after_key)
        return read_ahead(self._source.fetch_window(self._window, after_key))

    def read_again(self, retry_limit: int) -> None:
        """Read the documents to be read again whatever their dates.

        Args:
            retry_limit: at most how many of those that were tried before.
        """
        if not self._window.reads_everything:
            for chunk in self._source.find_named(self._intake.retry_ids(retry_limit)):
                self._take(self._source.fetch_by_ids(chunk), retry=True)
        self.report("%s: %d documents read; they are written now", reading=False)

    def read_contested(self) -> None:
        """Read the documents in whose place others were read."""
        if not self._window.reads_everything:
            for chunk in self._source.find_named(iter([self._intake.fetch_contested()])):
                self._take(self._source.fetch_by_ids(chunk), retry=True)

    def _take(self, batches: Iterator[Any], *, retry: bool = False) -> None:
        """Send every batch through; a retried document does not count for the watermark, as its date may be any."""
        while True:
            before_read = time.perf_counter()
            raw = next(batches, None)
            before_transform = time.perf_counter()
            self.read_seconds += before_transform - before_read
            if raw is None:
                self._intake.flush()
                return
            batch = self._source.transform(raw)
            # The digest is kept: of what is protected it is one of what is shown.
            seen = raw.raw if isinstance(raw, DecodedBatch) else raw
            self._intake.note(batch if self._source.table.protected else seen)
            self.transform_seconds += time.perf_counter() - before_transform
            self._intake.take(batch)
            self.documents_read += batch.documents_read
            self.collapsed += batch.collapsed
            self.nulled += batch.nulled
            self.clamped += batch.clamped
            if batch.newest is not None and not retry:
                self.newest = batch.newest if self.newest is None else max(self.newest, batch.newest)
            self._report_in_time()

    def _report_in_time(self) -> None:
        now = time.monotonic()
        if not self._estimated and now - self._begun_at >= _SECONDS_TO_ESTIMATE:
            self._estimated = True
            self._expected = self._source.estimate_documents(self._window)
        if now - self._reported >= _SECONDS_BETWEEN_REPORTS:
            self._reported = now
            self.report("%s: %d documents read")

    def report(self, message: str, *, reading: bool = True, finished: bool = False) -> None:
        """Tell whoever listens how far the table is."""
        progress_log.info(
            message,
            self._source.table.name,
            self.documents_read,
            extra={
                "table": self._source.table.name,
                "documents_read": self.documents_read,
                "documents_expected": self._expected,
                "reading": reading and not finished,
                "finished": finished,
            },
        )
