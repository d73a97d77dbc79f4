"""Drift: what the documents of a collection have and no table declares, and the other way about. Pure.

Here: judging the fields that were seen by what is declared now, and saying it in words. Not here: what is declared
(`schema.fields`), looking at documents (`transform.fields`), keeping what was seen (`load.records.fields`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from smartdiet_assets.schema.fields import ITEMS, DeclaredField, build_declared, list_paths, spell_path
from smartdiet_assets.schema.model import Schema, Table

#: Documents that were looked at before it means anything that none has a field.
ENOUGH_DOCUMENTS = 100
#: The share of documents below which a field, or a type of it, is rare.
RARE = 0.01
#: How often a type is met before it is told of: of few documents, one is a large share.
_ENOUGH_TIMES = 5
#: MongoDB's name for what a number may be, whatever it fits.
_NUMBERS = frozenset({"int", "long", "double", "decimal"})
_LISTED = 10


@dataclass(frozen=True, slots=True)
class SeenField:
    """A field that documents have, with one BSON type.

    Attributes:
        path: spelled as `schema.fields` does.
        times: in how many documents, or items of arrays, one run saw it.
        looked_at: how many documents that run looked at for it.
    """

    path: str
    bson_type: str
    times: int
    looked_at: int


@dataclass(frozen=True, slots=True)
class RecordedField(SeenField):
    """The same as the records keep it; the counts are those of the run that saw it last.

    Attributes:
        first_run_id: the run that saw it first; a later one that looked at all documents counts as that.
    """

    first_seen: datetime
    last_seen: datetime
    first_run_id: str | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Drift:
    """How documents and declaration of a collection differ.

    Attributes:
        undeclared: fields that no table declares and nobody ignores; of nested ones the innermost.
        changed: declared fields with a type that came after others.
        missing: paths of columns that no document looked at had.
    """

    undeclared: tuple[SeenField, ...] = ()
    changed: tuple[RecordedField, ...] = ()
    missing: tuple[str, ...] = ()


def find_undeclared(
    declared: DeclaredField, seen: Iterable[SeenField], *, innermost: bool = True
) -> tuple[SeenField, ...]:
    """Find the fields that are not declared, of nested ones the innermost alone or all."""
    known, whole = _list_known(declared)
    found = [field for field in seen if not _is_known(field.path, known, whole)]
    if not innermost:
        return tuple(found)
    outer = {prefix for field in found for prefix in _list_prefixes(field.path)}
    return tuple(field for field in found if field.path not in outer)


def find_drift(schema: Schema, collection: str, records: Sequence[RecordedField]) -> Drift:
    """Find how the fields of a collection that were recorded differ from what its tables declare now."""
    tables = list_tables(schema, collection)
    ignored, declared = DeclaredField(), build_declared(tables)
    ignored.ignore(schema.rules_of(collection).ignored_fields)
    silent, known = _list_known(ignored, leading=False), _list_known(declared)
    heard = [field for field in records if not _is_known(field.path, *silent)]
    missing = [path for path in _list_missing(tables, records) if not _is_known(path, *silent)]
    changed = _list_changed([field for field in heard if _strip(field.path) in known[0]])
    return Drift(find_undeclared(declared, heard), tuple(changed), tuple(missing))


def list_tables(schema: Schema, collection: str) -> list[Table]:
    """List the tables of a collection, parents before children."""
    return [table for table in schema.tables.values() if table.mongo_collection == collection]


def describe_drift(collection: str, drift: Drift) -> list[str]:
    """Describe in sentences what to know of a collection, and what to do; none where there is nothing to do."""
    sentences = []
    if drift.undeclared:
        number = len({field.path for field in drift.undeclared})
        fields = "1 field" if number == 1 else f"{number:,} fields"
        sentences.append(
            f"Documents of {collection} have {fields} that no table declares: {list_fields(drift.undeclared)}. Declare"
            f" what you need (`{compose_advice(collection, drift.undeclared)}` writes it into the YAML), and list the"
            " rest under ignored_fields."
        )
    if drift.changed:
        sentences.append(
            f"Documents of {collection} have a type that was not seen before in {list_fields(drift.changed)}."
            " See whether the columns take it (`smartdiet rejects`), and list fields that may stay so under"
            " ignored_fields."
        )
    return sentences


def compose_advice(collection: str, undeclared: Iterable[SeenField]) -> str:
    """Compose the command that declares fields: a sample of the documents may not have those that are rare."""
    rare = any(field.times < RARE * field.looked_at for field in undeclared)
    return f"smartdiet infer {collection} --update{' --all' * rare}"


def list_fields(fields: Iterable[SeenField]) -> str:
    """List fields for a sentence, each once with its types: `nickname (string), lines[].sku (int or string)`."""
    types: dict[str, list[str]] = {}
    for field in fields:
        types.setdefault(field.path, []).append(field.bson_type)
    told = [f"{path} ({' or '.join(kinds)})" for path, kinds in types.items()]
    more = f" and {len(told) - _LISTED:,} more" if len(told) > _LISTED else ""
    return ", ".join(told[:_LISTED]) + more


def _list_changed(records: Sequence[RecordedField]) -> Iterator[RecordedField]:
    """List the lines of types that a field did not have when it was first seen, or when all were last looked at.

    Null is no type of its own. What is rare may have been there: types are looked at in a sample.
    """
    by_path: dict[str, list[RecordedField]] = {}
    for record in records:
        if record.bson_type != "null":
            by_path.setdefault(record.path, []).append(record)
    for lines in by_path.values():
        first = min(lines, key=lambda line: line.first_seen)
        kinds = {_kind_of(line) for line in lines if line.first_run_id == first.first_run_id}
        later = [line for line in lines if _kind_of(line) not in kinds]
        yield from (line for line in later if line.times >= max(_ENOUGH_TIMES, RARE * line.looked_at))


def _kind_of(field: SeenField) -> str:
    return "number" if field.bson_type in _NUMBERS else field.bson_type


def _list_missing(tables: Sequence[Table], records: Sequence[RecordedField]) -> Iterator[str]:
    """List the paths of columns that are never there: of a column's paths the first, where all of them are missing."""
    if max((record.looked_at for record in records), default=0) < ENOUGH_DOCUMENTS:
        return
    seen = {_strip(record.path) for record in records}
    for table in tables:
        for column in table.stored_columns:
            paths = [_spell(path) for path in list_paths(table, column)]
            if paths and not seen.intersection(paths):
                yield paths[0]


def _spell(path: str) -> str:
    spelled = ""
    for name in path.split("."):
        if not name.isdecimal():
            spelled = spell_path(spelled, name)
    return spelled or path


def _list_known(declared: DeclaredField, *, leading: bool = True) -> tuple[set[str], tuple[str, ...]]:
    """List the paths that are known, and what begins those that are known with all below.

    Args:
        leading: whether what leads to a known path is known too.
    """
    paths = dict(declared.list_paths())
    whole = tuple(f"{path}." for path, field in paths.items() if field.whole)
    return {path for path, field in paths.items() if leading or field.whole}, whole


def _is_known(path: str, known: set[str], whole: tuple[str, ...]) -> bool:
    path = _strip(path)
    return path in known or path.startswith(whole)


def _strip(path: str) -> str:
    """Leave the signs of items out, as `mongo_field` does; a name is spelled without any."""
    return path.replace(ITEMS, "")


def _list_prefixes(path: str) -> Iterator[str]:
    """List the paths that a path goes through."""
    for place, letter in enumerate(path):
        if letter == "." or path.startswith(ITEMS, place):
            yield path[:place]
