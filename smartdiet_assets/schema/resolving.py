"""One table, resolved: its columns and keys put together, its winner and its strategy."""

import re
from collections.abc import Mapping, Sequence

from smartdiet_assets.schema.columns import fault_of_identifier, resolve_columns
from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.findings import Findings, suggest
from smartdiet_assets.schema.keys import (
    DELETED_AT,
    IMPLICIT_COLUMN,
    add_indexes,
    build_deleted_at,
    build_implicit_column,
    find_document_column,
    find_row_column,
    keep_column_lists,
    replace_document_column,
    resolve_key,
)
from smartdiet_assets.schema.legacy import LEGACY_STRATEGIES
from smartdiet_assets.schema.model import DOCUMENT_ID, ArraySource, Column, Table, WinnerOrder
from smartdiet_assets.schema.reading import quote
from smartdiet_assets.schema.shapes import Shape
from smartdiet_assets.schema.strategies import ITEM_STRATEGIES, STRATEGIES, import_class, is_class_name
from smartdiet_assets.schema.width import check_width

#: Dagster names an asset and its step after the table.
_TABLE_NAME = re.compile(r"[A-Za-z0-9_]+")
_WINNER = re.compile(r"\s*(\S+)(?:\s+(ASC|DESC))?\s*", re.IGNORECASE)


def resolve_table(declared: TableDeclaration, findings: Findings) -> tuple[Table, frozenset[str]]:
    """Resolve a table. Also gives the names of its columns whose type could not be read."""
    _check_table(declared, findings)
    columns, unknown = resolve_columns(declared, findings)
    check_width(declared, columns, findings)
    primary_key = tuple(column.name for column in columns if _is_primary(declared, column.name))
    unique = keep_column_lists(declared.unique_constraints, columns, "unique constraint", findings)
    indexes = keep_column_lists(declared.indexes, columns, "index", findings)
    document_column = find_document_column(columns, primary_key, unique, bool(declared.arrays))
    if not declared.source_kind.has_documents:
        document_column = find_row_column(declared, columns, primary_key, findings)
    if document_column is None:
        document_column = replace_document_column(declared, columns, findings)
        if document_column == IMPLICIT_COLUMN and IMPLICIT_COLUMN not in {c.name for c in columns}:
            columns = (*columns, build_implicit_column())
    if declared.on_delete == "flag":
        columns = _add_deleted_at(declared, columns, findings)
    shape, key, unique = resolve_key(declared, columns, primary_key, unique, document_column, findings)
    winner = _resolve_winner(declared, columns, shape, document_column, findings)
    table = Table.model_validate(
        # What a key says is what the field of its name holds, but where it is resolved below.
        {key: getattr(declared, key) for key in Table.model_fields.keys() & TableDeclaration.model_fields.keys()}
        | {
            "name": declared.name,
            "source_kind": declared.source_kind,
            "columns": columns,
            "primary_key": primary_key,
            "unique_constraints": unique,
            "indexes": add_indexes(indexes, columns, primary_key, unique, document_column, declared.time_column),
            "shape": shape,
            "document_column": document_column,
            "key": key,
            "winner": winner,
            "time_column": _resolve_time_column(declared, columns, findings),
            "incremental": declared.incremental
            if declared.source_kind.has_documents
            else ("dates" if declared.time_column else "key"),
            "on_duplicate_item": declared.on_duplicate_item or "first",
            "arrays": tuple(ArraySource(field=array.field, set=tuple(array.set.items())) for array in declared.arrays),
            "import_strategy": _resolve_strategy(declared, findings),
            "line": declared.place.line,
        }
    )
    return table, unknown


def _check_table(declared: TableDeclaration, findings: Findings) -> None:
    if fault := fault_of_identifier(declared.name):
        findings.problem(declared.place, fault)
    elif not _TABLE_NAME.fullmatch(declared.name):
        findings.problem(declared.place, "a table's name may hold letters, digits and _ only")
    if not declared.columns:
        findings.problem(declared.place, "the table has no columns")
    if declared.on_duplicate_item and not declared.arrays:
        findings.problem(declared.at("on_duplicate_item"), "'on_duplicate_item' is for a table with 'arrays'")
    if declared.truncate_before_import and not declared.force_reimport:
        findings.problem(
            declared.at("truncate_before_import"),
            "'truncate_before_import' needs 'force_reimport: true': an emptied table is read whole",
        )


