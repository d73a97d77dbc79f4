"""What is said of the fields that were seen, by what is declared now."""

from datetime import UTC, datetime, timedelta

from smartdiet_assets.schema.drift import Drift, RecordedField, SeenField, describe_drift, find_drift, list_fields
from smartdiet_assets_tests.support.declared import declare

DECLARED = """
tables:
  users:
    include_base: true
    additional_columns:
      - {name: age, sql_type: INTEGER}
      - {name: born, sql_type: DATE, mongo_field: [birthday, birth.date]}
      - {name: home, sql_type: JSONB}
      - {name: city, sql_type: TEXT, mongo_field: address.city}
collections:
  users: {ignored_fields: [iban, address.note, age_group]}
"""
SCHEMA = declare(DECLARED)
START = datetime(2026, 1, 1, tzinfo=UTC)


def record(path: str, kind: str, run: int = 1, looked_at: int = 500) -> RecordedField:
    seen = START + timedelta(days=run)
    return RecordedField(path, kind, looked_at, looked_at, seen, seen, f"run {run}", f"run {run}")


def find(*records: RecordedField) -> Drift:
    return find_drift(SCHEMA, "users", [record("_id", "objectId"), *records])


def paths(found: tuple[SeenField, ...]) -> list[str]:
    return [field.path for field in found]


def test_only_the_innermost_is_told() -> None:
    found = find(record("x", "array"), record("x[]", "object"), record("x[].sku", "int"), record("y", "object"))
    assert paths(found.undeclared) == ["x[].sku", "y"]


def test_declared_ignored_and_whole_fields_are_known() -> None:
    known = ("age", "birthday", "birth.date", "home.street[].number", "address", "address.city", "iban.check", "iban")
    assert not find(*(record(path, "string") for path in known)).undeclared
    found = find(record("address.note", "int"), record("address.zip", "int"), record("age_groups", "int"))
    assert paths(found.undeclared) == ["address.zip", "age_groups"]


def test_a_later_type_is_a_change_and_another_number_is_none() -> None:
    first = (record("age", "int"), record("age", "null"), record("birthday", "date"))
    assert not find(*first, record("age", "double", 2), record("birthday", "null", 2)).changed
    found = find(*first, record("age", "string", 2), record("birthday", "string", 3))
    assert [(field.path, field.bson_type) for field in found.changed] == [("age", "string"), ("birthday", "string")]


def test_a_rare_type_is_no_change() -> None:
    """It may have been there when a sample was looked at."""
    rare = RecordedField("age", "string", 4, 500, START + timedelta(days=9), START + timedelta(days=9), "b", "b")
    assert not find(record("age", "int"), rare).changed


def test_a_few_odd_documents_of_few_are_no_change() -> None:
    def count(times: int) -> RecordedField:
        later = START + timedelta(days=9)
        return RecordedField("age", "string", times, 5, later, later, "b", "b")

    assert not find(record("age", "int"), count(4)).changed
    assert find(record("age", "int"), count(5)).changed


def test_types_of_one_run_are_no_change() -> None:
    assert not find(record("age", "string"), record("age", "int")).changed


def test_undeclared_and_ignored_fields_change_nothing() -> None:
    assert not find(
        record("x", "string"), record("x", "int", 2), record("iban", "int"), record("iban", "date", 2)
    ).changed


def test_a_column_without_any_of_its_paths_is_missing() -> None:
    everything = ("age", "home", "address", "address.city", "creation_date", "update_date")
    assert find(*(record(path, "string") for path in everything)).missing == ("birthday",)
    assert find(*(record(path, "string") for path in (*everything, "birth", "birth.date"))).missing == ()
    few = [record("_id", "objectId", looked_at=99)]
    assert find_drift(SCHEMA, "users", few).missing == ()


def test_a_sentence_names_fields_with_their_types_and_says_what_to_do() -> None:
    found = find(record("nick", "string"), record("nick", "int"), record("age", "int"), record("age", "bool", 2))
    undeclared, changed = describe_drift("users", found)
    assert undeclared == (
        "Documents of users have 1 field that no table declares: nick (string or int). Declare what you need"
        " (`smartdiet infer users --update` writes it into the YAML), and list the rest under ignored_fields."
    )
    assert "age (bool)" in changed
    assert describe_drift("users", find()) == []


def test_for_a_rare_field_all_documents_are_to_be_looked_at() -> None:
    fields = (SeenField("a", "int", 500, 500), SeenField("b", "int", 4, 500))
    assert "`smartdiet infer users --update --all`" in describe_drift("users", Drift(undeclared=fields))[0]
    assert "`smartdiet infer users --update`" in describe_drift("users", Drift(undeclared=fields[:1]))[0]


def test_many_fields_are_counted() -> None:
    fields = [SeenField(f"x{number}", "int", 1, 1) for number in range(1_234)]
    assert list_fields(fields).endswith("x9 (int) and 1,224 more")
