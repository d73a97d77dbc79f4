"""Column types: one object each, with all that is declared of it, and a column's own type with its parameters.

A new type is an object in `TYPES` and its conversion beside its family in `transform`, under the same name; a column
has it from then on.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, LiteralString

from pydantic import BaseModel, ConfigDict, field_validator

from smartdiet_assets.schema import constants
from smartdiet_assets.schema.constants import Fault

if TYPE_CHECKING:
    from smartdiet_assets.schema.model import Scalar

_FORM = re.compile(r"\s*([a-z][a-z0-9 ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)

#: PostgreSQL's limits: a character type's length, a numeric's precision.
MAX_LENGTH = 10_485_760
MAX_PRECISION = 1_000


@dataclass(frozen=True, kw_only=True)
class SqlType:
    """A type of PostgreSQL, without parameters.

    Attributes:
        name: how a schema file and PostgreSQL both understand it.
        family: of text (a `COLLATE` applies), numbers or instants, which PostgreSQL turns into one another by itself.
        spellings: the other names it is read by.
        serials: the names by which PostgreSQL is to number the rows.
        sql: how `format_type` spells it, where not by its name.
        parameters: what may stand in parentheses.
        default_length: the length it has without one.
        sent_as: psycopg's name of the binary form of its values, where not its own.
        compared_as: the name it shares with types that PostgreSQL compares it with, as the two ends of a foreign key.
        size: bytes of a value in its row; 0 where longer ones move out of it.
        tells_apart: whether PostgreSQL tells two values apart wherever Python does.
        holds_ids: whether it can hold a document's id, and find it again.
        has_clock, has_zone: of an instant, whether it tells the time of day, and is one for every zone.
        measure: the bytes of a value in an index, or a few more; None where they are few.
        bounded: whether the bytes of a value in an index are at most four for each of its `len`.
        fault: says what a constant should be that is none of the type; empty where it is one.
        read_constant: reads a constant as PostgreSQL prints it, to compare two spellings.
        bare: the types of constants that SQL spells without quotes.
        keeps: the types all values of which stay what they are in this one, or are refused.
        hashed_by: the function whose bytes stand for a value where its text depends on PostgreSQL's version.
    """

    name: str
    family: Literal["text", "number", "instant", ""] = ""
    spellings: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    sql: str = ""
    parameters: Literal["length", "precision", ""] = ""
    default_length: int | None = None
    sent_as: str = ""
    compared_as: str = ""
    size: int = 0
    tells_apart: bool = False
    holds_ids: bool = False
    has_clock: bool = False
    has_zone: bool = False
    measure: Callable[[Any], int] | None = None
    bounded: bool = False
    fault: Fault = constants.refuse
    read_constant: Callable[[str], object] = str
    bare: tuple[type, ...] = ()
    keeps: frozenset[str] = frozenset()
    hashed_by: LiteralString = ""

    def __post_init__(self) -> None:
        for attribute in ("sql", "sent_as", "compared_as"):
            object.__setattr__(self, attribute, getattr(self, attribute) or self.name)

    @property
    def is_text(self) -> bool:
        return self.family == "text"

    @property
    def is_integer(self) -> bool:
        return self.compared_as == "integer"

    @property
    def is_single(self) -> bool:
        """Whether it is a floating-point number of single precision."""
        return self.compared_as == "double precision" and self.size == 4

    @property
    def is_instant(self) -> bool:
        return self.family == "instant"

    @property
    def bits(self) -> int:
        """Of a whole number, those of its size."""
        return 8 * self.size


def _text(name: str, **settings: Any) -> SqlType:
    return SqlType(
        name=name, family="text", holds_ids=True, measure=lambda value: len(value.encode()), bounded=True,
        fault=constants.fault_of_text, **settings,
    )  # fmt: skip


def _integer(name: str, size: int, spellings: tuple[str, ...], serials: tuple[str, ...]) -> SqlType:
    return SqlType(
        name=name, family="number", spellings=spellings, serials=serials, size=size, compared_as="integer",
        tells_apart=True, holds_ids=True, fault=constants.fault_of_integer, read_constant=Decimal, bare=(int,),
        keeps=_INTEGERS | _TEXTS,
    )  # fmt: skip


def _float(name: str, size: int, spellings: tuple[str, ...], **settings: Any) -> SqlType:
    return SqlType(
        name=name, family="number", spellings=spellings, size=size, compared_as="double precision",
        fault=constants.fault_of_float, read_constant=Decimal, **settings,
    )  # fmt: skip


def _instant(name: str, size: int, form: str, read: Callable[[str], object], **settings: Any) -> SqlType:
    fault = constants.expect(form, read)
    return SqlType(name=name, family="instant", size=size, fault=fault, **{"read_constant": read, **settings})


def _read_aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_TEXTS = frozenset({"varchar", "text"})

#: Every type a column can have, by name.
TYPES: dict[str, SqlType] = {
    each.name: each
    for each in (
        _text(
            "varchar", spellings=("character varying",), sql="character varying", parameters="length",
            compared_as="text", tells_apart=True,
        ),
        _text(
            "char", spellings=("character", "bpchar"), sql="character", parameters="length", default_length=1,
            # psycopg has no dumper of `bpchar`, whose binary form is that of `text`.
            sent_as="text", read_constant=lambda text: text.rstrip(" "),
        ),
        _text("text", tells_apart=True),
        _integer("smallint", 2, ("int2",), ("smallserial",)),
        _integer("integer", 4, ("int", "int4"), ("serial", "serial4")),
        _integer("bigint", 8, ("int8",), ("bigserial", "serial8")),
        SqlType(
            name="boolean", spellings=("bool",), size=1, fault=constants.fault_of_boolean, bare=(bool,), keeps=_TEXTS,
            read_constant=lambda text: text.lower() in ("true", "t", "yes", "y", "on", "1"),
        ),
        _instant("date", 4, "a date (YYYY-MM-DD)", constants.read_date),
        SqlType(
            name="time", spellings=("time without time zone",), sql="time without time zone", size=8,
            fault=constants.expect("a time of day (HH:MM:SS)", time.fromisoformat), read_constant=time.fromisoformat,
        ),
        _instant(
            "timestamp", 8, "a date and time (YYYY-MM-DD HH:MM:SS)", datetime.fromisoformat, has_clock=True,
            spellings=("timestamp without time zone",), sql="timestamp without time zone",
            keeps=frozenset({"date", "timestamptz"}),
        ),
        _instant(
            "timestamptz", 8, "a date and time (YYYY-MM-DD HH:MM:SS+00:00)", datetime.fromisoformat, has_clock=True,
            spellings=("timestamp with time zone",), sql="timestamp with time zone", has_zone=True,
            keeps=frozenset({"date", "timestamp"}), read_constant=_read_aware,
        ),
        SqlType(
            name="numeric", family="number", spellings=("decimal",), parameters="precision", bare=(int,),
            measure=lambda value: len(value.as_tuple().digits) // 2 + 2, fault=constants.fault_of_numeric,
            read_constant=Decimal, keeps=_INTEGERS,
        ),
        _float("real", 4, ("float4",), keeps=frozenset({"smallint"}), hashed_by="float4send"),
        _float(
            "double precision", 8, ("float8", "float"), sent_as="float8", hashed_by="float8send",
            keeps=frozenset({"smallint", "integer", "real"}),
        ),
        SqlType(
            # The shortest items, `1,`, take twelve bytes.
            name="jsonb", measure=lambda value: 6 * len(value.obj.encode()), fault=constants.accept,
            read_constant=json.loads,
        ),
        SqlType(
            name="uuid", size=16, holds_ids=True, fault=constants.expect("a UUID", uuid.UUID), read_constant=uuid.UUID,
            keeps=_TEXTS,
        ),
        SqlType(name="bytea", measure=len, bounded=True),
    )
}  # fmt: skip


class ColumnType(BaseModel):
    """The type of a column, with its parameters; `generated` marks the serial types, which PostgreSQL fills."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    generated: bool = False

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in TYPES:
            raise ValueError("no type of a column")
        return name

    @property
    def base(self) -> SqlType:
        return TYPES[self.name]

    @property
    def limit(self) -> int | None:
        """The most characters of a value."""
        return self.length or self.base.default_length

    @property
    def sql(self) -> str:
        """The canonical spelling, as `format_type` prints it for a live column of this type.

        A generated column prints its plain integer type: the identity clause is a matter of the DDL.
        """
        return self.base.sql + self._parameters

    @property
    def declared(self) -> str:
        """The spelling of a schema file."""
        return self.name.upper() + self._parameters

    @property
    def _parameters(self) -> str:
        if self.precision is not None:
            return f"({self.precision},{self.scale or 0})"
        return f"({self.limit})" if self.limit else ""

    @property
    def is_text(self) -> bool:
        """Whether values are Python strings in a character type (the types a `COLLATE` applies to)."""
        return self.base.is_text

    def fault_of_constant(self, value: "Scalar") -> str:
        """Say what a constant should be to fit the type; empty when it fits. Null fits every type."""
        return "" if value is None else self.base.fault(value, self)


