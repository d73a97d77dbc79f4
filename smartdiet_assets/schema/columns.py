"""The columns of one table, resolved: their types, and where each value comes from.

A column that is wrong is resolved as far as it goes, so that the rest of the file can be checked.
"""

import re
import zoneinfo
from dataclasses import replace
from typing import Literal

from smartdiet_assets.schema.declaration import ColumnDeclaration, TableDeclaration
from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_POSITION, Column, ForeignKey, Scalar
from smartdiet_assets.schema.reading import fault_of_characters, quote
from smartdiet_assets.schema.types import ColumnType, parse_sql_type

#: PostgreSQL's limit of a name, in bytes; longer ones are cut silently.
MAX_IDENTIFIER = 63

_REFERENCE = re.compile(r"\s*(\w+)\s*\(\s*(\w+)\s*\)\s*")
_OUR_COLUMNS = frozenset({"_asked", "_here", "_mirror_room", "_op", "_place"})
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
#: Stands for a type that could not be read.
_UNKNOWN = ColumnType(name="text")


def resolve_columns(table: TableDeclaration, findings: Findings) -> tuple[tuple[Column, ...], frozenset[str]]:
    """Resolve a table's columns. Also gives the names of those whose type could not be read."""
    _check_mappings(table, findings)
    _check_arrays(table, findings)
    columns: dict[str, Column] = {}
    first_lines: dict[str, int] = {}
    unknown = set()
    for declared in table.columns:
        if declared.name in columns:
            findings.problem(
                declared.at("name"),
                f"the table has two columns of this name (the first on line {first_lines[declared.name]})",
            )
            continue
        first_lines[declared.name] = declared.place.line
        _check_name(declared, findings)
        sql_type = _read_type(declared, findings)
        if sql_type is None:
            unknown.add(declared.name)
        columns[declared.name] = _resolve_column(declared, table, sql_type, findings)
    return tuple(columns.values()), frozenset(unknown)


def _resolve_column(
    declared: ColumnDeclaration, table: TableDeclaration, type: ColumnType | None, findings: Findings
) -> Column:
    generated = type is not None and type.generated
    nullable = declared.nullable and not declared.primary_key and not generated
    mongo_field, item_field = _sources(declared, table, type, findings)
    if type and not generated and (expected := type.fault_of_constant(declared.default)):
        findings.problem(declared.at("default"), f"the default of {type.sql} must be {expected}")
    _check_timezone(declared, type, findings)
    return Column(
        name=declared.name,
        type=type or _UNKNOWN,
        nullable=nullable,
        default=declared.default,
        mongo_field=mongo_field,
        item_field=item_field,
        source_column="" if table.source_kind.has_documents or generated else declared.source_column or declared.name,
        timezone=declared.timezone,
        foreign_key=_read_foreign_key(declared, nullable, findings),
        on_invalid=_read_on_invalid(declared, type, nullable, mongo_field, findings),
        description=declared.description,
    )


def _read_type(declared: ColumnDeclaration, findings: Findings) -> ColumnType | None:
    if declared.sql_type is None:
        if "sql_type" not in declared.places:
            findings.problem(declared.place, "the column has no 'sql_type'")
        return None
    try:
        return parse_sql_type(declared.sql_type)
    except ValueError as error:
        findings.problem(declared.at("sql_type"), str(error))
        return None


def fault_of_identifier(name: str) -> str:
    """Say why a name cannot be a column's or a table's; empty when PostgreSQL keeps it as it is."""
    if not name:
        return "the name is empty"
    if fault := fault_of_characters(name):
        return fault
    size = len(name.encode())
    return f"the name has {size} bytes; PostgreSQL keeps {MAX_IDENTIFIER}" if size > MAX_IDENTIFIER else ""


def fault_of_column_name(name: str) -> str:
    """Say why a table cannot have a column of this name; empty where it can."""
    if name in _SYSTEM_COLUMNS:
        return "PostgreSQL has a system column of this name in every table"
    if name in _OUR_COLUMNS:
        return "the mirror's temporary tables have a column of this name beside those of the table"
    return fault_of_identifier(name)


