"""What documents hold: for each path the kinds of its values, their extremes, what is below them, and samples of ids.

Its size is bounded by the number of fields, not of documents: it is flat over a whole collection.
"""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bson.binary import UUID_SUBTYPE, Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from smartdiet_assets.infer.facts import ZONES, DateFacts, NumberFacts, TextFacts
from smartdiet_assets.transform.text import is_valid_unicode

#: Kinds of values, in MongoDB's words; `uuid` is a binData of that form, `far date` one beyond Python's years, and
#: `other` whatever only JSON can show.
OBJECT_ID, STRING, INT, LONG, DOUBLE, DECIMAL, BOOL = "objectId", "string", "int", "long", "double", "decimal", "bool"
DATE, FAR_DATE, TIMESTAMP, UUID, BINARY = "date", "far date", "timestamp", "uuid", "binData"
OBJECT, ARRAY, OTHER = "object", "array", "other"
#: Beyond so many different names at one place, they are no fields but keys.
MOST_FIELDS = 300
#: Fields of an item that are looked at as what may identify it.
_MOST_KEYS = 30
#: MongoDB allows 100 levels; below these, JSON shows the rest.
_DEEPEST = 8
_SIMPLE: dict[type, str] = {
    str: STRING, int: INT, Int64: LONG, float: DOUBLE, Decimal128: DECIMAL, bool: BOOL, datetime: DATE,
    DatetimeMS: FAR_DATE, ObjectId: OBJECT_ID, dict: OBJECT, list: ARRAY, bytes: BINARY, Timestamp: TIMESTAMP,
}  # fmt: skip
_UUID_BYTES = 16
_LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept while observing: different ids of one path, and the zones to look for midnights in.

    `item_ids` is for the items of arrays: only where each of them is known to be found, a foreign key rejects none.
    """

    ids: int = 1_000
    item_ids: int = 1_000
    zones: tuple[str, ...] = ZONES


@dataclass(slots=True)
class KeyFacts:
    """Whether a field of an array's items tells them apart.

    `present` counts items with a value; `conflicts` arrays in which two different items have the same one.
    """

    present: int = 0
    conflicts: int = 0


@dataclass(slots=True)
class Observed:
    """What was seen at one path; `nulls` counts null, `kinds` everything else.

    Attributes:
        ids: different values that may refer to a document, by their text; at most `Limits.ids`.
        ids_dropped: whether there were more.
        fields: what is in the documents here, by name.
        crowded: whether names beyond `MOST_FIELDS` were left out.
        items: what the arrays here hold.
        repeats: arrays that hold an equal item twice.
        keys: by field of the items; only first-level fields.
    """

    limits: Limits
    level: int = 0
    nulls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    text: TextFacts = field(default_factory=TextFacts)
    numbers: NumberFacts = field(default_factory=NumberFacts)
    dates: DateFacts = field(default_factory=DateFacts)
    ids: dict[str, object] = field(default_factory=dict)
    ids_dropped: bool = False
    fields: dict[str, "Observed"] = field(default_factory=dict)
    crowded: bool = False
    items: "Observed | None" = None
    repeats: int = 0
    keys: dict[str, KeyFacts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dates.zones = self.limits.zones

    @property
    def count(self) -> int:
        """Values other than null."""
        return self.kinds.total()

    def add(self, value: Any) -> None:
        """Note a value."""
        if value is None:
            self.nulls += 1
            return
        kind = name_kind(value)
        self.kinds[kind] += 1
        if kind == STRING:
            self.text.add(value)
            # What no column can hold refers to nothing, and neither server can be asked for it.
            if len(value) <= _LONGEST_ID and "\0" not in value and is_valid_unicode(value):
                self._keep_id(value, value)
        elif kind in (OBJECT_ID, UUID):
            self._keep_id(spell_id(value), value)
        elif kind in (INT, LONG):
            self.numbers.add_integer(value)
        elif kind == DOUBLE:
            self.numbers.add_double(value)
        elif kind == DECIMAL:
            self.numbers.add_decimal(value)
        elif kind == DATE:
            self.dates.add(value)
        elif kind == FAR_DATE:
            self.dates.out_of_range += 1
        elif self.level < _DEEPEST:
            if kind == OBJECT:
                self.add_fields(value)
            elif kind == ARRAY:
                self._add_items(value)

    def add_fields(self, document: Mapping[str, Any]) -> None:
        """Note the fields of a document."""
        for name, value in document.items():
            found = self.fields.get(name)
            if found is None:
                if len(self.fields) >= MOST_FIELDS:
                    self.crowded = True
                    continue
                found = self.fields[name] = Observed(self.limits, self.level + 1)
            found.add(value)

    def _keep_id(self, text: str, value: object) -> None:
        if text in self.ids:
            return
        if len(self.ids) < self.limits.ids:
            self.ids[text] = value
        else:
            self.ids_dropped = True

    def _add_items(self, array: list[Any]) -> None:
        if self.items is None:
            self.items = Observed(replace(self.limits, ids=self.limits.item_ids), self.level + 1)
        for item in array:
            self.items.add(item)
        if len(array) > 1 and _has_repeats(array):
            self.repeats += 1
        self._add_keys([item for item in array if item is not None])

    def _add_keys(self, items: list[Any]) -> None:
        """Note of each field whether its values tell the items apart; an item that is no document stands for itself."""
        if not any(type(item) is dict for item in items):
            return
        for name in dict.fromkeys(name for item in items if type(item) is dict for name in item):
            facts = self.keys.get(name)
            if facts is None:
                if len(self.keys) >= _MOST_KEYS:
                    continue
                facts = self.keys[name] = KeyFacts()
            seen: dict[str, Any] = {}
            conflict = False
            for item in items:
                is_document = type(item) is dict
                value = item.get(name) if is_document else item
                if value is None:
                    continue
                facts.present += is_document
                conflict = conflict or seen.setdefault(_spell(value), item) != item
            facts.conflicts += conflict


def count_singles_as_items(seen: Observed) -> Observed:
    """Take values beside arrays for arrays of one, as the mirror does; only for texts and ids among such items."""
    items = seen.items
    assert items is not None, "there are arrays"
    singles = Counter({kind: number for kind, number in seen.kinds.items() if kind != ARRAY})
    text = TextFacts(
        items.text.count + seen.text.count,
        max(items.text.longest, seen.text.longest),
        items.text.nul + seen.text.nul,
        items.text.broken + seen.text.broken,
    )
    both = replace(items, kinds=items.kinds + singles, text=text)
    return replace(seen, kinds=Counter({ARRAY: seen.count}), items=both)


def observe_document(root: Observed, document: Mapping[str, Any]) -> None:
    """Note one document of a collection; the root's `kinds` counts them."""
    root.kinds[OBJECT] += 1
    root.add_fields(document)


def spell_id(value: object) -> str:
    """Spell an id as its column will hold it."""
    return str(uuid.UUID(bytes=bytes(value))) if isinstance(value, Binary) else str(value)


def name_kind(value: Any) -> str:
    """Name the kind of a value other than null."""
    kind = _SIMPLE.get(type(value))
    if kind is None:
        if type(value) is Binary:
            return UUID if value.subtype in (3, UUID_SUBTYPE) and len(value) == _UUID_BYTES else BINARY
        return OTHER
    return kind


def _has_repeats(array: list[Any]) -> bool:
    seen = [_spell(item) for item in array if item is not None]
    return len(set(seen)) < len(seen)


def _spell(value: Any) -> str:
    """Spell a value so that equal column values are equal: an id is the same as its text."""
    return value if type(value) is str else str(value) if type(value) is ObjectId else repr(value)
