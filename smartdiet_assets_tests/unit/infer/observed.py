"""What the tests of inferring share: observing values and planning documents. Not here: tests."""

from typing import Any

from smartdiet_assets.infer.composing import compose_entry
from smartdiet_assets.infer.observation import Limits, Observed, observe_document
from smartdiet_assets.infer.plan import Plan, PlannedColumn
from smartdiet_assets.infer.planning import Subject, build_plan, build_table_name
from smartdiet_assets.infer.references import Reference


def observe_values(*values: Any) -> Observed:
    """Observe values at one path."""
    seen = Observed(Limits())
    for value in values:
        seen.add(value)
    return seen


def observe_documents(documents: list[dict[str, Any]]) -> Observed:
    """Observe whole documents."""
    root = Observed(Limits())
    for document in documents:
        observe_document(root, document)
    return root


def plan(documents: list[dict[str, Any]], collection: str = "things", **more: Any) -> Plan:
    """Plan a collection of these documents, all of them seen unless `total` says that there are more."""
    total = more.pop("total", len(documents))
    references: dict[str, Reference] = more.pop("references", {})
    tables = more.pop("tables", ())
    subject = Subject(collection, build_table_name(collection), tables, len(documents), total, **more)
    return build_plan(observe_documents(documents), subject, references)


def column(planned: Plan, path: str) -> PlannedColumn:
    """The column of the main table that is fed by a path."""
    return next(column for column in planned.main.columns if column.paths == (path,))


def entry(documents: list[dict[str, Any]], collection: str = "things", **more: Any) -> str:
    """The YAML of a collection of these documents."""
    return compose_entry(plan(documents, collection, **more), indent=0)
