"""The generated company: the same bytes for the same seed, the promised shapes, and a schema file that fits it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId

from smartdiet_assets.demo.company import BAD_DOCUMENTS, DEMO_DAY, generate_collections
from smartdiet_assets.demo.company.clock import IMPORTED_AT
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.transform.batch import build_transformer

SCHEMAS = Path(__file__).parents[3] / "config" / "schemas.yaml"
#: Added by `include_base`, not written in the file.
Company = dict[str, list[dict[str, Any]]]


def collect(seed: int = 1, scale: float = 0.01, *, defects: bool = True) -> Company:
    company: Company = defaultdict(list)
    for collection, batch in generate_collections(seed, scale, defects=defects):
        company[collection] += batch
    return company


@pytest.fixture(scope="module")
def company() -> Company:
    return collect()


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(SCHEMAS)


# --- the stream ---


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    def digest(seed: int) -> str:
        found = hashlib.sha256()
        for collection, batch in generate_collections(seed, 0.001):
            found.update(collection.encode() + b"".join(map(bson.encode, batch)))
        return found.hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_batches_hold_at_most_1000_documents_and_no_id_occurs_twice(company: Company) -> None:
    assert max(len(batch) for _, batch in generate_collections(1, 0.01)) <= 1_000
    for collection, documents in company.items():
        assert len({document["_id"] for document in documents}) == len(documents), collection


def test_counts_grow_with_the_scale(company: Company) -> None:
    double = collect(scale=0.02)
    for collection in ("users", "messages", "coachings", "days", "coachinglogbooks", "userquizzquestions", "items"):
        assert len(double[collection]) / len(company[collection]) == pytest.approx(2, rel=0.05), collection


@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_a_scale_that_is_not_above_zero_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        next(generate_collections(1, scale))


def test_everything_happened_before_the_first_day_that_can_be_applied(company: Company) -> None:
    for documents in company.values():
        for document in documents:
            assert document.get("creation_date", IMPORTED_AT) <= document.get("update_date", DEMO_DAY) <= DEMO_DAY


# --- the schema file fits it ---


def test_the_schema_file_has_31_tables_and_nothing_to_warn_of(schema: Schema) -> None:
    assert len(schema.tables) == 31
    assert schema.warnings == ()


def test_secrets_and_bank_details_are_mapped_by_no_column(schema: Schema) -> None:
    paths = {path for table in schema.tables.values() for column in table.columns for path in column.mongo_field}
    assert paths.isdisjoint({"password", "iban", "rib"})


def test_every_table_and_column_is_described_and_every_table_has_a_group_and_an_owner(schema: Schema) -> None:
    for table in schema.tables.values():
        assert table.description, table.name
        assert table.owners, table.name
        assert table.group != "default", table.name
        assert [column.name for column in table.columns if not column.description] == [], table.name


@pytest.mark.parametrize("scale", [0.0001, 0.001])
def test_a_company_without_defects_fills_every_table_and_has_no_reject(schema: Schema, scale: float) -> None:
    company = collect(scale=scale, defects=False)
    for table in schema.tables.values():
        batch = build_transformer(table)(encode(company[table.mongo_collection]))
        assert batch.rejects == [], table.name
        assert batch.rows, table.name


def test_every_column_has_a_value_somewhere(schema: Schema, company: Company) -> None:
    for table in schema.tables.values():
        rows = build_transformer(table)(encode(company[table.mongo_collection])).rows
        columns = [column.name for column in table.stored_columns]
        empty = [name for name, *values in zip(columns, *rows, strict=True) if not any(v is not None for v in values)]
        assert empty == [], table.name


def test_the_bad_documents_are_rejected_for_the_reasons_listed(schema: Schema, company: Company) -> None:
    rejected = Counter(
        (table.name, reject.column, reject.reason.value)
        for table in schema.tables.values()
        for reject in build_transformer(table)(encode(company[table.mongo_collection])).rejects
    )
    listed = Counter((bad.table, bad.column, bad.reason) for bad in BAD_DOCUMENTS)
    # Whether a parent exists is found out later, when loading.
    assert rejected == Counter({bad: count for bad, count in listed.items() if bad[2] != "missing_parent"})


# --- references ---


def test_without_defects_every_reference_leads_to_a_row(schema: Schema) -> None:
    missing, _ = count_missing_parents(schema, collect(scale=0.002, defects=False))
    assert missing == Counter()


def test_with_defects_a_few_references_dangle(schema: Schema, company: Company) -> None:
    missing, references = count_missing_parents(schema, company)
    assert 0.0005 < missing.total() / references < 0.01
    assert missing["coachings.diet_id"] / len(company["coachings"]) > 0.02
    assert missing["coachings.user_id"] > 0, "their appointments, periods and days wait with them"
    assert {"messages.sender_id", "users_logbook.coaching_id", "user_events.event_id"} < set(missing)


def count_missing_parents(schema: Schema, company: Company) -> tuple[Counter[str], int]:
    """Count the references to rows that do not exist by table and column, and all references."""
    rows = {
        name: build_transformer(table)(encode(company[table.mongo_collection])).rows
        for name, table in schema.tables.items()
    }
    ids = {name: {row[0] for row in rows[name]} for name, table in schema.tables.items() if table.shape == "one_row"}
    missing: Counter[str] = Counter()
    references = 0
    for name, table in schema.tables.items():
        for place, column in enumerate(table.stored_columns):
            if column.foreign_key:
                values = [row[place] for row in rows[name] if row[place] is not None]
                references += len(values)
                missing[f"{name}.{column.name}"] += sum(value not in ids[column.foreign_key.table] for value in values)
    return +missing, references


# --- shapes ---


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        ("users", "registered_events"), ("users", "targets"), ("users", "specificity_targets"),
        ("users", "health_targets"), ("coachings", "reasons"), ("days", "contents"), ("days", "main_logbooks"),
    ],
)  # fmt: skip
def test_arrays_are_absent_null_empty_filled_and_hold_duplicates(company: Company, collection: str, field: str) -> None:
    documents = company[collection]
    assert any(field not in document for document in documents)
    values = [document[field] for document in documents if field in document]
    assert None in values
    assert [] in values
    filled = [value for value in values if value]
    assert any(len(value) > len({str(item) for item in value}) for value in filled)


def test_arrays_hold_bare_ids_documents_and_sometimes_are_one_bare_id(company: Company) -> None:
    registered = [item for user in company["users"] for item in user.get("registered_events") or []]
    assert {type(item) for item in registered} == {ObjectId, dict}
    questions = [item for quizz in company["userquizzs"] for item in quizz["questions"]]
    assert {type(item) for item in questions} == {ObjectId, dict}
    assert any(isinstance(coaching.get("health_reason"), ObjectId) for coaching in company["coachings"])
    assert any(coaching.get("health_reasons") for coaching in company["coachings"])


def test_some_documents_have_no_dates_and_some_only_one(company: Company) -> None:
    documents = [document for documents in company.values() for document in documents]
    without = sum("creation_date" not in document for document in documents)
    assert 0.0005 < without / len(documents) < 0.002
    undated = sum("creation_date" in document and "update_date" not in document for document in documents)
    assert 0.001 < undated / len(documents) < 0.004


def test_a_bulk_import_made_ties_of_creation_date(company: Company) -> None:
    ties = Counter(document.get("creation_date") for documents in company.values() for document in documents)
    assert ties[IMPORTED_AT] > 500


def test_days_are_midnights_of_paris_in_summer_and_in_winter(company: Company) -> None:
    def hours(collection: str, field: str) -> set[int]:
        return {document[field].hour for document in company[collection] if isinstance(document.get(field), datetime)}

    assert hours("coachinglogbooks", "day") == {22, 23}
    assert hours("days", "date") == {0, 22, 23}, "some are midnights of UTC"
    assert hours("users", "birthday") == {22, 23}


def test_a_user_has_several_logbooks_a_day_and_some_logbooks_no_user(company: Company) -> None:
    logbooks = company["coachinglogbooks"]
    days = Counter((logbook["user"], logbook["day"]) for logbook in logbooks if logbook.get("user"))
    assert set(days.values()) >= {1, 2, 3, 4}
    without = [logbook for logbook in logbooks if not logbook.get("user")]
    assert len(without) / len(logbooks) == pytest.approx(0.014, abs=0.001)
    assert {"user" in logbook for logbook in without} == {True, False}
    latest = Counter((logbook.get("user"), logbook["day"], logbook.get("update_date")) for logbook in logbooks)
    assert max(latest.values()) > 1, "ties among the latest, which the id decides"


def test_a_menu_has_a_recipe_twice(company: Company) -> None:
    meals = Counter((meal["menu"], str(meal["recipe"])) for meal in company["menurecipes"])
    assert max(meals.values()) > 1


def test_values_come_in_types_other_than_the_usual(company: Company) -> None:
    def types(collection: str, field: str) -> set[type]:
        return {type(document[field]) for document in company[collection] if field in document}

    assert types("periods", "number_of_days") == {int, float}
    assert types("appointments", "order") == {int, float}
    assert types("userquizzquestions", "numeric_answer") == {int, float}
    assert types("messages", "receiver") == {ObjectId, str}
    assert types("quizzquestions", "diet_private") == {ObjectId, bool}


def test_texts_hold_emoji_and_line_breaks(company: Company) -> None:
    texts = "".join(message["content"] for message in company["messages"])
    assert "🙏" in texts
    assert "\n" in texts


def test_roles_and_kinds_have_their_shares(company: Company) -> None:
    roles = Counter(str(user["role"]) for user in company["users"])
    assert roles["CUSTOMER"] / len(company["users"]) == pytest.approx(0.98, abs=0.01)
    assert roles["EXTERNAL_DIET"] > 0
    kinds = Counter(event["__t"] for event in company["events"])
    assert set(kinds) == {"webinar", "individualChallenge", "collectiveChallenge", "menu"}
    assert any("start_date" not in event for event in company["events"])


def encode(documents: list[dict[str, Any]]) -> bytes:
    return b"".join(chunks(documents))


def chunks(documents: list[dict[str, Any]]) -> Iterator[bytes]:
    return (bson.encode(document) for document in documents)
