"""The values that keys take beyond texts, words, true and false: how each is read, and what editors are told of it."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from smartdiet_assets.schema import limits
from smartdiet_assets.schema.conditions import FILTER_SCHEMA, fault_of_path, read_conditions
from smartdiet_assets.schema.findings import Place
from smartdiet_assets.schema.limits import Limit
from smartdiet_assets.schema.model import ITEM_ITSELF, ITEM_POSITION, Condition, Scalar
from smartdiet_assets.schema.pseudonyms import Protection
from smartdiet_assets.schema.reading import quote
from smartdiet_assets.schema.section import Items, Section, expected, is_constant, is_scalar

_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: What Dagster accepts as the owner and the group of an asset.
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_GROUP = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")


def _received(value: object) -> str:
    return quote(f"{value}") if is_scalar(value) else ""


def _read_duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(f"{value}") if is_scalar(value) and not isinstance(value, bool) else None
    try:
        if match is not None:
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        pass
    raise expected("a time such as 2h, 30m, 1d or a number of seconds", _received(value))


def _read_limit(value: object) -> Limit:
    try:
        return Limit.parse(value)
    except ValueError:
        raise expected(limits.EXPECTED, _received(value)) from None


def _read_share(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise expected("a number from 0 to 1")
    if 0 <= value <= 1:
        return float(value)
    raise expected("a number from 0 to 1", f"{value}")


def _read_whole_number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise expected("a whole number", f"{value}" if isinstance(value, float) else "")


def _read_day(value: object) -> date:
    """Read YAML's own date, or the text `YYYY-MM-DD`."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value) == len("YYYY-MM-DD"):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise expected("a date (YYYY-MM-DD)")


def _read_constant(value: object) -> Scalar:
    """Read a scalar for a column; a YAML date becomes its ISO text, which every date type reads."""
    if isinstance(value, date):
        return value.isoformat()
    if not is_constant(value):
        raise expected("one value")
    return value


def _check(fault: Callable[[str], str], sentence: str = "{} {}") -> AfterValidator:
    """Refuse a text with a fault; the sentence quotes the text and says the fault."""

    def check(text: str) -> str:
        if found := fault(text):
            raise ValueError(sentence.format(quote(text), found))
        return text

    return AfterValidator(check)


def _match(form: re.Pattern[str], fault: str) -> Callable[[str], str]:
    return lambda text: "" if form.fullmatch(text) else fault


def _fault_of_item_path(path: str) -> str:
    return "" if path in (ITEM_ITSELF, ITEM_POSITION) else fault_of_path(path)


def _fault_of_collection(name: str) -> str:
    return "" if name and "$" not in name else "no collection can be named"


def _read_texts(value: object) -> object:
    """Read a list, or one text for a list of it."""
    return value if isinstance(value, list | tuple) else (value,)


def _read_ignored(value: object) -> dict[str, str]:
    """Read paths, each with its reason: a mapping, or a list of texts and of mappings."""
    ignored: dict[str, str] = {}
    for part in value if isinstance(value, Items | list) else [value]:
        given = part.read().items() if isinstance(part, Section) else [(part, "")]
        for path, reason in given:
            if not isinstance(path, str) or not isinstance(reason, str | None):
                raise expected(_IGNORED, _received(path if not isinstance(path, str) else reason))
            if fault := fault_of_path(path):
                raise ValueError(_PATH_FAULT.format(quote(path), fault))
            ignored[path] = reason or ""
    return ignored


def read_protection(value: object) -> Protection:
    """Read how a column's values are protected."""
    if value in ("pseudonym", "redact"):
        return Protection.model_validate({"how": value})
    kept = dict(value.read()) if isinstance(value, Section) else {}
    if set(kept) == {"keep"}:
        part = kept["keep"]
        if part in ("year", "month"):
            return Protection.model_validate({"how": part})
        if isinstance(part, int) and not isinstance(part, bool) and part > 0:
            return Protection(how="prefix", characters=part)
        raise expected(PROTECTION, f"{{keep: {part}}}" if is_scalar(part) else "")
    raise expected(PROTECTION, _received(value))


def _read_column_name(value: object) -> object:
    if value is None:
        raise expected("the name of a column")
    return value


