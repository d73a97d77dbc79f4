"""Filling the new collections of a refresh: made with their options, filled, indexed, not yet swapped in."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import pymongo
from pymongo.errors import OperationFailure

from smartdiet_assets.errors import RefreshError, TransientError
from smartdiet_assets.refresh.mongo.documents import read_ahead, write_batch
from smartdiet_assets.refresh.mongo.listing import CollectionSpec, compose_create, compose_indexes
from smartdiet_assets.refresh.mongo.swap import name_temporary
from smartdiet_assets.refresh.plan import Action, CopiedItem
from smartdiet_assets.refresh.progress import Progress
from smartdiet_assets.resources.mongo_errors import may_pass
from smartdiet_assets.resources.mongo_reading import MongoDatabase

#: For one command that builds indexes: an answer is waited for longer than any other.
_LONGEST_BUILD_SECONDS = 86_400
_DUPLICATE_KEY = 11000


class NewCollections:
    """The new collections of one refresh, each under a temporary name."""

    def __init__(
        self,
        database: MongoDatabase,
        specs: Mapping[str, CollectionSpec],
        actions: Mapping[str, Action],
        progress: Progress,
    ) -> None:
        """Describe them; nothing is made yet.

        Args:
            actions: what the plan says about each, for the outcome.
        """
        self.temporaries = {name: name_temporary(number) for number, name in enumerate(specs, 1)}
        self.items = {name: CopiedItem(name, actions[name]) for name in specs}
        self.specs = specs
        self._database = database
        self._progress = progress

    def make(self, name: str) -> None:
        """Make a collection with its options, and find out whether the target takes its indexes.

        They are dropped again: built after the documents are there, they take a fraction of the time.

        Raises:
            RefreshError: the target does not take an option or an index.
        """
        spec, temporary = self.specs[name], self.temporaries[name]
        self._database.drop_collection(temporary)
        try:
            self._database.command(compose_create(temporary, spec.options))
        except OperationFailure as error:
            raise _refusal(error, f"{name}: the target does not take its options") from None
        indexes = compose_indexes(spec)
        for index in indexes:
            try:
                self._database.command({"createIndexes": temporary, "indexes": [index]})
            except OperationFailure as error:
                raise _refusal(error, f"{name}: the target does not take its index {index['name']}") from None
        if indexes:
            self._database.command({"dropIndexes": temporary, "index": "*"})

    def begin(self, name: str, share: float = 1.0) -> None:
        """Tell that a collection's copy begins; `share` of its documents are expected."""
        count = self.specs[name].count
        self._progress.begin(name, None if count is None else round(count * share))

    def fill(self, name: str, batches: Iterable[bytes], on_duplicate: Literal["replace", "skip"] = "replace") -> None:
        """Write the batches of a collection, while the next ones are read."""
        with self.timing(name):
            for batch in read_ahead(batches):
                self.write(name, batch, on_duplicate)

    def write(self, name: str, batch: bytes, on_duplicate: Literal["replace", "skip"]) -> None:
        """Write one batch.

        Raises:
            RefreshError: the target refused a document.
            pymongo.errors.PyMongoError: the target refused or was lost.
        """
        spec, item = self.specs[name], self.items[name]
        try:
            written = write_batch(
                self._database,
                self.temporaries[name],
                batch,
                ordered=spec.capped,
                bypass_validation="validator" in spec.options,
                on_duplicate=on_duplicate,
            )
        except RefreshError as error:
            raise RefreshError(f"{name}: {error}") from None
        item.count += written.documents
        item.size += written.size
        self._progress.advance(name, *written)

    def finish(self, name: str, *, snapshot: bool) -> None:
        """Build the indexes of a filled collection.

        Raises:
            TransientError: without a snapshot, two documents that were read at different moments share a unique key.
            RefreshError: the target refused an index.
        """
        spec, item = self.specs[name], self.items[name]
        if indexes := compose_indexes(spec):
            with self.timing(name), pymongo.timeout(_LONGEST_BUILD_SECONDS):
                try:
                    self._database.command({"createIndexes": self.temporaries[name], "indexes": indexes})
                except OperationFailure as error:
                    if error.code == _DUPLICATE_KEY and not snapshot:
                        raise TransientError(
                            f"{name}: a unique index found two documents with one key, read at different moments while"
                            " the source changed; try again"
                        ) from None
                    raise _refusal(error, f"{name}: the target refused its indexes") from None
        item.indexes = len(indexes) + 1
        self._progress.finish(name, item.note)

    def forget(self, name: str) -> None:
        """Make a collection anew whose documents have to be read again."""
        self.make(name)
        item = self.items[name]
        item.count = item.size = 0

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Count the time of a block as a collection's."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.items[name].seconds += time.perf_counter() - began


def _refusal(error: OperationFailure, sentence: str) -> Exception:
    """Choose what to raise for a refusal: what may pass is for the common boundary."""
    # The server's own text may quote values of documents and of filters.
    return error if may_pass(error) else RefreshError(f"{sentence} (MongoDB error {error.code})")
