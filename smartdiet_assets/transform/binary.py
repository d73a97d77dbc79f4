"""Values of UUID and BYTEA columns."""

import re
import uuid
from collections.abc import Mapping

from bson.binary import UUID_SUBTYPE, Binary

from smartdiet_assets.schema.model import Column
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.conversion import Build, Conversion, FastPath
from smartdiet_assets.transform.rejection import Rejection

_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)
_UUID_BYTES = 16


def build_uuid(column: Column) -> Conversion:
    """Build the conversion to UUID: binary of subtype 3 or 4, byte by byte, or the canonical string."""
    expected = column.type.sql

    def convert(value: object) -> uuid.UUID:
        if type(value) is Binary and value.subtype in (3, UUID_SUBTYPE) and len(value) == _UUID_BYTES:
            return uuid.UUID(bytes=bytes(value))
        if type(value) is str and _UUID.fullmatch(value):
            return uuid.UUID(value)
        raise Rejection(Reason.INVALID_TYPE, expected, value)

    return Conversion(convert)


def build_bytea(column: Column) -> Conversion:
    """Build the conversion to BYTEA: binary of any subtype."""
    expected = column.type.sql

    def convert(value: object) -> bytes:
        if isinstance(value, bytes):
            return bytes(value)
        raise Rejection(Reason.INVALID_TYPE, expected, value)

    # Subtype 0 decodes to plain bytes.
    return Conversion(
        convert, fast=(FastPath("type(value) is bytes"),), parse=None, page=lambda data_type: lambda values: values
    )


CONVERSIONS: Mapping[str, Build] = {"uuid": build_uuid, "bytea": build_bytea}