def _check_name(declared: ColumnDeclaration, findings: Findings) -> None:
    if fault := fault_of_column_name(declared.name):
        findings.problem(declared.at("name"), fault)


def _check_mappings(table: TableDeclaration, findings: Findings) -> None:
    names = [column.name for column in table.columns]
    for place, source, column in table.mappings:
        if column not in names:
            findings.problem(
                place,
                f"{quote(source)} is mapped to {quote(column)}, which is no column{suggest(column, names)}",
            )


def _check_arrays(table: TableDeclaration, findings: Findings) -> None:
    columns = {column.name: column for column in table.columns}
    constants = {name for array in table.arrays for name in array.set if name in columns}
    seen = []
    for array in table.arrays:
        if (array.field, array.set) in seen:
            findings.problem(array.place, f"the array {quote(array.field)} is declared twice")
        seen.append((array.field, array.set))
        for name, value in array.set.items():
            if name not in columns:
                findings.problem(
                    array.at("set", name), f"'set' names {quote(name)}, which is no column{suggest(name, columns)}"
                )
            elif fault := _fault_of_set(value, columns[name]):
                findings.problem(replace(array.at("set", name), column=name), fault)
        for name in sorted(constants - set(array.set)):
            findings.problem(
                replace(array.place, column=name),
                f"the array {quote(array.field)} sets no {name}, which another array sets",
            )


def _fault_of_set(value: Scalar, declared: ColumnDeclaration) -> str:
    if value is None:
        return "" if declared.nullable else "the column is NOT NULL, but 'set' gives it nothing"
    try:
        expected = parse_sql_type(declared.sql_type or "").fault_of_constant(value)
    except ValueError:
        return ""  # the type is a problem of its own
    return f"the constant must be {expected}" if expected else ""


