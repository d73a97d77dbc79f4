"""The documents a change stream named in this run: those that changed and those that were deleted, each once.

Their encoded ids are kept in temporary tables, so that a long backlog takes no memory.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.schema.pseudonyms import Pseudonyms

#: Ids of one chunk to look up: one `$in` of the source.
CHUNK = 100
_FETCHED_AT_ONCE = 20 * CHUNK

#: What became of a document; one may be both.
Fate = Literal["changed", "deleted"]


class ChangedDocuments:
    """The ids of one run; nothing is created before the first is noted.

    Args:
        seal: encrypts them where the table shows pseudonyms of them.
    """

    def __init__(self, connection: Connection, seal: Pseudonyms | None = None) -> None:
        self._connection = connection
        self._seal = seal
        self._noted: set[Fate] = set()

    def note(self, fate: Fate, document_ids: Sequence[str]) -> None:
        """Note documents by their encoded ids; one may be noted again."""
        if not document_ids:
            return
        if fate not in self._noted:
            creation = sql.SQL('CREATE TEMPORARY TABLE {} (document_id text COLLATE "C") ON COMMIT DROP')
            execute(self._connection, creation.format(_relation_of(fate)))
            self._noted.add(fate)
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(_relation_of(fate))
        with self._connection.cursor(row_factory=tuple_row) as cursor, cursor.copy(statement) as copy:
            copy.set_types(["text"])
            for document_id in document_ids:
                copy.write_row((document_id if self._seal is None else self._seal.seal(document_id),))

    def stream_ids(self, fate: Fate) -> Iterator[list[str]]:
        """Stream the noted ids, each once, in chunks of at most `CHUNK`, from a server-side cursor."""
        if fate not in self._noted:
            return
        statement = sql.SQL("SELECT DISTINCT document_id FROM {} ORDER BY document_id").format(_relation_of(fate))
        with self._connection.cursor(f"mirror_{fate}_documents", row_factory=tuple_row) as cursor:
            cursor.itersize = _FETCHED_AT_ONCE
            cursor.execute(statement)
            chunk: list[str] = []
            for (document_id,) in cursor:
                chunk.append(document_id if self._seal is None else self._seal.unseal(document_id))
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk


def _relation_of(fate: Fate) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"mirror_{fate}_documents")
