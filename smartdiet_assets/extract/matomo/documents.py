"""Reading a table of Matomo: pages of rows for a window, rows by key, all keys, the server's clock.

A page is a statement of its own, which begins after the last row of the page before in the order of an index. Matomo
has no index on the time alone, but one on the site and the time: the sites are then read one after the other.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

from pymysql.connections import Connection

from smartdiet_assets.extract.matomo.structure import SourceTable, quote_name
from smartdiet_assets.extract.window import Window
from smartdiet_assets.schema.document_id import decode_document_id
from smartdiet_assets.schema.model import Table

#: One row as the server sends it, in the order of `Table.stored_columns`.
Row = tuple[bytes | None, ...]
#: Keys in one list of keys.
KEYS_PER_PAGE = 50_000
#: How far below the newest mirrored key a run by key begins: keys are given out before they are committed.
KEY_MARGIN = 10_000
#: Before any time there is: what MariaDB sorts zero dates below.
_FIRST_TIME = "1000-01-01"


def fetch_window(
    connection: Connection, table: Table, source: SourceTable, window: Window, after_key: object, page_size: int
) -> Generator[list[Row]]:
    """Stream the rows of a window in pages of at most `page_size` rows.

    A row that changes while the window is read may come twice, in two versions: the later one counts.

    Args:
        after_key: the newest mirrored key, for a window by key; None reads from the first one.

    Raises:
        pymysql.Error: the server refused or was lost.
    """
    if window.by_key or window.reads_everything:
        start = after_key - KEY_MARGIN if window.by_key and isinstance(after_key, int) else None
        yield from _pages_by_key(connection, table, source, start, page_size)
        return
    if window.end is None:
        # A zero date is before every time, and tells nothing: such rows are read always.
        yield from _pages_by_time(connection, table, source, None, _FIRST_TIME, page_size)
    end = None if window.end is None else _format_instant(window.end)
    start_text = _FIRST_TIME if window.start is None else _format_instant(window.start)
    yield from _pages_by_time(connection, table, source, start_text, end, page_size)


def fetch_by_keys(
    connection: Connection, table: Table, source: SourceTable, document_ids: Sequence[str]
) -> Iterator[list[Row]]:
    """Stream the rows with the given encoded ids, whatever their times; ids that cannot be keys name no row."""
    keys = dict.fromkeys(key for text in document_ids if (key := _read_key(table, text)) is not None)
    if not keys:
        return
    places = ", ".join(["%s"] * len(keys))
    statement = f"{_select(table, source)} WHERE {_key(table)} IN ({places})"
    rows = _fetch(connection, statement, list(keys))
    if rows:
        yield rows


def fetch_keys(connection: Connection, table: Table, source: SourceTable) -> Iterator[list[object]]:
    """Stream all keys there are, in order."""
    key = _key(table)
    last: object = None
    while True:
        condition = "" if last is None else f" WHERE {key} > %s"
        statement = f"SELECT {key} FROM {quote_name(source.name)}{condition} ORDER BY {key} LIMIT {KEYS_PER_PAGE}"
        rows = _fetch(connection, statement, [] if last is None else [last])
        keys = [_value(table, row[0]) for row in rows]
        if keys:
            yield keys
        if len(keys) < KEYS_PER_PAGE:
            return
        last = keys[-1]


def fetch_server_clock(connection: Connection) -> datetime:
    """Fetch the server's own time, naive UTC, cut to the second as its DATETIME columns are."""
    [(clock,)] = _fetch(connection, "SELECT UTC_TIMESTAMP()", [])
    assert clock is not None
    return datetime.fromisoformat(clock.decode())


def has_integer_key(table: Table) -> bool:
    """Tell whether the key is a number, so that a later row has a larger one."""
    return table.column(table.document_column).type.base.is_integer


def _pages_by_key(
    connection: Connection, table: Table, source: SourceTable, after: object, page_size: int
) -> Iterator[list[Row]]:
    key, place = _key(table), _place(table, table.document_column)
    select = _select(table, source)
    while True:
        condition = "" if after is None else f" WHERE {key} > %s"
        rows = _fetch(
            connection, f"{select}{condition} ORDER BY {key} LIMIT {page_size}", [] if after is None else [after]
        )
        if rows:
            yield rows
        if len(rows) < page_size:
            return
        after = _value(table, rows[-1][place])


