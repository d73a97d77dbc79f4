"""The import strategies of the replaced tool, as declarations.

Here: the arrays and columns that tool had in code, by the name of the strategy, and what a table that names one means
in our terms. Where a file declares an array or a column's source itself, the file wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from smartdiet_assets.schema.declaration import ArrayDeclaration, ColumnDeclaration, TableDeclaration
from smartdiet_assets.schema.findings import Findings
from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF
from smartdiet_assets.schema.reading import quote


@dataclass(frozen=True, slots=True)
class LegacyStrategy:
    """One strategy of the replaced tool.

    Attributes:
        arrays: the document's arrays, each with the `type` its items get ("" where the table has no `type`).
        document_column: the column of the document's id.
        item_column: the column of the item's id.
        item_key: the field that holds the id where an item is a document (else its `_id`).
    """

    arrays: tuple[tuple[str, str], ...]
    document_column: str
    item_column: str
    item_key: str = ""
    import_strategy: str = "smart_diff"

    @property
    def item_field(self) -> tuple[str, ...]:
        return tuple(path for path in (ITEM_ITSELF, self.item_key, DOCUMENT_ID) if path)

    @property
    def columns(self) -> tuple[str, ...]:
        constant = ("type",) if any(value for _, value in self.arrays) else ()
        return (self.document_column, self.item_column, *constant)


_USER_EVENTS = LegacyStrategy((("registered_events", ""),), "user_id", "event_id", "event")
_USERS_TARGETS = LegacyStrategy(
    (("targets", "basic"), ("specificity_targets", "specificity"), ("health_targets", "health")),
    "user_id",
    "target_id",
)
_COACHING_REASONS = LegacyStrategy(
    # The tool's code and its notes spell the second array differently: both are read, the other is empty.
    (("reasons", "reason"), ("health_reason", "health_reason"), ("health_reasons", "health_reason")),
    "coaching_id",
    "target_id",
)

#: Those that deleted and inserted are `smart_diff` here: the rows are the same, and unchanged ones stay.
LEGACY_STRATEGIES: Mapping[str, LegacyStrategy] = {
    "user_events": _USER_EVENTS,
    "users_targets": _USERS_TARGETS,
    "coaching_reasons": _COACHING_REASONS,
    "user_events_legacy": replace(_USER_EVENTS, import_strategy="delete_and_insert"),
    "users_targets_legacy": replace(_USERS_TARGETS, import_strategy="delete_and_insert"),
    "coaching_reasons_legacy": replace(_COACHING_REASONS, import_strategy="delete_and_insert"),
    "quizzs_links_questions": LegacyStrategy((("questions", ""),), "quizz_id", "question_id", "question"),
    "users_quizzs_links_questions": LegacyStrategy(
        (("questions", ""),), "user_quizz_id", "user_quizz_question_id", "question"
    ),
    "users_contents_reads": LegacyStrategy((("viewed_by", ""),), "content_id", "user_id", "user"),
    "days_contents_links": LegacyStrategy((("contents", ""),), "day_id", "content_id", "content"),
    "days_logbooks_links": LegacyStrategy((("main_logbooks", ""),), "day_id", "logbook_id", "logbook"),
}


def apply_legacy_strategy(table: TableDeclaration, findings: Findings) -> TableDeclaration:
    """Declare what a strategy of the replaced tool did; a table that names none is left alone."""
    legacy = LEGACY_STRATEGIES.get(table.import_strategy or "")
    if legacy is None:
        return table
    missing = [name for name in legacy.columns if name not in {column.name for column in table.columns}]
    if missing:
        findings.problem(
            table.at("import_strategy"),
            f"the strategy {table.import_strategy!r} of the replaced tool fills the columns "
            f"{', '.join(legacy.columns)}; the table has no {' and no '.join(missing)}",
        )
    arrays = tuple(
        ArrayDeclaration(
            place=table.at("import_strategy"),
            field=field,
            set={"type": value} if value and "type" not in missing else {},
        )
        for field, value in legacy.arrays
    )
    filled = set() if table.arrays else set(legacy.columns)
    ignored = [mapped for mapped in table.mappings if mapped[2] in filled]
    for place, source, column in ignored:
        if (source, column) != (DOCUMENT_ID, legacy.document_column):
            findings.warn(
                place,
                f"the mapping of {quote(source)} to {column} is not read: the strategy "
                f"{table.import_strategy!r} fills that column, as it did in the replaced tool",
            )
    return table.model_copy(
        update={
            "arrays": table.arrays or arrays,
            "columns": tuple(_with_source(column, legacy) for column in table.columns),
            "mappings": tuple(mapped for mapped in table.mappings if mapped not in ignored),
            "import_strategy": legacy.import_strategy,
        }
    )


def _with_source(column: ColumnDeclaration, legacy: LegacyStrategy) -> ColumnDeclaration:
    if column.mongo_field or column.item_field:
        return column
    if column.name == legacy.document_column:
        return column.model_copy(update={"mongo_field": (DOCUMENT_ID,)})
    if column.name == legacy.item_column:
        return column.model_copy(update={"item_field": legacy.item_field})
    return column
