"""What identifies a document and a row of a table: its document column, its key, its shape, its indexes."""

from collections.abc import Iterable, Sequence

from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.findings import Findings, suggest
from smartdiet_assets.schema.model import DOCUMENT_ID, Column
from smartdiet_assets.schema.reading import quote
from smartdiet_assets.schema.shapes import Shape
from smartdiet_assets.schema.types import ColumnType
from smartdiet_assets.schema.values import ColumnList

#: The column added where no declared column holds the document's id.
IMPLICIT_COLUMN = "document_id"
#: The column that says since when a row's document is gone at the source, where `on_delete` is `flag`.
DELETED_AT = "deleted_at"

Names = tuple[str, ...]


def keep_column_lists(
    lists: Iterable[ColumnList], columns: Sequence[Column], what: str, findings: Findings
) -> tuple[Names, ...]:
    """Keep the lists that name existing columns, each list once."""
    known = [column.name for column in columns]
    found: list[Names] = []
    for place, names in ((declared.place, declared.names) for declared in lists):
        missing = [name for name in names if name not in known]
        for name in missing:
            findings.problem(place, f"the {what} names {quote(name)}, which is no column{suggest(name, known)}")
        if not names:
            findings.problem(place, f"the {what} names no column")
        elif len(set(names)) < len(names):
            findings.problem(place, f"the {what} names a column twice")
        elif not missing and names not in found:
            found.append(names)
    return tuple(found)


def find_document_column(
    columns: Sequence[Column], primary_key: Names, unique: Sequence[Names], items: bool
) -> str | None:
    """Find the column fed by `_id`; of several, the one that is a key by itself, or is in the items' key."""
    fed = [c.name for c in columns if c.mongo_field == (DOCUMENT_ID,) and c.type.base.holds_ids]
    keys = [*unique, primary_key] if items else [primary_key, *unique]
    preferred = [name for key in keys[:1] for name in key] if items else [key[0] for key in keys if len(key) == 1]
    return next((name for name in preferred if name in fed), fed[0] if fed else None)


def find_row_column(
    declared: TableDeclaration, columns: Sequence[Column], primary_key: Names, findings: Findings
) -> str:
    """Find the column that identifies a row of a source without documents: the primary key."""
    types = {column.name: column.type.base for column in columns}
    if len(primary_key) != 1:
        findings.problem(
            declared.place, f"a table of {declared.source_kind.title} needs 'primary_key: true' at exactly one column"
        )
    elif not types[primary_key[0]].tells_apart:
        findings.problem(declared.place, f"the primary key {primary_key[0]} must be a whole number, VARCHAR or TEXT")
    if primary_key:
        return primary_key[0]
    return columns[0].name if columns else IMPLICIT_COLUMN


def replace_document_column(declared: TableDeclaration, columns: Sequence[Column], findings: Findings) -> str:
    """Name the column that stands in where none is fed by `_id`; a problem where nothing can."""
    if declared.arrays:
        findings.problem(
            declared.place,
            "no column holds the document's id: give the parent's column 'mongo_field: _id'",
        )
        return columns[0].name if columns else IMPLICIT_COLUMN
    for column in declared.columns:
        if column.name == IMPLICIT_COLUMN:
            findings.problem(
                column.place,
                f"the mirror keeps the document's id in {IMPLICIT_COLUMN}: give it 'mongo_field: _id' and a "
                "type such as VARCHAR, or another name",
            )
    return IMPLICIT_COLUMN


def build_implicit_column() -> Column:
    """Build the column of the document's id for a table that declares none."""
    return Column(
        name=IMPLICIT_COLUMN,
        type=ColumnType(name="varchar"),
        mongo_field=(DOCUMENT_ID,),
        description="The id of the document the row shows",
        implicit=True,
    )


def build_deleted_at() -> Column:
    """Build the column that marks rows whose document is gone, for a table that declares none."""
    return Column(
        name=DELETED_AT,
        type=ColumnType(name="timestamp"),
        description="When the document was found deleted at the source, UTC; NULL while it is there",
        implicit=True,
    )


def resolve_key(
    declared: TableDeclaration,
    columns: Sequence[Column],
    primary_key: Names,
    unique: tuple[Names, ...],
    document_column: str,
    findings: Findings,
) -> tuple[Shape, Names, tuple[Names, ...]]:
    """Settle what identifies a row: the shape, the key, and the unique constraints, one added if need be."""
    generated = {column.name for column in columns if column.generated}
    keys = [*unique, primary_key] if declared.arrays else [primary_key, *unique]
    keys = [key for key in keys if key and not generated.intersection(key)]
    if declared.arrays:
        if not keys:
            findings.problem(
                declared.place,
                "nothing identifies an item: declare 'unique_constraints', as [[parent, item]]",
            )
        elif document_column not in keys[0]:
            findings.problem(
                declared.at("unique_constraints"),
                f"the items' key ({', '.join(keys[0])}) must hold {document_column}, the document's id",
            )
        _check_key(declared, columns, keys[:1], findings)
        return Shape.ITEMS, keys[0] if keys else (document_column,), unique
    if not keys:
        return Shape.ONE_ROW, (document_column,), (*unique, (document_column,))
    if keys[0] == (document_column,):
        return Shape.ONE_ROW, keys[0], unique
    _check_key(declared, columns, keys[:1], findings)
    return Shape.BEST_OF_KEY, keys[0], unique


def _check_key(
    declared: TableDeclaration, columns: Sequence[Column], keys: Sequence[Names], findings: Findings
) -> None:
    """A NULL is equal to nothing, itself included: a row whose key holds one could not be found again."""
    places = {column.name: column.place for column in reversed(declared.columns)}
    for column in columns:
        if column.nullable and any(column.name in key for key in keys):
            findings.problem(
                places.get(column.name, declared.place),
                "the column is in the key that identifies a row: give it 'nullable: false'",
            )


def add_indexes(
    declared: tuple[Names, ...],
    columns: Sequence[Column],
    primary_key: Names,
    unique: tuple[Names, ...],
    document_column: str,
    time_column: str | None = None,
) -> tuple[Names, ...]:
    """Add an index to each column that is searched and that nothing leads with."""
    searched = [column.name for column in columns if column.foreign_key or column.name == time_column]
    searched += [column.name for column in columns if column.name == "updated_at"]
    led = {key[0] for key in (primary_key, *unique, *declared) if key}
    return (*declared, *((name,) for name in dict.fromkeys([*searched, document_column]) if name not in led))