class ColumnList(BaseModel):
    """Columns that belong together, and the place of their list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: Place
    names: tuple[str, ...]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: object) -> object:
        if isinstance(given, Items):
            return {"place": given.place, "names": tuple(given)}
        raise expected("a list")


T = TypeVar("T")
_TEXTS = {"type": "array", "items": {"type": "string"}}
_CONSTANT = {"type": ["string", "number", "boolean", "null"]}
_DURATIONS = {"type": ["string", "number"], "minimum": 0, "pattern": r"^\d+(\.\d+)? ?[smhd]?$"}
_LIMITS = {"type": ["string", "integer"], "minimum": 0, "pattern": r"^\s*\d+((\.\d+)? ?%)?\s*$"}
_AS_LIST = BeforeValidator(_read_texts)
_ONCE = AfterValidator(lambda texts: tuple(dict.fromkeys(texts)))
_ONE_OR_MORE = WithJsonSchema({"anyOf": [{"type": "string"}, _TEXTS]})
_PATH_FAULT = "the path {} {}"
_IGNORED = "a list of fields, as [password, {iban: never leaves the application}]"
PROTECTION = "pseudonym, redact, or what is kept: {keep: year}, {keep: month}, or characters of a text, {keep: 2}"
_KEPT = {"anyOf": [{"enum": ["year", "month"]}, {"type": "integer", "minimum": 1}]}
_REASONS = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}

Prose = Annotated[str, StringConstraints(strip_whitespace=True)]
Path = Annotated[str, _check(fault_of_path, _PATH_FAULT)]
_ItemPath = Annotated[str, _check(_fault_of_item_path, _PATH_FAULT)]
_Owner = Annotated[str, _check(_match(_OWNER, "is neither an e-mail address nor team:name"), "the owner {} {}")]
Group = Annotated[
    str, _check(_match(_GROUP, "may hold letters, digits and _ only, / between levels"), "the group {} {}")
]
CollectionName = Annotated[str, _check(_fault_of_collection, "{1} {0}")]
Texts = Annotated[tuple[str, ...], _AS_LIST, _ONE_OR_MORE]
Owners = Annotated[tuple[_Owner, ...], _AS_LIST, _ONE_OR_MORE]
Paths = Annotated[tuple[Path, ...], _AS_LIST, _ONCE, _ONE_OR_MORE]
ItemPaths = Annotated[tuple[_ItemPath, ...], _AS_LIST, _ONCE, _ONE_OR_MORE]
ColumnLists = Annotated[tuple[ColumnList, ...], WithJsonSchema({"type": "array", "items": _TEXTS})]
#: A mapping whose keys are the file's own.
_READ = BeforeValidator(lambda value: value.read() if isinstance(value, Section) else value)
Entries = Annotated[dict[str, T], _READ]
_Source = Annotated[str, _check(fault_of_path, "the source field {} {}")]
Mappings = Annotated[dict[_Source, Annotated[str, BeforeValidator(_read_column_name)]], _READ]
IgnoredFields = Annotated[
    Mapping[str, str],
    PlainValidator(_read_ignored),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [{"type": "string"}, _REASONS]}}, _REASONS]}
    ),
]
ProtectionValue = Annotated[
    Protection,
    PlainValidator(read_protection),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["pseudonym", "redact"]},
                {"type": "object", "additionalProperties": False, "required": ["keep"], "properties": {"keep": _KEPT}},
            ]
        }
    ),
]
Duration = Annotated[timedelta, PlainValidator(_read_duration), WithJsonSchema(_DURATIONS)]
LimitValue = Annotated[Limit, PlainValidator(_read_limit), WithJsonSchema(_LIMITS)]
Share = Annotated[float, PlainValidator(_read_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
WholeNumber = Annotated[int, PlainValidator(_read_whole_number), WithJsonSchema({"type": "integer"})]
Day = Annotated[date, PlainValidator(_read_day), WithJsonSchema({"type": "string", "format": "date"})]
Constant = Annotated[Scalar, PlainValidator(_read_constant), WithJsonSchema(_CONSTANT)]
Filter = Annotated[tuple[Condition, ...], PlainValidator(read_conditions), WithJsonSchema(FILTER_SCHEMA)]
