"""Column types: how an ``sql_type`` of the schema file is read, printed and compared with a live column.

Here: the closed list of types the mirror can fill, their parameters and their canonical SQL spelling.
Not here: how a BSON value becomes a value of a type (`transform.convert`).
"""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

TypeName = Literal[
    "varchar",
    "char",
    "text",
    "smallint",
    "integer",
    "bigint",
    "boolean",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "numeric",
    "real",
    "double precision",
    "jsonb",
    "uuid",
    "bytea",
]

_SPELLINGS: dict[str, TypeName] = {
    "varchar": "varchar",
    "character varying": "varchar",
    "char": "char",
    "character": "char",
    "bpchar": "char",
    "text": "text",
    "smallint": "smallint",
    "int2": "smallint",
    "integer": "integer",
    "int": "integer",
    "int4": "integer",
    "bigint": "bigint",
    "int8": "bigint",
    "boolean": "boolean",
    "bool": "boolean",
    "date": "date",
    "time": "time",
    "time without time zone": "time",
    "timestamp": "timestamp",
    "timestamp without time zone": "timestamp",
    "timestamptz": "timestamptz",
    "timestamp with time zone": "timestamptz",
    "numeric": "numeric",
    "decimal": "numeric",
    "real": "real",
    "float4": "real",
    "double precision": "double precision",
    "float8": "double precision",
    "float": "double precision",
    "jsonb": "jsonb",
    "uuid": "uuid",
    "bytea": "bytea",
}
_SERIALS: dict[str, TypeName] = {
    "smallserial": "smallint",
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
}
_FORM = re.compile(r"\s*([a-z][a-z0-9 ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)
_TAKES_LENGTH = ("varchar", "char")

#: PostgreSQL's limits: a character type's length, a numeric's precision.
MAX_LENGTH = 10_485_760
MAX_PRECISION = 1_000

SUPPORTED_SPELLINGS = tuple(sorted({*_SPELLINGS, *_SERIALS}))


class ColumnType(BaseModel):
    """A PostgreSQL type with its parameters; `generated` marks the serial types, which PostgreSQL fills."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TypeName
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    generated: bool = False

    @property
    def sql(self) -> str:
        """The canonical spelling, as `format_type` prints it for a live column of this type.

        A generated column prints its plain integer type: the identity clause is a matter of the DDL.
        """
        if self.name == "varchar":
            return f"character varying({self.length})" if self.length else "character varying"
        if self.name == "char":
            return f"character({self.length or 1})"
        if self.name == "numeric" and self.precision is not None:
            return f"numeric({self.precision},{self.scale or 0})"
        if self.name in ("time", "timestamp"):
            return f"{self.name} without time zone"
        if self.name == "timestamptz":
            return "timestamp with time zone"
        return self.name

    @property
    def is_text(self) -> bool:
        """Whether values are Python strings in a character type (the types a `COLLATE` applies to)."""
        return self.name in ("varchar", "char", "text")


def parse_sql_type(text: str) -> ColumnType:
    """Read an ``sql_type``: any PostgreSQL spelling of a supported type, in any letter case.

    Raises:
        ValueError: the type is not supported or its parameters are out of PostgreSQL's limits;
            the message says what is expected and is fit for a user.
    """
    match = _FORM.fullmatch(text)
    spelling = " ".join(match.group(1).lower().split()) if match else ""
    if match is None or (spelling not in _SPELLINGS and spelling not in _SERIALS):
        raise ValueError(f"unknown type {text!r}; expected one of {', '.join(s.upper() for s in SUPPORTED_SPELLINGS)}")
    first, second = (int(group) if group else None for group in match.group(2, 3))
    if spelling in _SERIALS:
        if first is not None:
            raise ValueError(f"{text!r} takes no length")
        return ColumnType(name=_SERIALS[spelling], generated=True)
    name = _SPELLINGS[spelling]
    if name in _TAKES_LENGTH:
        if second is not None or (first is not None and not 1 <= first <= MAX_LENGTH):
            raise ValueError(f"{text!r} needs one length from 1 to {MAX_LENGTH}")
        return ColumnType(name=name, length=first)
    if name == "numeric":
        if first is not None and not 1 <= first <= MAX_PRECISION:
            raise ValueError(f"{text!r} needs a precision from 1 to {MAX_PRECISION}")
        if second is not None and first is not None and second > first:
            raise ValueError(f"{text!r} has more decimals than digits")
        return ColumnType(name=name, precision=first, scale=second)
    if first is not None:
        raise ValueError(f"{text!r} takes no length")
    return ColumnType(name=name)
