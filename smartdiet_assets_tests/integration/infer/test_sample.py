"""What a sample shows: also what only the oldest and the newest documents have, and each document once."""

from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.infer.reading import fetch_sample
from smartdiet_assets.infer.run import infer_collection
from smartdiet_assets_tests.support.reading import read_once


def write_history(source: Database[Any]) -> None:
    documents: list[dict[str, Any]] = [{"_id": ObjectId(f"{number:024x}"), "name": "x"} for number in range(500)]
    documents[0]["legacy"] = "x"
    documents[-1]["brand_new"] = {"deep": 1}
    source.things.insert_many(documents)


def test_rare_shapes_at_either_end_of_the_history_are_seen(mongo_database: Database[Any], tmp_path: Path) -> None:
    write_history(mongo_database)
    entry = infer_collection(read_once(mongo_database), "things", [tmp_path / "schemas.yaml"], sample=5).entry
    assert "name: legacy" in entry
    assert "name: brand_new_deep" in entry


def test_a_document_of_a_sample_counts_once(mongo_database: Database[Any]) -> None:
    write_history(mongo_database)
    sample = fetch_sample(read_once(mongo_database), "things", 480)
    assert len(sample) == len(set(sample))
    assert 480 <= len(sample) <= 500
