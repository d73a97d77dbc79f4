"""Streaming rows from one PostgreSQL database into another by COPY, chunk by chunk, whatever they are.

Rows pass through as bytes and are never looked at.
"""

from collections.abc import Callable, Sequence

from psycopg import Connection, errors, generators, sql
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

#: Bytes taken from the source before they are handed to the target; a longer row makes a longer chunk.
_CHUNK = 128 * 1024


def compose_copy_out(relation: str, columns: Sequence[str], *, binary: bool, query: str = "") -> sql.Composed:
    """Compose the statement that reads a table; `relation` is quoted, `query` replaces the plain table where given."""
    what = sql.SQL(f"({query})") if query else sql.SQL("{}{}").format(sql.SQL(relation), _list(columns))
    return sql.SQL("COPY {} TO STDOUT (FORMAT {})").format(what, _format(binary))


def compose_copy_in(relation: str, columns: Sequence[str], *, binary: bool) -> sql.Composed:
    """Compose the statement that fills a table made in the same transaction."""
    # Nobody else sees the table before it is complete: its rows need no check of who may see them, now or later.
    return sql.SQL("COPY {}{} FROM STDIN (FORMAT {}, FREEZE)").format(
        sql.SQL(relation),
        _list(columns),
        _format(binary),
    )


def _list(columns: Sequence[str]) -> sql.Composable:
    if not columns:
        return sql.SQL("")
    return sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))


def _format(binary: bool) -> sql.SQL:
    return sql.SQL("binary") if binary else sql.SQL("text")


def copy_rows(
    source: Connection,
    target: Connection,
    copy_out: sql.Composed,
    copy_in: sql.Composed,
    on_chunk: Callable[[int, int], None],
    *,
    binary: bool,
) -> int:
    """Copy rows and return how many arrived.

    Args:
        binary: whether both statements say so.
        on_chunk: told the rows and bytes of each chunk.

    Raises:
        psycopg.Error: of either side.
    """
    with source.cursor() as reader, target.cursor() as writer:
        with reader.copy(copy_out), writer.copy(copy_in) as copy:
            finished = False
            while not finished:
                rows, chunk, finished = source.wait(_read_chunk(source.pgconn))
                if chunk:
                    copy.write(chunk)
                    # The end of the binary format comes as a row of its own.
                    on_chunk(rows - (finished and binary), len(chunk))
        return writer.rowcount


def _read_chunk(connection: PGconn) -> PQGen[tuple[int, bytes, bool]]:
    """Take what the server sends, one row at a time, until a chunk is full, nothing more is there, or the end.

    psycopg's own reading waits anew for every row, which takes longer than the server needs for it.
    """
    rows = 0
    taken: list[bytes | memoryview] = []
    size = 0
    while True:
        length, row = connection.get_copy_data(1)
        if length > 0:
            taken.append(row)
            rows += 1
            size += length
            if size >= _CHUNK:
                return rows, b"".join(taken), False
        elif length == 0:
            if size >= _CHUNK // 4:
                return rows, b"".join(taken), False
            while not (yield Wait.R):
                pass
            connection.consume_input()
        else:
            for result in (yield from generators.fetch_many(connection)):
                if result.status != ExecStatus.COMMAND_OK:
                    raise errors.error_from_result(result)
            return rows, b"".join(taken), True
