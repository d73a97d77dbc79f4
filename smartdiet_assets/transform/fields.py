"""Which fields documents have, counted by path and BSON type: names and numbers, never a value.

Names are found in every document that comes by, which costs a few percent of turning it into rows: the names of a batch
are put together by one call, and only where one is not declared are its values gone through. The types of declared
fields are counted in some of the documents. Nothing is looked for below a field that takes documents whole.

What documents hold may be anything: names that are ids stand together as `*`, as do those of a document or array that
has more than `MOST_NAMES`, and what is nested deeper than a path may be long is not gone into.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from smartdiet_assets.schema.drift import SeenField
from smartdiet_assets.schema.fields import ANY_NAME, ITEMS, DeclaredField, build_declared, spell_path
from smartdiet_assets.schema.model import Table
from smartdiet_assets.transform.filters import build_condition
from smartdiet_assets.transform.rejection import name_bson_type

#: Undeclared names that are told apart: beside one another, and in all.
MOST_NAMES = 50
MOST_PATHS = 500
_LONGEST_PATH = 400
#: Ids and dates: hexadecimal digits as of an ObjectId, a UUID, a number, an address, a day.
_ID = re.compile(
    r"[0-9a-f]{16,}|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[-+]?\d+|.+@.+|\d{4}-\d\d.*", re.IGNORECASE | re.DOTALL
)

Document = Mapping[str, object]
Seen = Counter[tuple[str, type]]


class FieldObserver:
    """Counts what the documents of one collection have, over any number of batches.

    A document that the filters of all the collection's tables leave out does not count.

    Attributes:
        declared: what the tables declare.
    """

    def __init__(self, tables: Sequence[Table], ignored: Iterable[str] = ()) -> None:
        self.declared = build_declared(tables, ignored)
        self._conditions = [[build_condition(condition) for condition in table.filter] for table in tables]
        self._documents = self._sampled = 0
        self._unknown: Seen = Counter()
        self._types: Seen = Counter()
        self._present: set[str] = set()
        self._names: dict[str, dict[str, str]] = {}
        self._crowded: set[str] = set()
        self._told = 0

    def look(self, documents: Sequence[Document], sample: slice) -> None:
        """Look for undeclared names in documents, and at the types of the declared fields in a sample of them."""
        sampled = documents[sample]
        if all(self._conditions):
            sampled, documents = self._filter(sampled), self._filter(documents)
        self._documents += len(documents)
        self._sampled += len(sampled)
        self._find_names("", self.declared, documents)
        self._count_types("", self.declared, sampled)

    def list_seen(self) -> list[SeenField]:
        """List what was seen, by path and type."""
        seen: dict[tuple[str, str], SeenField] = {}
        for counts, looked_at in ((self._types, self._sampled), (self._unknown, self._documents)):
            for (path, kind), times in counts.items():
                key = self._merge_crowded(path), name_bson_type(kind)
                before = seen[key].times if key in seen else 0
                seen[key] = SeenField(*key, before + times, looked_at)
        return [seen[key] for key in sorted(seen)]

    def list_present(self) -> list[str]:
        """List the declared fields that any document had, sampled or not."""
        return sorted(self._present)

    def _filter(self, documents: Sequence[Document]) -> list[Document]:
        return [
            document
            for document in documents
            if any(all(test(document) for test in conditions) for conditions in self._conditions)
        ]

    def _find_names(self, path: str, declared: DeclaredField, documents: Sequence[Document]) -> None:
        if not documents:
            return
        names = set().union(*documents)
        unknown = names.difference(declared.inner)
        if unknown:
            self._note_unknown(self._unknown, path, _group(documents, unknown))
        for name, inner in declared.inner.items():
            if name in names:
                below = spell_path(path, name)
                self._present.add(below)
                if inner.inner and not inner.whole:
                    self._find_below(below, inner, [document[name] for document in documents if name in document])

    def _find_below(self, path: str, declared: DeclaredField, values: Sequence[object]) -> None:
        """Look in the documents that are values, or items of values."""
        self._find_names(path, declared, [value for value in values if type(value) is dict])
        if items := [item for value in values if type(value) is list for item in value]:
            self._find_below(path + ITEMS, declared, items)

    def _count_types(self, path: str, declared: DeclaredField, documents: Sequence[Document]) -> None:
        for name, inner in declared.inner.items():
            if values := [document[name] for document in documents if name in document]:
                self._count_values(spell_path(path, name), inner, values)

    def _count_values(self, path: str, declared: DeclaredField, values: Sequence[object]) -> None:
        _count(self._types, path, values)
        if declared.whole:
            return
        if documents := [value for value in values if type(value) is dict]:
            if declared.inner:
                self._count_types(path, declared, documents)
            else:
                # Its columns take no documents, so what is in these was not looked for by name.
                self._note_unknown(self._types, path, _group(documents))
        if items := [item for value in values if type(value) is list for item in value]:
            self._count_values(path + ITEMS, declared, items)

    def _note_unknown(self, counts: Seen, path: str, values: Mapping[str, Sequence[object]]) -> None:
        """Note undeclared fields by their names, with all that is below them."""
        for name, group in self._place(path, values).items():
            self._note_values(counts, name, group)

    def _note_values(self, counts: Seen, path: str, values: Sequence[object]) -> None:
        if len(path) > _LONGEST_PATH:
            return
        _count(counts, path, values)
        if documents := [value for value in values if type(value) is dict]:
            self._note_unknown(counts, path, _group(documents))
        if items := [item for value in values if type(value) is list for item in value]:
            self._note_values(counts, path + ITEMS, items)

    def _place(self, path: str, values: Mapping[str, Sequence[object]]) -> dict[str, list[object]]:
        """Put values under the paths of their fields; what is told apart by nobody under one."""
        known = self._names.setdefault(path, {})
        placed: dict[str, list[object]] = {}
        for name, group in values.items():
            place = known.get(name)
            if place is None:
                if len(known) == MOST_NAMES:
                    self._crowded.add(path)
                if len(known) == MOST_NAMES or self._told == MOST_PATHS or _ID.fullmatch(name):
                    place = _place_any(path)
                else:
                    place = known[name] = spell_path(path, name)
                    self._told += 1
            placed.setdefault(place, []).extend(group)
        return placed

    def _merge_crowded(self, path: str) -> str:
        """Give the path under which a field counts in the end: of a crowded place, no name is told."""
        for crowded in sorted(self._crowded):
            for place in self._names[crowded].values():
                if path == place or path.startswith((f"{place}.", place + ITEMS)):
                    path = _place_any(crowded) + path[len(place) :]
                    break
        return path


def _place_any(path: str) -> str:
    return f"{path}.{ANY_NAME}" if path else ANY_NAME


def _count(counts: Seen, path: str, values: Iterable[object]) -> None:
    for kind, times in Counter(map(type, values)).items():
        counts[path, kind] += times


def _group(documents: Sequence[Document], names: set[str] | None = None) -> dict[str, list[object]]:
    """Group values of documents by their names, all or some."""
    groups: dict[str, list[object]] = {}
    for document in documents:
        for name in document if names is None else names.intersection(document):
            groups.setdefault(name, []).append(document[name])
    return groups
