"""What `smartdiet sync` says of fields that no table declares: a sentence for each collection of its tables."""

from collections.abc import Collection, Mapping
from contextlib import suppress

import psycopg
from rich.console import Console

from smartdiet_assets.cli.connections import connect_postgres
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.load.records.fields import fetch_drift
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.drift import Drift, describe_drift
from smartdiet_assets.schema.model import Schema


def find_drift(schema: Schema, environment: Environment, tables: Collection[str]) -> dict[str, Drift]:
    """Find the drift of the collections of tables, where there is any; none where PostgreSQL does not answer."""
    collections = {table.mongo_collection for name, table in schema.tables.items() if name in tables}
    heard = [name for name in schema.collections if name in collections]
    heard = [name for name in heard if schema.rules_of(name).undeclared != "ignore"]
    # What the sync did is worth telling without it.
    with suppress(SmartdietError, psycopg.Error), connect_postgres(environment) as connection:
        found = fetch_drift(connection, schema, heard)
        return {name: drift for name, drift in found.items() if drift.undeclared or drift.changed}
    return {}


def print_drift(console: Console, found: Mapping[str, Drift]) -> None:
    """Print what was found."""
    for collection, drift in found.items():
        for sentence in describe_drift(collection, drift):
            console.print(sentence, highlight=False)


def encode_drift(found: Mapping[str, Drift]) -> dict[str, object]:
    """Build what `--json` adds: by collection, how often each field and type was seen; nothing where there is none."""
    told = {
        collection: {
            aspect: {f"{field.path} ({field.bson_type})": field.times for field in fields}
            for aspect, fields in (("undeclared", drift.undeclared), ("changed", drift.changed))
            if fields
        }
        for collection, drift in found.items()
    }
    return {"drift": told} if told else {}
