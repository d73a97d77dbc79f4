"""What a column shows in the place of its values, and how a document is named where its id is a pseudonym.

A value is converted first, as if it was to be shown, and protected then: what is one value to the column is one
pseudonym, whatever types documents give it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time
from functools import partial
from typing import Any

from bson.objectid import ObjectId

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.schema.document_id import (
    DIGEST,
    UNREADABLE,
    decode_document_id,
    encode_document_id,
    tells_id,
)
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.pseudonyms import KEY_VARIABLE, REDACTED, Protection, Pseudonyms
from smartdiet_assets.transform.conversion import Conversion, PageConversion
from smartdiet_assets.transform.rejection import Rejection
from smartdiet_assets.transform.text import build_text

Cover = Callable[[Any], object]
#: Names a document as the records of a table do, by its `_id`.
Namer = Callable[[object], str]


def protect_conversion(column: Column, protection: Protection, conversion: Conversion) -> Conversion:
    """Have a conversion give what is shown in the place of its values."""
    protect = _build_cover(column, protection, conversion)

    def cover(value: object) -> object:
        # A reference to what was forgotten is none any more.
        return None if value is None else protect(value)

    def wrap(convert: Callable[[Any], object]) -> Callable[[Any], object]:
        return lambda value: cover(convert(value))

    def wrap_page(page: PageConversion) -> PageConversion:
        def convert(values: Sequence[bytes | None]) -> Sequence[object]:
            return [cover(value) for value in page(values)]

        return convert

    def find_page(data_type: str) -> PageConversion | None:
        page = conversion.page(data_type)
        return None if page is None else wrap_page(page)

    return replace(
        conversion,
        convert=wrap(conversion.convert),
        fast=(),
        remembered=0,
        clamp=None if conversion.clamp is None else wrap(conversion.clamp),
        constant=None if conversion.constant is None else wrap(conversion.constant),
        page=find_page,
    )


def find_redacted(column: Column, conversion: Conversion) -> object:
    """Find what stands in a column for every value, of the type that is stored."""
    base = column.type.base
    value = REDACTED[base.family or base.name]
    return conversion.convert(value[: column.type.limit] if isinstance(value, str) and base.is_text else value)


def _build_cover(column: Column, protection: Protection, conversion: Conversion) -> Cover:
    match protection.how:
        case "pseudonym":
            return _need_key(column)
        case "redact":
            redacted = find_redacted(column, conversion)
            return lambda value: redacted
        case "prefix":
            return lambda value: value[: protection.characters]
        case "year":
            return lambda value: _begin(value, month=1)
        case "month":
            return _begin


def _begin(value: date, **parts: int) -> date:
    """Give the first instant of a date's month, or of more."""
    if isinstance(value, datetime):
        return datetime.combine(value.date().replace(day=1, **parts), time.min, value.tzinfo)
    return value.replace(day=1, **parts)


def _need_key(column: Column) -> Pseudonyms:
    if column.pseudonyms is None:
        raise ConfigurationError(f"{KEY_VARIABLE} is not set, and {column.name} holds pseudonyms")
    return column.pseudonyms


def build_namer(table: Table) -> Namer:
    """Build the function that names a document as the table's records do: by its encoded id, or by a pseudonym.

    A pseudonym stands in the records as a string id would: what SQL makes of the document column is the same.
    """
    return _build_namer(table.column(table.document_column)) if table.hides_ids else encode_document_id


def build_renamer(table: Table) -> Callable[[str], str]:
    """Build the function that names a document as the table's records do, by its encoded id."""
    if not table.hides_ids:
        return lambda document_id: document_id
    name, pseudonyms = build_namer(table), _need_key(table.column(table.document_column))

    def rename(document_id: str) -> str:
        if document_id == UNREADABLE:
            return UNREADABLE
        if document_id.startswith(DIGEST):
            return _name_encoded(pseudonyms, document_id)
        return name(decode_document_id(document_id))

    return rename


def build_id_test(table: Table) -> Callable[[object, object], bool]:
    """Build the function that tells whether a document column's value alone tells an `_id`; see `tells_id`."""
    column = table.column(table.document_column)
    if not table.hides_ids:
        return partial(tells_id, column.type)
    pseudonyms = _need_key(column)

    def test(value: object, document_id: object) -> bool:
        text = _tell(column, document_id)
        return text is not None and value == pseudonyms(text)

    return test


def build_names(table: Table) -> Callable[[object], Sequence[str]]:
    """Build the function that lists how records may name a document by its `_id`.

    Its own records do by its id, those of others that wait for it by what its document column shows.
    """
    column = table.column(table.document_column)
    pseudonyms, spell = _need_key(column), build_text(column).convert

    def list_names(identity: object) -> Sequence[str]:
        if (text := _tell(column, identity)) is not None:
            return (_quote(pseudonyms(text)),)
        names = [_name_encoded(pseudonyms, encode_document_id(identity))]
        with suppress(Rejection):
            names.append(_quote(pseudonyms(str(spell(identity)))))
        return names

    return list_names


def _build_namer(column: Column) -> Namer:
    pseudonyms = _need_key(column)

    def name(identity: object) -> str:
        text = _tell(column, identity)
        if text is not None:
            return _quote(pseudonyms(text))
        encoded = encode_document_id(identity)
        return encoded and _name_encoded(pseudonyms, encoded)

    return name


def _name_encoded(pseudonyms: Pseudonyms, encoded: str) -> str:
    """Name a document whose column shows a value that another one's id may have too."""
    return _quote(pseudonyms(f"\0{encoded}"))


def _quote(pseudonym: str) -> str:
    """Encode a pseudonym as the string id that it stands for."""
    return f'"{pseudonym}"'


def _tell(column: Column, identity: object) -> str | None:
    """Give the text by which the column would tell an id, were it not protected; None where none does."""
    text = str(identity) if type(identity) is ObjectId else identity
    return text if isinstance(text, str) and tells_id(column.type, text, identity) else None