def _sources(
    declared: ColumnDeclaration, table: TableDeclaration, type: ColumnType | None, findings: Findings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Settle a column's `mongo_field` and `item_field`; both are empty for a generated or constant column."""
    given = _declared_sources(declared, table)
    if type and type.generated:
        for place, what, _ in given:
            findings.problem(place, f"PostgreSQL fills a serial column: remove {what}")
        for key in ("default", "foreign_key"):
            if getattr(declared, key) is not None:
                findings.problem(declared.at(key), f"PostgreSQL fills a serial column: remove {key!r}")
        return (), ()
    if not table.source_kind.has_documents:
        return (), ()
    if declared.item_field and not table.arrays:
        findings.problem(declared.at("item_field"), "'item_field' needs 'arrays': say which array the items are in")
    for place, what, paths in given[1:]:
        if paths != given[0][2] or what == "'item_field'":
            findings.problem(place, f"the column is fed twice: by {given[0][1]} and by {what}")
    if any(declared.name in array.set for array in table.arrays):
        return (), ()
    if declared.item_field and table.arrays:
        _check_position(declared, type, findings)
        return (), declared.item_field
    paths = given[0][2] if given else ()
    defaults = _date_paths(declared.name, table, type)
    # A mapping of the date field itself is how the replaced tool said what holds without it.
    if defaults and (not paths or (paths == defaults[:1] and not declared.mongo_field)):
        return defaults, ()
    if paths:
        return paths, ()
    if table.arrays:
        return (), (declared.name,)
    return (DOCUMENT_ID if declared.name == "id" else declared.name,), ()


def _check_position(declared: ColumnDeclaration, type: ColumnType | None, findings: Findings) -> None:
    if ITEM_POSITION not in declared.item_field:
        return
    place = declared.at("item_field")
    if len(declared.item_field) > 1:
        findings.problem(place, f"{ITEM_POSITION!r} is every item's: give no other path beside it")
    if type and not type.base.is_integer:
        findings.problem(place, f"{ITEM_POSITION!r} is a number: the column must be an INTEGER, not {type.sql}")


def _declared_sources(declared: ColumnDeclaration, table: TableDeclaration) -> list[tuple[Place, str, tuple[str, ...]]]:
    """List what the file says feeds a column: place, name for a message, paths. It should be one at most."""
    fields = [("mongo_field", declared.mongo_field), ("item_field", declared.item_field)]
    sets = [array for array in table.arrays if declared.name in array.set]
    mapped = [mapping for mapping in table.mappings if mapping[2] == declared.name]
    return [
        *((declared.at(key), f"'{key}'", paths) for key, paths in fields if paths),
        *((replace(array.at("set", declared.name), column=declared.name), "'set'", ()) for array in sets),
        *(
            (replace(place, column=declared.name), f"the mapping of {quote(source)}", (source,))
            for place, source, _ in mapped
        ),
    ]


def _date_paths(name: str, table: TableDeclaration, type: ColumnType | None) -> tuple[str, ...]:
    """Give where the dates of every document are, the time in its id last; empty for any other column."""
    paths = {
        "created_at": (table.created_field,),
        "updated_at": (table.updated_field, table.created_field),
    }.get(name, ())
    dated = type is None or type.base.is_instant
    return tuple(dict.fromkeys((*paths, DOCUMENT_ID) if dated and paths else paths))


def _check_timezone(declared: ColumnDeclaration, type: ColumnType | None, findings: Findings) -> None:
    if declared.timezone is None:
        return
    if type and (type.base.has_zone or not type.base.is_instant):
        findings.problem(declared.at("timezone"), f"'timezone' is for DATE and TIMESTAMP columns, not for {type.sql}")
    try:
        zoneinfo.ZoneInfo(declared.timezone)
    except (KeyError, ValueError, OSError):
        hint = suggest(declared.timezone, zoneinfo.available_timezones(), "expected a name such as Europe/Paris")
        findings.problem(declared.at("timezone"), f"unknown timezone {quote(declared.timezone)}{hint}")


def _read_on_invalid(
    declared: ColumnDeclaration,
    type: ColumnType | None,
    nullable: bool,
    mongo_field: tuple[str, ...],
    findings: Findings,
) -> Literal["reject", "null", "clamp"]:
    place = declared.at("on_invalid")
    if declared.on_invalid == "null":
        if not nullable:
            findings.problem(place, "'on_invalid: null' needs a column that may be NULL")
            return "reject"
        return "null"
    if declared.on_invalid == "clamp":
        # Text is cut or cleaned, dates are moved to the nearest that PostgreSQL has.
        if type and not (type.base.is_text or type.base.is_instant):
            findings.problem(place, f"'on_invalid: clamp' is for text and dates, not for {type.sql}; use 'null'")
            return "reject"
        if declared.foreign_key or (type and type.is_text and DOCUMENT_ID in mongo_field):
            findings.problem(
                place, "'on_invalid: clamp' would change what the column refers to; use 'null' or 'reject'"
            )
            return "reject"
        return "clamp"
    return "reject"


def _read_foreign_key(declared: ColumnDeclaration, nullable: bool, findings: Findings) -> ForeignKey | None:
    if declared.on_missing_parent == "null" and not nullable:
        findings.problem(declared.at("on_missing_parent"), "'on_missing_parent: null' needs a column that may be NULL")
    if declared.foreign_key is None:
        if declared.on_missing_parent and "foreign_key" not in declared.places:
            findings.problem(declared.at("on_missing_parent"), "'on_missing_parent' needs a 'foreign_key'")
        return None
    match = _REFERENCE.fullmatch(declared.foreign_key)
    if match is None:
        findings.problem(
            declared.at("foreign_key"),
            f"'foreign_key' must be table(column), not {quote(declared.foreign_key)}",
        )
        return None
    return ForeignKey.model_validate(
        {
            "table": match[1],
            "column": match[2],
            "on_missing_parent": "null" if declared.on_missing_parent == "null" and nullable else "reject",
        }
    )
