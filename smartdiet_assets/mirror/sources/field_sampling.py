"""Which documents of a run are looked at whole, to find fields that no table declares.

A run that asks for the fields it needs does not see what is not declared. Where these are most of a document, as a run
finds and the next ones remember, it asks for whole documents, which costs less than having the server leave something
out, and looks at the names in all it reads. Elsewhere it asks for some documents of each batch once more, whole, by
their ids: of up to 10 all, of many one in 30, by chance. Runs every ten minutes are 144 a day. A field that one in
100,000 documents has is missed by one of them with 29/30, where it reads such a document, and by a day of them with
(29/30)^144, in one of 130 cases. What no run reads, `--full` finds: it looks at the names in all documents. So does a
run of a collection with `undeclared: fail`, which is to miss nothing.

The types of declared fields are looked at in a sample, there too. A run that reads what the last one read asks for
nothing, and notes nothing.
"""

import random
from collections.abc import Sequence

from pymongo.database import Database

from smartdiet_assets.extract.mongodb.documents import fetch_by_ids
from smartdiet_assets.extract.mongodb.projection import compose_projection, needs_most
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.records.fields import SeenFields
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.drift import find_undeclared, list_tables
from smartdiet_assets.schema.model import DOCUMENT_ID, Schema, Table
from smartdiet_assets.transform.decode import decode_batch, decode_damaged_batch
from smartdiet_assets.transform.fields import FieldObserver

#: One in so many documents of a batch is looked at, and all where they are few: few to read again, or few at hand.
_EVERY = 30
_FEW_AGAIN, _FEW_AT_HAND = 10, 100
#: The embedded server's cost per id grows with the list.
_IDS_PER_QUERY = 25
_ALL = slice(None)


class FieldSampling:
    """Looks at documents of one run of one table.

    Args:
        thorough: whether no field is to be missed.
        little_left_out: whether the fields the table needs were most of the documents when that was last seen.
    """

    def __init__(
        self, schema: Schema, table: Table, database: Database[Document], thorough: bool, little_left_out: bool
    ) -> None:
        collection = table.mongo_collection
        self._database = database
        self._table = table
        #: Those whose fields are asked for at once.
        self.tables: Sequence[Table] = (table,)
        self._observer = FieldObserver(list_tables(schema, collection), schema.rules_of(collection).ignored_fields)
        self._thorough = thorough
        self._usual = little_left_out
        self._little_left_out: bool | None = None
        self._over = False
        self._whole = False
        self._complete = False
        self._chosen: list[object] = []

    def reads_whole(self, window: Window | None = None) -> bool:
        """Choose whether to ask for whole documents, of a window or of some that are named.

        A full read finds itself what is better, see `note_choice`.
        """
        everything = window is not None and window.reads_everything
        self._whole = self._thorough or (self._usual and not everything)
        self._complete = self._thorough and everything
        return self._whole

    def note_choice(self, whole: bool) -> None:
        """Note what a full read has found."""
        self._whole = self._complete = self._little_left_out = whole

    def look_no_more(self) -> None:
        """Look at nothing that is tried again: what is rejected is no sample of what there is."""
        self._over = not self._thorough

    def weigh(self, batch: bytes) -> None:
        """Judge by whole documents whether the next run still does best to ask for them.

        The last batch has the word: the first documents of a run are often those that the last one read. Of a full
        read the first does.
        """
        if self._whole and not self._over and not (self._complete and self._little_left_out is not None):
            self._little_left_out = needs_most(batch, compose_projection(*self.tables))

    def look(self, documents: list[Document]) -> None:
        """Look at the documents of a batch, or choose of them which to ask for."""
        if self._over:
            return
        few = _FEW_AT_HAND if self._whole else _FEW_AGAIN
        stride = max(1, min(_EVERY, len(documents) // few))
        sample = slice(random.randrange(stride), None, stride)
        if self._whole:
            self._observer.look(documents, sample)
        else:
            self._chosen += [document[DOCUMENT_ID] for document in documents[sample] if DOCUMENT_ID in document]

    def look_up(self, *, all_chosen: bool = False) -> None:
        """Ask for the chosen documents, once they are enough for a query.

        Raises:
            pymongo.errors.PyMongoError: the server refused or was lost.
        """
        while len(self._chosen) >= _IDS_PER_QUERY or (all_chosen and self._chosen):
            chosen, self._chosen = self._chosen[:_IDS_PER_QUERY], self._chosen[_IDS_PER_QUERY:]
            for raw in fetch_by_ids(self._database, self._table, chosen, whole=True):
                self._little_left_out = needs_most(raw, compose_projection(*self.tables))
                documents = decode_batch(raw)
                self._observer.look(decode_damaged_batch(raw)[0] if documents is None else documents, _ALL)

    def conclude(self) -> SeenFields:
        """Look at what is left to look at, and tell what was seen in all.

        Raises:
            pymongo.errors.PyMongoError: the server refused or was lost.
        """
        self.look_up(all_chosen=True)
        seen = self._observer.list_seen()
        unknown = set(find_undeclared(self._observer.declared, seen, innermost=False))
        present = [field.path for field in seen] + self._observer.list_present()
        return SeenFields(
            [field for field in seen if field not in unknown],
            [field for field in seen if field in unknown],
            find_undeclared(self._observer.declared, seen),
            self._little_left_out,
            present if self._complete else None,
        )
