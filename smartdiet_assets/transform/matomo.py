"""One page of rows from Matomo to typed rows and rejects.

Here: column by column, the usual values in one go; where a column has an unusual one, each of its values alone, with
the conversions that documents go through too.

Values arrive as the bytes the server sends: text as UTF-8, numbers and times spelled out.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from smartdiet_assets.schema.document_id import UNREADABLE, encode_document_id
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets.transform.batch import TransformedBatch
from smartdiet_assets.transform.conversion import Conversion
from smartdiet_assets.transform.convert import build_conversion
from smartdiet_assets.transform.rejection import Rejection

Row = tuple[bytes | None, ...]
#: Converts one value, or raises `Rejection`.
Alone = Callable[[bytes], object]

_ZERO_DATES = ("0000-00-00", "0000-00-00 00:00:00")
_TIMES = ("date", "datetime", "timestamp", "time")


def build_row_transformer(table: Table, data_types: Mapping[str, str]) -> Callable[[Sequence[Row]], TransformedBatch]:
    """Build the transformation of a table of Matomo: takes a page of rows in the order of `stored_columns`.

    Args:
        data_types: MariaDB's type of each source column, without length (`varchar`).
    """
    columns = [_ColumnConverter(column, data_types[column.source_column]) for column in table.stored_columns]
    names = [column.name for column in table.stored_columns]
    key_place = names.index(table.document_column)
    time_place = names.index(table.time_column) if table.time_column else None

    def transform(rows: Sequence[Row]) -> TransformedBatch:
        batch = TransformedBatch(documents_read=len(rows))
        if not rows:
            return batch
        was_enabled = gc.isenabled()
        # As for documents: nothing here forms cycles.
        gc.disable()
        try:
            raw = list(zip(*rows, strict=True))
            rejections: dict[int, Rejection] = {}
            converted = [column.convert(values, rejections) for column, values in zip(columns, raw, strict=True)]
            batch.rows = list(zip(*converted, strict=True))
        finally:
            if was_enabled:
                gc.enable()
        if rejections:
            batch.rows = [row for index, row in enumerate(batch.rows) if index not in rejections]
            batch.rejects = [_build_reject(raw[key_place][index], found) for index, found in rejections.items()]
        batch.newest = _find_newest(raw[time_place]) if time_place is not None else None
        return batch

    return transform


class _ColumnConverter:
    """One column: how its values are converted, together or alone."""

    def __init__(self, column: Column, data_type: str) -> None:
        self._column = column
        self._data_type = data_type
        conversion = build_conversion(column)
        self._convert_page = conversion.page(data_type) or _refuse
        self._convert_one = _build_alone(column, conversion, data_type)
        reference = column.foreign_key
        # Matomo numbers its rows from 1, and writes 0 for "none".
        self._zero_is_none = (
            reference is not None and reference.on_missing_parent == "null" and column.type.base.is_integer
        )

    def convert(self, values: Sequence[bytes | None], rejections: dict[int, Rejection]) -> Sequence[object]:
        """Convert the values of a page; a row that has a rejection keeps its first."""
        found: Sequence[object]
        if self._column.nullable and values.count(None) == len(values):
            return values
        try:
            found = self._convert_page(values)
        except Exception:  # noqa: BLE001 - whatever is unusual is looked at value by value
            found = self._convert_each(values, rejections)
        if self._zero_is_none and 0 in found:
            found = [value or None for value in found]
        if not self._column.nullable and None in found:
            found = [self._fill(value, index, rejections) for index, value in enumerate(found)]
        return found

    def _convert_each(self, values: Sequence[bytes | None], rejections: dict[int, Rejection]) -> list[object]:
        found: list[object] = []
        for index, value in enumerate(values):
            converted = None
            if value is not None:
                try:
                    converted = self._convert_one(value)
                except Rejection as rejection:
                    self._note(index, rejection, rejections)
            found.append(converted)
        return found

    def _fill(self, value: object, index: int, rejections: dict[int, Rejection]) -> object:
        """Give a NOT NULL column its default in the place of NULL, or reject the row."""
        if value is None and index not in rejections:
            if self._column.default is not None:
                return self._convert_one(str(self._column.default).encode())
            self._note(index, Rejection(Reason.MISSING_VALUE, "NOT NULL"), rejections)
        return value

    def _note(self, index: int, rejection: Rejection, rejections: dict[int, Rejection]) -> None:
        rejection.column = self._column.name
        rejection.received = self._data_type
        rejections.setdefault(index, rejection)


def _build_reject(key: bytes | None, rejection: Rejection) -> Reject:
    try:
        identity = encode_document_id((key or b"").decode())
    except UnicodeDecodeError:
        identity = UNREADABLE
    return Reject(identity, rejection.column, rejection.reason, rejection.expected, rejection.received)


def _find_newest(times: Sequence[bytes | None]) -> datetime | None:
    """Find the largest time; spelled out, times sort as they are."""
    newest = max((value for value in times if value is not None), default=None)
    try:
        return None if newest is None else datetime.fromisoformat(newest.decode())
    except ValueError:
        return None


def _build_alone(column: Column, conversion: Conversion, data_type: str) -> Alone:
    """Build the conversion of one value."""
    expected, dated, parse = column.type.sql, column.type.base.is_instant, conversion.parse
    if parse is None:
        return conversion.convert
    if data_type == "bit":
        return lambda value: conversion.convert(int.from_bytes(value, "big"))

    def convert_text(value: bytes) -> object:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise Rejection(Reason.INVALID_TEXT, expected) from None
        if dated and text.partition(".")[0] in _ZERO_DATES:
            return None
        try:
            found = parse(text)
        except ValueError:
            raise Rejection(Reason.INVALID_TYPE, expected) from None
        try:
            return conversion.convert(found)
        except Rejection:
            if data_type in _TIMES:
                # A date such as 2024-00-31, or a duration of more than a day: right in MariaDB, and too much for us.
                raise Rejection(Reason.OUT_OF_RANGE, expected) from None
            raise

    return convert_text


def _refuse(values: Sequence[bytes | None]) -> Sequence[object]:
    """Leave every value to be converted alone."""
    raise ValueError
