"""Leaving out documents that were forgotten, and what points at them, where ids are converted.

Such a document is as if it was not there: no row, no reject. One that points at it goes along, or loses its reference,
as its foreign key's `on_missing_parent` says.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from smartdiet_assets.schema.forgotten import Forgotten, digest_id
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.conversion import Conversion
from smartdiet_assets.transform.rejection import Rejection

if TYPE_CHECKING:
    from smartdiet_assets.transform.batch import TransformedBatch

#: Marks what is left out among the rejects of a batch; it never leaves `transform`.
_FORGOTTEN = "\0forgotten"


class Forgetting:
    """What is forgotten, for the documents of one table."""

    def __init__(self, table: Table, forgotten: Forgotten) -> None:
        self._table = table
        self._forgotten = forgotten
        #: The digest of the document whose columns are converted.
        self._current = ""

    def wrap(self, column: Column, conversion: Conversion) -> Conversion:
        """Have the conversion of ids refuse those that are forgotten; others stay as they are."""
        key, is_own = column.foreign_key, column.name == self._table.document_column
        mine = self._forgotten.digests.setdefault(self._table.name, {})
        own = mine if is_own else {}
        parents = self._forgotten.digests.get(key.table, {}) if key else {}
        if not is_own and (key is None or key.table not in self._forgotten.digests):
            return conversion
        nulled = key is not None and key.on_missing_parent == "null"

        def wrap(convert: Callable[[Any], object]) -> Callable[[Any], object]:
            def look(value: Any) -> object:
                found = convert(value)
                digest = digest_id(self._forgotten.salt, str(found))
                if is_own:
                    self._current = digest
                if digest in parents and nulled:
                    return None
                if digest in parents and not self._table.arrays:
                    # With what points at it in its turn, in this table too.
                    mine[self._current] = self._forgotten.spread[self._current] = parents[digest]
                if digest in own or digest in parents:
                    raise Rejection(Reason.MISSING_PARENT, _FORGOTTEN)
                return found

            return look

        return replace(conversion, convert=wrap(conversion.convert), fast=(), remembered=0)

    def take_out(self, batch: "TransformedBatch") -> "TransformedBatch":
        """Take what is to be left out from a batch, as if it had not been read."""
        left_out = [reject for reject in batch.rejects if reject.expected == _FORGOTTEN]
        batch.rejects = [reject for reject in batch.rejects if reject.expected != _FORGOTTEN]
        batch.documents_read -= sum(not self._table.column(reject.column).item_field for reject in left_out)
        return batch
