"""Telling by the order of their ids that no document was read twice, which spares the search for those that were.

A server hands out a collection in the order of insertion, which is nearly that of the ids: where several processes make
them, neighbours may be exchanged. So an id that comes late is looked for in this batch and the one before, and has to
be larger than all older ones.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from operator import lt
from typing import Any

from smartdiet_assets.schema.model import Table


def tells_apart(table: Table, columns: Iterable[str]) -> bool:
    """Say whether PostgreSQL tells values of all the columns apart where Python does: text, if its collation does."""
    return all(table.column(column).type.base.tells_apart for column in columns)


class ReadOrder:
    """Takes the ids of a run, batch by batch, as the document column holds them.

    Attributes:
        proves: whether no id came twice so far, as their order shows. Once lost, it does not come back.
    """

    def __init__(self, table: Table) -> None:
        self.proves = tells_apart(table, [table.document_column])
        #: The largest id of all batches but the last, and that of all.
        self._older: object = None
        self._largest: object = None
        self._last: Collection[object] = ()

    def note(self, ids: Sequence[object]) -> None:
        """Take the ids of a batch, in the order read."""
        if not self.proves or not ids:
            return
        try:
            # An id can be null, which is in no order with others: comparing tells, but for a single one.
            self.proves = ids[0] is not None and self._is_new(ids)
        except TypeError:
            self.proves = False

    def _is_new(self, ids: Sequence[Any]) -> bool:
        # Without a loop of Python's own: this runs for every document.
        ascending = all(map(lt, ids, islice(ids, 1, None)))
        smallest, largest = (ids[0], ids[-1]) if ascending else (min(ids), max(ids))
        follows = self._largest is None or smallest > self._largest
        if not follows:
            follows = (self._older is None or smallest > self._older) and set(ids).isdisjoint(self._last)
        self._older = self._largest
        self._largest = largest if self._largest is None else max(self._largest, largest)
        self._last = ids
        return follows and (ascending or len(set(ids)) == len(ids))
