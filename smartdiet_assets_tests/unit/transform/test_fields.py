"""Fields that nobody declared are found by path and type, with their numbers, and nothing declared is among them."""

from collections import Counter
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.schema.drift import SeenField, find_undeclared
from smartdiet_assets.schema.fields import DeclaredField, build_declared, spell_path
from smartdiet_assets.schema.model import Table
from smartdiet_assets.transform.fields import MOST_PATHS, FieldObserver
from smartdiet_assets.transform.rejection import bson_type_name
from smartdiet_assets_tests.support.tables import column, condition, entity, users_targets
from smartdiet_assets_tests.unit.transform.test_random_documents import scalars

Document = dict[str, Any]
DECLARED = ("a", "b", "é", "1", "two words", "__v")
PLANTED = ("nickname", "nick.name", "new\nline", "lines[]", "*", "é\\", "\u2028", "Email", "$x", "")
ALL = slice(None)

paths = st.lists(st.lists(st.sampled_from(DECLARED), min_size=1, max_size=3).map(".".join), min_size=1, max_size=5)
planted_values = st.recursive(
    scalars.filter(lambda value: not isinstance(value, bson.DBRef)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PLANTED), inner, max_size=3),
    max_leaves=5,
)


def build_table(declared: list[str]) -> Table:
    return entity(*(column(f"c{number}", "VARCHAR", path) for number, path in enumerate(declared)))


