"""What identifies an item of an array, so that its items can be rows."""

from dataclasses import dataclass

from smartdiet_assets.infer.column_types import are_rare, decide_type, describe_shares
from smartdiet_assets.infer.naming import build_singular, build_snake_case, find_path_fault, is_value
from smartdiet_assets.infer.observation import (
    DATE,
    INT,
    LONG,
    OBJECT,
    OBJECT_ID,
    STRING,
    UUID,
    Observed,
)  # fmt: skip
from smartdiet_assets.schema.model import ITEM_ITSELF
from smartdiet_assets.schema.reading import quote

#: An entry of an index holds the document's id and the item's key; see `transform.index_entries`.
_LONGEST_KEY = 400
#: Kinds that are equal exactly when their column values are.
_KEY_KINDS = frozenset({OBJECT_ID, STRING, INT, LONG, UUID, DATE})
_ALIKE = (
    "no field of the items is in each of them and tells those of one document apart; a table of them can have their"
    " place for a key, item_field: $position"
)
_TEXTS = frozenset({OBJECT_ID, STRING})


@dataclass(frozen=True, slots=True)
class ItemKey:
    """What identifies an item.

    Attributes:
        paths: as `item_field` takes them; empty where nothing does.
        field: the field of the item among them; "" where the item itself is the key.
        fault: what keeps the items from being rows; with paths, only a few of them.
        remarks: what is worth knowing about a key.
    """

    paths: tuple[str, ...]
    field: str = ""
    fault: str = ""
    remarks: tuple[str, ...] = ()


def find_item_key(path: str, array: Observed) -> ItemKey:
    """Find what identifies the items of the arrays seen at a path."""
    items = array.items
    assert items is not None, "there are items"
    kinds = set(items.kinds)
    if OBJECT not in kinds:
        return _judge_plain(array, items)
    fields = [name for name in items.fields if not find_path_fault(name) and not is_value(name)]
    bare = kinds - {OBJECT}
    documents = items.kinds[OBJECT]
    if bare and bare <= {OBJECT_ID, STRING}:
        fields = [name for name in fields if name != "_id" and set(items.fields[name].kinds) <= _TEXTS | {OBJECT}]
    elif bare:
        return ItemKey((), fault=f"the items are of mixed shape ({describe_shares(items.kinds)})")
    for strictly in (True, False):
        if found := [name for name in fields if _identifies(array, items, name, strictly=strictly)]:
            best = min(found, key=lambda name: _rank(path, name, items.fields[name]))
            return _build_key(items, best, bare, documents)
    if bare:
        return ItemKey((), fault=f"the items are of mixed shape ({describe_shares(items.kinds)})")
    return ItemKey((), fault=_ALIKE)


def _build_key(items: Observed, best: str, bare: set[str], documents: int) -> ItemKey:
    seen = items.fields[best]
    odd = documents - seen.count + sum(number for kind, number in seen.kinds.items() if kind not in _KEY_KINDS)
    fault = f"{odd:,} of {items.count:,} items have no {quote(best)} that can be a key" if odd else ""
    if not bare:
        return ItemKey((best,), best, fault)
    remark = f"{describe_shares(items.kinds)}: an item that is no document is taken for its {quote(best)}"
    return ItemKey((ITEM_ITSELF, best), best, fault, (remark,))


def _judge_plain(array: Observed, items: Observed) -> ItemKey:
    """Judge items that are no documents: they are rows where repeating one says nothing."""
    if set(items.kinds) - _KEY_KINDS or not decide_type(items, complete=False).sql_type:
        return ItemKey((), fault=f"the items are {describe_shares(items.kinds)}")
    if len(items.kinds) > 1 and set(items.kinds) - {OBJECT_ID, STRING} and set(items.kinds) != {INT, LONG}:
        return ItemKey((), fault=f"the items are of mixed kinds ({describe_shares(items.kinds)})")
    if items.text.longest > _LONGEST_KEY:
        return ItemKey((), fault="some items are too long to be in an index")
    if array.repeats and OBJECT_ID not in items.kinds:
        return ItemKey((), fault=f"{_arrays(array)} an item, which rows could not show")
    remarks = (f"{_arrays(array)} an item: one row",) if array.repeats else ()
    return ItemKey((ITEM_ITSELF,), remarks=remarks)


def _arrays(array: Observed) -> str:
    return "1 array repeats" if array.repeats == 1 else f"{array.repeats:,} arrays repeat"


def _identifies(array: Observed, items: Observed, name: str, *, strictly: bool) -> bool:
    """Whether a field is in all (or nearly all) items, of one kind that can be a key, and never the same in two."""
    seen, facts = items.fields[name], array.keys.get(name)
    if facts is None or facts.conflicts:
        return False
    kinds = set(seen.kinds) & _KEY_KINDS
    odd = items.kinds[OBJECT] - sum(seen.kinds[kind] for kind in kinds)
    if (odd if strictly else not are_rare(odd, items.kinds[OBJECT])) or seen.text.longest > _LONGEST_KEY:
        return False
    return bool(kinds) and (kinds <= _TEXTS or kinds <= {INT, LONG} or len(kinds) == 1)


def _rank(path: str, name: str, seen: Observed) -> tuple[bool, bool, bool, str]:
    """A reference named like the array is the best key, then other references, then the item's own id."""
    singular = build_singular(build_snake_case(path.rpartition(".")[2]))
    own = name in ("_id", "id")
    plain = build_snake_case(name).removesuffix("_id")
    similar = bool(plain) and not own and plain in singular
    return (not similar, OBJECT_ID not in seen.kinds, own, name)
