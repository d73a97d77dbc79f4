"""The inferred entries of all collections of a generated company load each of its documents, injected faults too."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import tuple_row
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.demo.company import write_company
from smartdiet_assets.infer.run import infer_collection
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.reading import read_once

SEED, SCALE = 5, 0.0005


@pytest.fixture(scope="module")
def company(
    mongo_client: MongoClient[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database[Any], Schema, dict[str, int]]]:
    """A company, and the file that grew by an entry for each of its collections."""
    source = mongo_client["inferred_company"]
    collections = write_company(source, SEED, SCALE)
    path = tmp_path_factory.mktemp("infer") / "schemas.yaml"
    for collection in collections:
        infer_collection(read_once(source), collection, [path], sample=None).write(path)
    yield source, load_schema(path), collections
    mongo_client.drop_database(source.name)


def count(connection: psycopg.Connection[Any], *relation: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*relation))
    row = connection.cursor(row_factory=tuple_row).execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_inferred_from_all_documents_loads_all_of_them_and_a_second_run_writes_nothing(
    company: tuple[Database[Any], Schema, dict[str, int]], postgres: psycopg.Connection[Any]
) -> None:
    source, schema, collections = company
    assert len(collections) == 22
    mirrored = Mirrored(schema, source, postgres, batch_size=200)

    assert mirrored.sync() == [], "every table equals the oracle"

    assert count(postgres, "smartdiet", "rejected_rows") == 0
    assert {name: count(postgres, name) for name in collections} == collections
    links = [name for name in schema.tables if name not in collections]
    assert len(links) > 20
    assert all(count(postgres, name) for name in links)
    before = mirrored.versions()
    assert mirrored.sync() == []
    assert mirrored.versions() == before


def test_references_between_collections_are_foreign_keys(company: tuple[Database[Any], Schema, dict[str, int]]) -> None:
    _, schema, _ = company
    found = {
        f"{table.name}.{column.name}": column.foreign_key.table
        for table in schema.tables.values()
        for column in table.columns
        if column.foreign_key
    }
    expected = {
        "targets.category_id": "categories", "companies.parent_id": "companies", "users.company_id": "companies",
        "items.quizz_question_id": "quizzquestions", "users_targets.target_id": "targets",
        "contents_viewed_by.viewed_by_id": "users", "menurecipes.menu_id": "events", "coachings.diet_id": "users",
        "appointments.coaching_id": "coachings", "days.period_id": "periods", "coachinglogbooks.user_id": "users",
        "userquizzs_questions.question_id": "userquizzquestions",
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
