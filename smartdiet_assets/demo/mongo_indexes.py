"""What MongoDB's planner does and SecantusDB's does not: following indexes for `$type` and the branches of an `$or`.

Here: teaching it to the embedded server, in whose process alone this runs; without it a run that looks for dates that
are no dates would read every document. Only candidates come from here: the server compares each of them with the whole
condition, as it does with its own. The release of SecantusDB is pinned, for these are its internals.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bson.dbref import DBRef

from smartdiet_assets.schema.documents import Document

#: How an index entry begins, by the alias of a type.
_RANKS = {
    "minKey": 1, "null": 2, "number": 3, "double": 3, "int": 3, "long": 3, "decimal": 3, "string": 4,
    "symbol": 4, "object": 5, "dbPointer": 5, "binData": 7, "objectId": 8, "bool": 9, "date": 10, "timestamp": 11,
    "regex": 12, "javascript": 13, "javascriptWithScope": 13, "maxKey": 14,
}  # fmt: skip
Lookup = Callable[..., list[int] | None]


def follow_more_indexes() -> None:
    """Let every server of this process follow indexes where MongoDB would."""
    from secantus import query  # only here: the demo extra
    from secantus.storage import Storage

    lookup: Lookup = Storage._try_index_id_keys

    def look_up(
        storage: object, db: str, collection: str, condition: Document, *, collation: object = None
    ) -> list[int] | None:
        [(field, clause), *others] = [*condition.items()] or [("", None)]
        if field == "$or" and not others:
            branches = [look_up(storage, db, collection, branch, collation=collation) for branch in clause]
            return _unite(branches)
        if not others and isinstance(clause, Mapping) and set(clause) == {"$type"}:
            return _look_up_types(storage, db, collection, field, clause["$type"], collation)
        return lookup(storage, db, collection, condition, collation=collation)

    Storage._try_index_id_keys = look_up
    # A reference is a document like any other; the server compares it as what its driver makes of it.
    query._TYPE_PREDS |= dict.fromkeys(("object", 3), lambda value: isinstance(value, dict | DBRef))


def _look_up_types(
    storage: Any, db: str, collection: str, field: str, types: object, collation: Any
) -> list[int] | None:
    """Look the values of some types up in the field's own index; None where there is no such index, or type."""
    # What is undefined, this server keeps as null.
    wanted: list[Any] = [alias for alias in (types if isinstance(types, list) else [types]) if alias != "undefined"]
    found = storage._find_leading_field_index(db, collection, field, {field: {"$type": types}}, collation=collation)
    if found is None or not all(isinstance(alias, str) and alias in _RANKS for alias in wanted):
        return None
    name, direction, is_compound = found
    scan = storage._range_scan_index_leading if is_compound else storage._range_scan_index
    ranks = sorted({_RANKS[alias] for alias in wanted})
    # Neighbours are one range.
    starts = [rank for rank in ranks if rank - 1 not in ranks]
    ends = [rank + 1 for rank in ranks if rank + 1 not in ranks]
    recordids = []
    for start, end in zip(starts, ends, strict=True):
        # In a descending index every byte is inverted.
        low, high = (start, end) if direction == 1 else (0x100 - end, 0x100 - start)
        recordids.append(scan(db, collection, name, bytes([low]), True, bytes([high]), False))
    return _unite(recordids)


def _unite(branches: Iterable[list[int] | None]) -> list[int] | None:
    """Unite what branches found; one that no index serves makes all of it a scan."""
    united: dict[int, None] = {}
    for found in branches:
        if found is None:
            return None
        united.update(dict.fromkeys(found))
    return list(united)