class Writer:
    """Writes documents of the declared form, and keeps each document in them with its path."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.places: list[tuple[str, Document]] = []

    def write(self, path: str, declared: DeclaredField) -> Document:
        document: Document = {}
        self.places.append((path, document))
        for name, inner in declared.inner.items():
            if name == "_id" or not self.draw(st.integers(0, 3)):
                continue
            below = spell_path(path, name)
            form = self.draw(st.integers(0, 2)) if inner.inner else 3
            if form == 0:
                document[name] = self.write(below, inner)
            elif form == 1:
                document[name] = [self.write(f"{below}[]", inner) for _ in range(self.draw(st.integers(0, 2)))]
            else:
                document[name] = self.draw(scalars | st.lists(scalars, max_size=2))
        return document


def tell(found: Counter[tuple[str, str]], path: str, value: Any) -> None:
    """Count what is planted, by another way than the product: value by value."""
    found[path, bson_type_name(value)] += 1
    if type(value) is dict:
        for name, inner in value.items():
            tell(found, spell_path(path, name), inner)
    elif type(value) is list:
        for item in value:
            tell(found, f"{path}[]", item)


@st.composite
def drifted(draw: st.DrawFn) -> tuple[Table, list[Document], Counter[tuple[str, str]]]:
    """A table, documents of its collection, and what was planted in them."""
    table = build_table(draw(paths))
    writer = Writer(draw)
    documents = [writer.write("", build_declared([table])) for _ in range(draw(st.integers(1, 6)))]
    found: Counter[tuple[str, str]] = Counter()
    for _ in range(draw(st.integers(0, 6))):
        path, place = draw(st.sampled_from(writer.places))
        name, value = draw(st.sampled_from(PLANTED)), draw(planted_values)
        if name not in place:
            place[name] = value
            tell(found, spell_path(path, name), value)
    return table, documents, found


def observe(documents: list[Document], *tables: Table, ignored: tuple[str, ...] = ()) -> list[SeenField]:
    observer = FieldObserver(tables, ignored)
    observer.look(documents, ALL)
    return list(find_undeclared(observer.declared, observer.list_seen(), innermost=False))


def paths_of(fields: list[SeenField]) -> dict[str, int]:
    return {field.path: field.times for field in fields}


@given(drifted(), st.integers(0, 6))
@settings(max_examples=150)
def test_what_was_planted_is_found_and_nothing_else(
    made: tuple[Table, list[Document], Counter[tuple[str, str]]], cut: int
) -> None:
    table, documents, planted = made
    observer = FieldObserver([table])
    observer.look(documents[:cut], ALL)
    observer.look(documents[cut:], ALL)
    found = find_undeclared(observer.declared, observer.list_seen(), innermost=False)
    assert {(field.path, field.bson_type): field.times for field in found} == planted
    assert {field.looked_at for field in found} <= {len(documents)}
    for field in observer.list_seen():
        assert field.path.isprintable()


def test_types_of_declared_fields_are_counted() -> None:
    documents = [{"_id": 1, "a": "x"}, {"_id": 2, "a": 5}, {"_id": Int64(3), "a": None}, {"_id": 4}]
    observer = FieldObserver([build_table(["a"])])
    observer.look(documents, ALL)
    assert [(seen.path, seen.bson_type, seen.times, seen.looked_at) for seen in observer.list_seen()] == [
        ("_id", "int", 3, 4),
        ("_id", "long", 1, 4),
        ("a", "int", 1, 4),
        ("a", "null", 1, 4),
        ("a", "string", 1, 4),
    ]


def test_names_are_found_in_all_documents_and_types_in_the_sample() -> None:
    documents = [{"_id": number, "a": "x", **({"rare": 1} if number == 7 else {})} for number in range(10)]
    observer = FieldObserver([build_table(["a"])])
    observer.look(documents, slice(0, None, 5))
    assert {(seen.path, seen.times, seen.looked_at) for seen in observer.list_seen()} == {
        ("_id", 2, 2),
        ("a", 2, 2),
        ("rare", 1, 10),
    }
    assert observer.list_present() == ["_id", "a"]


def test_tables_of_a_collection_declare_together() -> None:
    document = {
        "_id": 1, "a": 1, "creation_date": None, "targets": [{"target": ObjectId(), "note": "n"}, "t"],
        "health_targets": "t", "b": 2,
    }  # fmt: skip
    found = observe([document], build_table(["a"]), users_targets())
    assert paths_of(found) == {"b": 1, "targets[].note": 1}


def test_what_takes_documents_takes_all_below() -> None:
    table = entity(column("meta", "JSONB", "meta"), column("part", "VARCHAR", "_id.user"))
    assert observe([{"_id": {"user": 1, "day": 2}, "meta": {"any": [{"thing": 1}]}}], table) == []


def test_a_document_in_place_of_a_value_shows_its_fields() -> None:
    assert paths_of(observe([{"_id": 1, "a": {"b": 1}}], build_table(["a"]))) == {"a.b": 1}


def test_a_number_in_a_path_is_the_place_of_an_item() -> None:
    table = build_table(["loc.coordinates.0", "tags.1.name"])
    documents = [{"loc": {"coordinates": [1.5, 2.5]}, "tags": [{"name": "x", "more": 1}, {"name": "y"}]}]
    assert paths_of(observe(documents, table)) == {"tags[].more": 1}


def test_ignored_fields_are_not_reported() -> None:
    document = {"_id": 1, "__v": 0, "sub": {"iban": {"x": 1}, "other": 1}}
    assert paths_of(observe([document], build_table(["a"]), ignored=("__v", "sub.iban"))) == {"sub.other": 1}


def test_documents_that_no_table_takes_do_not_count() -> None:
    table = entity(column("a", "VARCHAR", "a"), filter=(condition("kind", "$eq", "mine"),))
    documents = [{"_id": 1, "kind": "mine", "b": 1}, {"_id": 2, "kind": "other", "c": 1}]
    found = observe(documents, table)
    assert paths_of(found) == {"b": 1}
    assert found[0].looked_at == 1


@pytest.mark.parametrize(
    "name", ["5f5e10005f1c9a0e77000000", "123", "a@b.c", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "2024-01-01", "-1"]
)
def test_ids_are_no_names(name: str) -> None:
    document = {"_id": 1, "by_user": {name: {"score": 1}}, name: True}
    assert set(paths_of(observe([document], build_table(["a"])))) == {"*", "by_user", "by_user.*", "by_user.*.score"}


def test_a_name_that_is_no_text_can_be_stored() -> None:
    [path] = paths_of(observe([{"_id": 1, "\udcff": 1}], build_table(["a"])))
    assert path.encode() == b"\\udcff"


def test_too_many_names_are_one() -> None:
    """Whether one document has them, or one after the other."""
    many = {f"name {number}": {"n": number} for number in range(10_000)}
    assert paths_of(observe([{"_id": 1, "kept": 1, "m": many}], build_table(["a"]))) == {
        "kept": 1, "m": 1, "m.*": 10_000, "m.*.n": 10_000,
    }  # fmt: skip
    one_by_one = [{"_id": number, f"name{number}": number} for number in range(1_000)]
    assert paths_of(observe(one_by_one, build_table(["a"]))) == {"*": 1_000}


def test_what_is_told_is_bounded() -> None:
    wide = {f"a{one}": {f"b{two}": {f"c{three}": 1 for three in range(20)} for two in range(20)} for one in range(20)}
    deep: Any = 1
    for _ in range(90):
        deep = {"x" * 1_000: [deep]}
    found = observe([{"_id": 1, **wide, "deep": deep}], build_table(["a"]))
    # Each of those that are told may have others below.
    assert len(found) <= 2 * MOST_PATHS
    assert max(len(field.path) for field in found) < 1_000
