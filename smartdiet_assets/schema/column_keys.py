"""The keys of a column and an array, and the mappings of a table.

Here: what one key alone can say right or wrong, and the columns that `include_base` stands for.
Not here: where a column's value comes from in the end (`schema.columns`).
"""

from dataclasses import replace

from smartdiet_assets.schema.conditions import fault_of_path
from smartdiet_assets.schema.declaration import ArrayDeclaration, ColumnDeclaration, Mapped
from smartdiet_assets.schema.findings import Place
from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, ITEM_POSITION
from smartdiet_assets.schema.reading import fault_of_characters, quote
from smartdiet_assets.schema.section import Section, read_constant

COLUMN_KEYS = (
    "name", "sql_type", "nullable", "primary_key", "default", "foreign_key", "on_missing_parent",
    "mongo_field", "item_field", "timezone", "on_invalid", "description",
)  # fmt: skip
MATOMO_COLUMN_KEYS = (
    "name", "sql_type", "nullable", "primary_key", "default", "foreign_key", "on_missing_parent",
    "source_column", "description",
)  # fmt: skip
ARRAY_KEYS = ("field", "set")


def parse_columns(section: Section) -> tuple[ColumnDeclaration, ...]:
    """Read a table's columns, those of `include_base` first."""
    include_base = section.flag("include_base")
    wrong, right = ("columns", "additional_columns") if include_base else ("additional_columns", "columns")
    _note_unread(section, wrong, right)
    found = list(_base_columns(section.at("include_base"))) if include_base else []
    for key in (right, wrong):
        for item in section.sections(key, "a list of columns"):
            if column := _parse_column(item):
                found.append(column)
    return tuple(found)


def parse_matomo_columns(section: Section) -> tuple[ColumnDeclaration, ...]:
    """Read the columns of a table of Matomo."""
    parsed = (_parse_column(item, MATOMO_COLUMN_KEYS) for item in section.sections("columns", "a list of columns"))
    return tuple(column for column in parsed if column)


def _note_unread(section: Section, wrong: str, right: str) -> None:
    """Note a key of the other value of `include_base`. It is read all the same, to check the rest."""
    if wrong in section:
        where = "not read beside" if section.flag("include_base") else "read only beside"
        section.findings.problem(section.at(wrong), f"{quote(wrong)} is {where} include_base: true; use {quote(right)}")


def _base_columns(place: Place) -> tuple[ColumnDeclaration, ...]:
    return (
        ColumnDeclaration(
            replace(place, column="id"),
            "id",
            "VARCHAR",
            nullable=False,
            primary_key=True,
            mongo_field=(DOCUMENT_ID,),
            description="Identity of the document.",
        ),
        *(
            ColumnDeclaration(replace(place, column=name), name, "TIMESTAMP", nullable=False, description=description)
            for name, description in (
                ("created_at", "When the document was created, UTC."),
                ("updated_at", "When the document was last changed, UTC."),
            )
        ),
    )


def _parse_column(section: Section, known: tuple[str, ...] = COLUMN_KEYS) -> ColumnDeclaration | None:
    name = section.text("name")
    section.about(name or "")
    section.expect(known)
    if name is None:
        if "name" not in section:
            section.findings.problem(section.place, "the column has no 'name'")
        return None
    on_missing = section.choice("on_missing_parent", ("reject", "null"))
    if on_missing is None and "on_missing_parent" in list(section) and "on_missing_parent" not in section:
        on_missing = "null"  # `on_missing_parent: null` without quotes is YAML's null, and means the word
    return ColumnDeclaration(
        section.place,
        name,
        sql_type=section.text("sql_type"),
        nullable=section.flag("nullable", default=True),
        primary_key=section.flag("primary_key"),
        default=read_constant(section, "default"),
        foreign_key=section.text("foreign_key"),
        on_missing_parent=on_missing,
        mongo_field=_paths(section, "mongo_field"),
        item_field=_paths(section, "item_field"),
        source_column=section.text("source_column"),
        timezone=section.text("timezone"),
        on_invalid=_read_on_invalid(section),
        description=(section.text("description") or "").strip(),
        places=section.places,
    )


def _read_on_invalid(section: Section) -> str | None:
    if "on_invalid" in list(section) and "on_invalid" not in section:
        return "null"  # as with `on_missing_parent`
    return section.choice("on_invalid", ("reject", "null", "clamp"))


def parse_mappings(section: Section) -> tuple[Mapped, ...]:
    """Read a table's mappings of a source field to a column."""
    wrong, right = "additional_mappings", "explicit_mappings"
    if section.flag("include_base"):
        wrong, right = right, wrong
    _note_unread(section, wrong, right)
    found = []
    for mappings in filter(None, (section.section(right), section.section(wrong))):
        for source in mappings:
            column = mappings.text(source)
            if fault := fault_of_path(source):
                section.findings.problem(mappings.at(source), f"the source field {quote(source)} {fault}")
            elif column is not None:
                found.append((mappings.at(source), source, column))
            elif source not in mappings:
                mappings.wrong(source, "the name of a column", "nothing")
    return tuple(found)


def parse_arrays(section: Section) -> tuple[ArrayDeclaration, ...]:
    """Read the arrays whose items are a table's rows."""
    found = []
    for item in section.sections("arrays", "a list of arrays, as [{field: tags}]"):
        item.expect(ARRAY_KEYS)
        path = parse_path(item, "field")
        if path is None:
            if "field" not in item:
                section.findings.problem(item.place, "the array has no 'field'")
            continue
        if fault := fault_of_characters(path):
            section.findings.problem(item.at("field"), f"the array {quote(path)}: {fault}")
        constants = item.section("set")
        found.append(
            ArrayDeclaration(
                item.place,
                path,
                {column: read_constant(constants, column) for column in constants} if constants else {},
                constants.places if constants else {},
            )
        )
    return tuple(found)


def parse_path(section: Section, key: str) -> str | None:
    """Read one dotted path of a document."""
    path = section.text(key)
    if path is not None and (fault := fault_of_path(path)):
        section.findings.problem(section.at(key), f"the path {quote(path)} {fault}")
        return None
    return path


def _paths(section: Section, key: str) -> tuple[str, ...]:
    found = []
    for path in section.texts(key):
        fault = "" if key == "item_field" and path in (ITEM_ITSELF, ITEM_POSITION) else fault_of_path(path)
        if fault:
            section.findings.problem(section.at(key), f"the path {quote(path)} {fault}")
        else:
            found.append(path)
    return tuple(dict.fromkeys(found))