def list_spellings() -> list[str]:
    """List every name by which a type can be declared, in order."""
    return sorted(name for each in TYPES.values() for name in (each.name, *each.spellings, *each.serials))


def find_type(spelling: str) -> SqlType | None:
    """Find a type by any of its names in lower case, without parameters."""
    return next((t for t in TYPES.values() if spelling == t.name or spelling in t.spellings + t.serials), None)


def parse_sql_type(text: str) -> ColumnType:
    """Read an ``sql_type``: any PostgreSQL spelling of a supported type, in any letter case.

    Raises:
        ValueError: the type is not supported or its parameters are out of PostgreSQL's limits;
            the message says what is expected and is fit for a user.
    """
    match = _FORM.fullmatch(text)
    spelling = " ".join(match.group(1).lower().split()) if match else ""
    found = find_type(spelling)
    if match is None or found is None:
        raise ValueError(f"unknown type {text!r}; expected one of {', '.join(list_spellings()).upper()}")
    first, second = (int(group) if group else None for group in match.group(2, 3))
    generated = spelling in found.serials
    if found.parameters == "length":
        if second is not None or (first is not None and not 1 <= first <= MAX_LENGTH):
            raise ValueError(f"{text!r} needs one length from 1 to {MAX_LENGTH}")
        return ColumnType(name=found.name, length=first)
    if found.parameters == "precision":
        if first is not None and not 1 <= first <= MAX_PRECISION:
            raise ValueError(f"{text!r} needs a precision from 1 to {MAX_PRECISION}")
        if second is not None and first is not None and second > first:
            raise ValueError(f"{text!r} has more decimals than digits")
        return ColumnType(name=found.name, precision=first, scale=second)
    if first is not None:
        raise ValueError(f"{text!r} takes no length")
    return ColumnType(name=found.name, generated=generated)