def _pages_by_time(
    connection: Connection, table: Table, source: SourceTable, start: str | None, end: str | None, page_size: int
) -> Iterator[list[Row]]:
    """Stream the rows from `start` (inclusive) to `end` (exclusive) in the order of the index there is."""
    index = source.time_index
    time = quote_name(table.column(table.time_column).source_column)
    bounds = [(f"{time} >= %s", start), (f"{time} < %s", end)]
    conditions = [text for text, value in bounds if value is not None]
    values: list[object] = [value for _, value in bounds if value is not None]
    if index is None:
        # Nothing leads to the rows of a page: the server sends them all in one answer, which is read bit by bit.
        statement = f"{_select(table, source)} WHERE {' AND '.join(conditions)}"
        yield from _stream(connection, statement, values, page_size)
        return
    groups: list[object] = [None]
    if index.group_column is not None:
        group = quote_name(index.group_column)
        found = _fetch(connection, f"SELECT DISTINCT {group} FROM {quote_name(source.name)} ORDER BY {group}", [])
        groups = [row[0] for row in found]
        conditions.insert(0, f"{group} = %s")
    hint = f" FORCE INDEX ({quote_name(index.name)})"
    for value in groups:
        given = values if index.group_column is None else [value, *values]
        yield from _pages_of_group(connection, table, source, hint, conditions, given, page_size)


def _pages_of_group(
    connection: Connection,
    table: Table,
    source: SourceTable,
    hint: str,
    conditions: list[str],
    values: list[object],
    page_size: int,
) -> Iterator[list[Row]]:
    time, key = quote_name(table.column(table.time_column).source_column), _key(table)
    time_place, key_place = _place(table, table.time_column), _place(table, table.document_column)
    order = f" ORDER BY {time}, {key} LIMIT {page_size}"
    more: list[str] = []
    last: list[object] = []
    while True:
        where = " AND ".join([*conditions, *more])
        rows = _fetch(connection, f"{_select(table, source)}{hint} WHERE {where}{order}", [*values, *last])
        if rows:
            yield rows
        if len(rows) < page_size:
            return
        # The first condition alone bounds the range of the index; the second leaves out what came before.
        more = [f"{time} >= %s", f"({time} > %s OR {key} > %s)"]
        last = [rows[-1][time_place], rows[-1][time_place], _value(table, rows[-1][key_place])]


def _fetch(connection: Connection, statement: str, values: Sequence[object]) -> list[Row]:
    was_enabled = gc.isenabled()
    # Nothing the driver makes forms cycles, and it makes millions of things.
    gc.disable()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, [_parameter(value) for value in values])
            rows: list[Row] = cursor.fetchall()
            return rows
    finally:
        if was_enabled:
            gc.enable()


def _stream(connection: Connection, statement: str, values: Sequence[object], size: int) -> Iterator[list[Row]]:
    cursor = connection.cursor()
    cursor.execute(statement, [_parameter(value) for value in values])
    while rows := cursor.fetchmany(size):
        yield list(rows)
    cursor.close()


def _parameter(value: object) -> object:
    """Give back as text what the server sent as bytes: times and numbers, which are ASCII, and keys."""
    return value.decode() if isinstance(value, bytes) else value


def _select(table: Table, source: SourceTable) -> str:
    columns = (_expression(table, source, index) for index in range(len(table.stored_columns)))
    return f"SELECT {', '.join(columns)} FROM {quote_name(source.name)}"


def _expression(table: Table, source: SourceTable, index: int) -> str:
    column = table.stored_columns[index]
    name = quote_name(column.source_column)
    # A FLOAT is sent with six digits; as a DOUBLE it comes whole.
    whole = source.columns[column.source_column].data_type == "float" and column.type.base.is_single
    return f"{name} + 0e0" if whole else name


def _key(table: Table) -> str:
    return quote_name(table.column(table.document_column).source_column)


def _place(table: Table, name: str) -> int:
    return [column.name for column in table.stored_columns].index(name)


def _value(table: Table, raw: bytes | None) -> object:
    """Read a key as a value that finds its row again."""
    assert raw is not None, "a primary key is never NULL"
    return int(raw) if has_integer_key(table) else raw.decode()


def _read_key(table: Table, document_id: str) -> object:
    """Read an encoded id as a key; None where it cannot be one."""
    text = str(decode_document_id(document_id))
    if not has_integer_key(table):
        return text
    return int(text) if text.removeprefix("-").isdecimal() else None


def _format_instant(instant: datetime) -> str:
    return instant.isoformat(" ")
