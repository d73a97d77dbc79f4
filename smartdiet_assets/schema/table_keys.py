"""The keys of a table, and the kind of value each takes.

Here: what one key alone can say right or wrong.
Not here: the keys of a column, an array and the mappings (`schema.column_keys`); what follows from several
keys (`schema.resolving`) or tables (`schema.checking`).
"""

import re
from dataclasses import replace
from datetime import timedelta

from smartdiet_assets.schema import limits
from smartdiet_assets.schema.column_keys import (
    parse_arrays,
    parse_columns,
    parse_mappings,
    parse_matomo_columns,
    parse_path,
)
from smartdiet_assets.schema.conditions import read_conditions
from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.limits import Limit
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX, KNOWN_TIME_COLUMNS
from smartdiet_assets.schema.model import CollectionRules
from smartdiet_assets.schema.reading import quote
from smartdiet_assets.schema.section import Section

DEFAULTS_KEYS = (
    "owners", "created_field", "updated_field", "overlap", "on_delete", "max_deletions", "max_rejects", "sync_after",
    "max_delay",
)  # fmt: skip
#: The keys of a collection: what holds for all its tables.
COLLECTION_KEYS = ("capture", "sync_after", "max_delay")
TABLE_KEYS = (
    "name", "description", "group", "owners", "mongo_collection", "include_base", "columns",
    "additional_columns", "additional_mappings", "explicit_mappings", "unique_constraints", "indexes",
    "filter", "created_field", "updated_field", "incremental", "overlap", "arrays", "on_duplicate_item",
    "import_strategy", "strategy", "winner", "diff_threshold", "export_order", "force_reimport",
    "truncate_before_import", "date_threshold", "on_delete", "max_deletions", "max_rejects",
)  # fmt: skip
#: The keys of a table with `source_table`: one of Matomo.
MATOMO_TABLE_KEYS = (
    "name", "description", "group", "owners", "source_table", "columns", "matomo_columns", "time_column",
    "unique_constraints", "indexes", "overlap", "on_delete", "max_rejects", "import_strategy", "strategy",
    "export_order", "force_reimport", "truncate_before_import", "date_threshold",
)  # fmt: skip

#: What may become of the rows of a deleted document. Matomo's tables have no column to mark theirs in.
ON_DELETE = ("keep", "delete", "flag")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: What Dagster accepts as the owner and the group of an asset.
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_GROUP = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")


def parse_shared(section: Section, base: TableDeclaration, on_delete: tuple[str, ...] = ON_DELETE) -> TableDeclaration:
    """Read the keys that `defaults` and a table share over what holds without them."""
    owners = section.texts("owners")
    for owner in owners:
        if not _OWNER.fullmatch(owner):
            section.findings.problem(
                section.at("owners"), f"the owner {quote(owner)} is neither an e-mail address nor team:name"
            )
    return replace(
        base,
        owners=tuple(owner for owner in owners if _OWNER.fullmatch(owner)) or base.owners,
        created_field=parse_path(section, "created_field") or base.created_field,
        updated_field=parse_path(section, "updated_field") or base.updated_field,
        overlap=_duration(section, "overlap", base.overlap),
        on_delete=section.choice("on_delete", on_delete) or base.on_delete,
        max_deletions=_limit(section, "max_deletions") or base.max_deletions,
        max_rejects=_limit(section, "max_rejects") or base.max_rejects,
    )


def parse_rules(section: Section, base: CollectionRules) -> CollectionRules:
    """Read the keys of a collection, or those that `defaults` gives for all, over what holds without them."""
    found = {
        "capture": section.choice("capture", ("dates", "change_stream")),
        "sync_after": _limit(section, "sync_after"),
        "max_delay": _duration(section, "max_delay", base.max_delay),
    }
    return base.model_copy(update={key: value for key, value in found.items() if value is not None})


