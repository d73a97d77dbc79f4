"""`no_undeclared_fields`: once a collection, a warning, by what is declared now."""

from smartdiet_assets.schema.model import CollectionRules
from smartdiet_assets_tests.support.checked import Checked

KIND = "no_undeclared_fields"


def test_it_stands_once_a_collection(checked: Checked) -> None:
    schema = checked.mirrored.schema
    found = [table for table, kind in checked.evaluate() if kind == KIND]
    assert sorted(schema.tables[table].mongo_collection for table in found) == sorted(schema.collections)
    assert len(found) < len(schema.tables)


def test_undeclared_fields_are_a_warning_with_what_to_do(checked: Checked) -> None:
    assert not {key for key in checked.failures() if key[1] == KIND}
    checked.save("people", 7, nickname="Ada", address={"street": "Main"})
    checked.mirrored.run()
    [(key, outcome)] = [(key, outcome) for key, outcome in checked.failures().items() if key[1] == KIND]
    assert (key[0], outcome.severity) == ("people", "WARN")
    assert "address.street (string), nickname (string)" in outcome.sentence
    assert "smartdiet infer people --update" in outcome.sentence
    assert outcome.numbers["undeclared"] == 2
    assert outcome.numbers["fields"] == {"address.street (string)": 1, "nickname (string)": 1}
    assert "Ada" not in f"{outcome}"


def test_what_is_ignored_since_passes(checked: Checked) -> None:
    checked.save("people", 7, nickname="Ada")
    checked.mirrored.run()
    for rules in (CollectionRules(ignored_fields={"nickname": ""}), CollectionRules(undeclared="ignore")):
        collections = {**checked.mirrored.schema.collections, "people": rules}
        checked.mirrored.schema = checked.mirrored.schema.model_copy(update={"collections": collections})
        assert checked.evaluate()["people", KIND].passed


def test_a_record_of_an_earlier_version_is_no_fault(checked: Checked) -> None:
    checked.execute("DROP TABLE smartdiet.document_fields")
    assert checked.evaluate()["people", KIND].passed
