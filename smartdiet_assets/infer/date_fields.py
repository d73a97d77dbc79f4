"""By which dates a collection can be read, and whether its tables can have `created_at` and `updated_at`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smartdiet_assets.infer.column_types import describe_share, describe_shares
from smartdiet_assets.infer.naming import build_snake_case
from smartdiet_assets.infer.observation import DATE, FAR_DATE, OBJECT_ID, TIMESTAMP, Observed
from smartdiet_assets.schema.model import DOCUMENT_ID
from smartdiet_assets.schema.reading import quote

#: What the mirror takes where a file says nothing.
CREATED_FIELD, UPDATED_FIELD = "creation_date", "update_date"
_CREATED = (
    "creation_date", "created_at", "created", "created_on", "created_date", "create_date", "date_created",
    "creation_time", "created_time", "inserted_at", "date_creation",
)  # fmt: skip
_UPDATED = (
    "update_date", "updated_at", "updated", "updated_on", "updated_date", "date_updated", "last_update",
    "last_updated", "last_updated_at", "modified_at", "modified", "modified_on", "modification_date", "last_modified",
    "last_modified_at", "date_modified", "update_time",
)  # fmt: skip
#: A field that fewer documents have says nothing about the others.
_USABLE = 0.5


@dataclass(frozen=True, slots=True)
class DateFields:
    """How a collection is read.

    Attributes:
        created, updated: the fields; "" where none was found.
        incremental: `dates`, or `none` where a change would not be seen.
        base: whether every document seen gives both dates, so that the columns can be NOT NULL.
        dated: whether any document gives one, so that there are such columns at all.
    """

    created: str
    updated: str
    incremental: str
    base: bool
    dated: bool
    remarks: tuple[str, ...] = ()


def find_date_fields(root: Observed) -> DateFields:
    """Choose the dates of a collection; `root` has seen whole documents."""
    total = root.count
    created, updated = _choose(root, _CREATED), _choose(root, _UPDATED)
    identity = root.fields.get(DOCUMENT_ID)
    in_ids = identity is not None and identity.kinds[OBJECT_ID] == total and not identity.nulls
    remarks = []
    for field in filter(None, (created, updated)):
        dated = _count_dates(root.fields[field])
        if dated < total:
            instead = "the time in the ObjectId stands in" if in_ids else "the others have none"
            remarks.append(f"{quote(field)} is a date in {describe_share(dated, total)} of the documents; {instead}")
    remarks += _describe_no_dates(root, created, updated)
    if updated and _count_bson_dates(root.fields[updated]) >= _USABLE * total:
        incremental = "dates"
    elif updated:
        incremental = "none"
        remarks.append(
            f"{quote(updated)} is mostly no Date, by which changes are found, so everything is read each time"
        )
    elif created:
        incremental = "none"
        remarks.append(
            f"no date of the last change was found, so everything is read each time; where documents are never changed"
            f" after {quote(created)}, remove `incremental: none`"
        )
    else:
        incremental = "none"
        stands = "; created_at and updated_at are the time in the ObjectId" if in_ids else ""
        remarks.append(f"no dates were found, so everything is read each time{stands}")
    return DateFields(
        created,
        updated,
        incremental,
        base=_gives_all(root, created, updated, in_ids),
        dated=bool(created or updated or in_ids),
        remarks=tuple(remarks),
    )


def _choose(root: Observed, names: Sequence[str]) -> str:
    """The usable field whose name comes first in the list."""
    usable = (field for field in _list_named(root, names) if _count_dates(root.fields[field]) >= _USABLE * root.count)
    return next(usable, "")


def _list_named(root: Observed, names: Sequence[str]) -> list[str]:
    """List the fields that have one of some names, in the order of the names."""
    plain = [field for field in root.fields if "." not in field and not field.startswith("$")]
    named = {field: build_snake_case(field) for field in plain}
    return sorted(
        (field for field, name in named.items() if name in names), key=lambda field: names.index(named[field])
    )


def _count_dates(seen: Observed) -> int:
    """Count what a column takes for a date."""
    return seen.kinds[DATE] + seen.kinds[TIMESTAMP]


def _count_bson_dates(seen: Observed) -> int:
    """Count what a run finds by its date."""
    return seen.kinds[DATE] + seen.kinds[FAR_DATE]


def _describe_no_dates(root: Observed, created: str, updated: str) -> Iterator[str]:
    """Describe what is no Date in the chosen fields, or in the one whose name says that it should be chosen."""
    for chosen, names in ((created, _CREATED), (updated, _UPDATED)):
        field = chosen or next((field for field in _list_named(root, names) if root.fields[field].count), "")
        if not field:
            continue
        seen = root.fields[field]
        odd = Counter({kind: count for kind, count in seen.kinds.items() if kind not in (DATE, FAR_DATE)})
        if odd:
            yield (
                f"{quote(field)} is no Date in {odd.total():,} of {root.count:,} documents"
                f" ({describe_shares(odd)}): every run reads those again; make them Dates"
            )


def _gives_all(root: Observed, created: str, updated: str, in_ids: bool) -> bool:
    """Whether each document has a path to a date for either column, and none that leads to something else."""
    fields = [root.fields[name] for name in (created or CREATED_FIELD, updated or UPDATED_FIELD) if name in root.fields]
    if any(seen.count > _count_dates(seen) for seen in fields):
        return False
    return in_ids or bool(created and _count_dates(root.fields[created]) == root.count)
