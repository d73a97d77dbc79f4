"""What takes the settings as an argument, with those of this process's environment: a test sets variables."""

import os
from contextlib import AbstractContextManager
from typing import Any

from psycopg import Connection

from smartdiet_assets.cli import connections
from smartdiet_assets.compare import sides
from smartdiet_assets.resources import matomo, mongo, postgres
from smartdiet_assets.resources.environment import read_environment


def build_mongo_resource() -> mongo.MongoResource:
    return mongo.build_mongo_resource(read_environment())


def build_postgres_resource() -> postgres.PostgresResource:
    return postgres.build_postgres_resource(read_environment())


def build_matomo_resource() -> matomo.MatomoResource:
    return matomo.build_matomo_resource(read_environment())


def connect_postgres() -> AbstractContextManager[Connection[Any]]:
    return connections.connect_postgres(read_environment())


def parse_side(text: str) -> sides.Side:
    return sides.parse_side(text, read_environment(), os.environ)


def parse_pair(left: str, right: str) -> tuple[sides.Side, sides.Side]:
    return sides.parse_pair(left, right, read_environment(), os.environ)