def parse_table(section: Section, name: str, shared: TableDeclaration) -> TableDeclaration:
    """Read one table; `shared` has what holds where the table does not say."""
    declared = section.text("name")
    if declared is not None and declared != name:
        section.findings.problem(
            section.at("name"),
            f"'name' is {quote(declared)}, but the table is declared under the key {quote(name)}",
        )
    group = section.text("group")
    if group is not None and not _GROUP.fullmatch(group):
        section.findings.problem(
            section.at("group"),
            f"the group {quote(group)} may hold letters, digits and _ only, / between levels",
        )
        group = None
    if "strategy" in section and "import_strategy" in section:
        section.findings.problem(section.at("strategy"), "'strategy' is 'import_strategy' by another name; give one")
    threshold = section.number("diff_threshold", "a number from 0 to 1")
    if threshold is not None and not 0 <= threshold <= 1:
        section.wrong("diff_threshold", "a number from 0 to 1", f"{threshold}")
        threshold = None
    order = section.number("export_order", "a whole number")
    if isinstance(order, float):
        section.wrong("export_order", "a whole number", f"{order}")
    matomo = is_matomo(section)
    if matomo and shared.on_delete not in ON_DELETE[:2]:
        shared = replace(shared, on_delete="keep")
    common = replace(
        parse_shared(section, shared, ON_DELETE[:2] if matomo else ON_DELETE),
        place=section.place,
        places=section.places,
        name=name,
        description=(section.text("description") or "").strip(),
        group=group or "default",
        unique_constraints=tuple(section.lists_of_texts("unique_constraints", "[[a, b], [c]]")),
        indexes=tuple(section.lists_of_texts("indexes", "[[a, b], [c]]")),
        import_strategy=section.text("import_strategy") or section.text("strategy"),
        diff_threshold=0.3 if threshold is None else float(threshold),
        export_order=order if isinstance(order, int) else None,
        force_reimport=section.flag("force_reimport"),
        truncate_before_import=section.flag("truncate_before_import"),
        date_threshold=section.day("date_threshold"),
    )
    return _parse_matomo(section, common) if matomo else _parse_mongo(section, common)


def is_matomo(section: Section) -> bool:
    """Tell whether a table mirrors one of Matomo's rather than a collection."""
    return "source_table" in section.places


def _parse_mongo(section: Section, common: TableDeclaration) -> TableDeclaration:
    conditions = section.section("filter")
    collection = section.text("mongo_collection")
    if collection is not None and (not collection or "$" in collection):
        section.findings.problem(section.at("mongo_collection"), f"no collection can be named {quote(collection)}")
    return replace(
        common,
        mongo_collection=collection or common.name,
        columns=parse_columns(section),
        mappings=parse_mappings(section),
        filter=read_conditions(conditions) if conditions else (),
        incremental=section.choice("incremental", ("dates", "none")) or "dates",
        arrays=parse_arrays(section),
        on_duplicate_item=section.choice("on_duplicate_item", ("first", "last", "reject")),
        winner=section.texts("winner"),
    )


def _parse_matomo(section: Section, common: TableDeclaration) -> TableDeclaration:
    source_table = section.text("source_table") or ""
    if not source_table and "source_table" not in section:
        section.findings.problem(section.at("source_table"), "'source_table' must be the name of a table of Matomo")
    time_column = section.text("time_column")
    if time_column is None and "time_column" not in section.places:
        time_column = KNOWN_TIME_COLUMNS.get(source_table.removeprefix(DEFAULT_PREFIX))
    return replace(
        common,
        source_table=source_table or common.name,
        time_column=time_column,
        columns=parse_matomo_columns(section),
        matomo_columns=section.choice("matomo_columns", ("declared", "all")) or "declared",
        incremental="dates" if time_column else "key",
    )


def _limit(section: Section, key: str) -> Limit | None:
    value = section.scalar(key, limits.EXPECTED)
    if value is None:
        return None
    try:
        return Limit.parse(value)
    except ValueError as error:
        section.wrong(key, str(error), quote(f"{value}"))
        return None


def _duration(section: Section, key: str, default: timedelta) -> timedelta:
    expected = "a time such as 2h, 30m, 1d or a number of seconds"
    value = section.scalar(key, expected)
    if value is None:
        return default
    match = _DURATION.fullmatch(f"{value}") if not isinstance(value, bool) else None
    if match:
        try:
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
        except OverflowError:
            pass
    section.wrong(key, expected, quote(f"{value}"))
    return default