def _add_deleted_at(declared: TableDeclaration, columns: tuple[Column, ...], findings: Findings) -> tuple[Column, ...]:
    """Add the column that marks the rows of deleted documents, unless the file declares it."""
    for index, column in enumerate(columns):
        if column.name != DELETED_AT:
            continue
        if not column.type.base.has_clock or not column.nullable:
            findings.problem(declared.at("on_delete"), f"'on_delete: flag' needs {DELETED_AT} as a nullable TIMESTAMP")
        return (
            *columns[:index],
            column.model_copy(update={"mongo_field": (), "item_field": ()}),
            *columns[index + 1 :],
        )
    return (*columns, build_deleted_at())


def _is_primary(declared: TableDeclaration, name: str) -> bool:
    return any(column.primary_key for column in declared.columns if column.name == name)


def _resolve_time_column(declared: TableDeclaration, columns: Sequence[Column], findings: Findings) -> str:
    name = declared.time_column
    if name is None:
        return ""
    column = next((column for column in columns if column.name == name), None)
    place = declared.at("time_column")
    if column is None:
        hint = suggest(name, [column.name for column in columns])
        findings.problem(place, f"'time_column' names {quote(name)}, which is no column{hint}")
    elif column.type.base.has_zone or not column.type.base.has_clock:
        findings.problem(place, f"'time_column' must be a TIMESTAMP; {name} is {column.type.sql}")
    elif column.nullable:
        findings.problem(place, f"'time_column' needs 'nullable: false': a row without {name} would not be found again")
    return name


def _resolve_winner(
    declared: TableDeclaration,
    columns: Sequence[Column],
    shape: Shape,
    document_column: str,
    findings: Findings,
) -> tuple[WinnerOrder, ...]:
    known = {column.name: column for column in columns}
    if declared.winner and not shape.shares_keys:
        findings.problem(declared.at("winner"), "'winner' is for tables where several documents can share a row's key")
    if not shape.shares_keys:
        return ()
    orders: list[WinnerOrder] = []
    for text in declared.winner:
        match = _WINNER.fullmatch(text)
        if match is None:
            findings.problem(
                declared.at("winner"),
                f"'winner' must hold texts such as 'updated_at DESC', not {quote(text)}",
            )
        elif match[1] not in known:
            hint = suggest(match[1], known)
            findings.problem(declared.at("winner"), f"'winner' names {quote(match[1])}, which is no column{hint}")
        elif known[match[1]].generated:
            findings.problem(
                declared.at("winner"),
                f"'winner' names {match[1]}, which PostgreSQL fills once the winner is known",
            )
        else:
            orders.append(WinnerOrder(column=match[1], descending=(match[2] or "").upper() == "DESC"))
    if not declared.winner:
        dates = (name for name in ("updated_at", "created_at") if name in known)
        orders = [WinnerOrder(column=name, descending=True) for name in dates]
    if document_column not in {order.column for order in orders}:
        # Documents that tie in every other column must still have one winner.
        orders.append(WinnerOrder(column=document_column, descending=True))
    return tuple(orders)


def _resolve_strategy(declared: TableDeclaration, findings: Findings) -> str:
    name = declared.import_strategy
    place = declared.at("import_strategy" if "import_strategy" in declared.places else "strategy")
    if name is None:
        return "smart_diff" if declared.arrays else "direct"
    if is_class_name(name):
        try:
            import_class(name)
        except ValueError as error:
            findings.problem(place, f"import_strategy {quote(name)}: {error}")
        return name
    if name not in STRATEGIES:
        known = (*STRATEGIES, *LEGACY_STRATEGIES)
        hint = suggest(name, known) or ";"
        findings.problem(
            place,
            f"unknown strategy {quote(name)}{hint} expected {', '.join(known)}, or package.module:Class",
        )
    elif name in ITEM_STRATEGIES and not declared.arrays:
        findings.problem(place, f"{name!r} merges the items of arrays: declare them, as 'arrays: [{{field: tags}}]'")
    elif name == "direct" and declared.arrays:
        findings.problem(place, "'direct' is for one row a document: a table with 'arrays' takes 'smart_diff'")
    elif name == "array":
        findings.warn(place, "'array' cannot see items that were removed, their rows stay; use 'smart_diff'")
    return name


def note_document_ids(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Note on foreign keys which parents have documents for ids; any other document in a reference is no id."""
    parts = f"{DOCUMENT_ID}."
    parents = {
        table.name
        for table in tables.values()
        if any(path.startswith(parts) for column in table.columns for path in column.mongo_field)
    }
    if not parents:
        return dict(tables)

    def note(column: Column) -> Column:
        key = column.foreign_key
        if key is None or key.table not in parents:
            return column
        return column.model_copy(update={"foreign_key": key.model_copy(update={"documents": True})})

    return {
        name: table.model_copy(update={"columns": tuple(map(note, table.columns))}) for name, table in tables.items()
    }
