"""Fixtures of the refresh tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets_tests.integration.refresh.refreshed import Mongo, Pair


@pytest.fixture
def pair(
    mongo_server: EmbeddedMongo, mongo_client: MongoClient[dict[str, Any]], mongo_database: Mongo
) -> Iterator[Pair]:
    """Two databases, both empty."""
    target = mongo_client[f"{mongo_database.name}_target"]
    yield Pair(mongo_server, mongo_database, target)
    mongo_client.drop_database(target.name)


@pytest.fixture
def filled(pair: Pair) -> Pair:
    """Two databases, filled."""
    pair.fill()
    return pair
