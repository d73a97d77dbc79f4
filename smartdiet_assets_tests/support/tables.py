"""Small tables and the calls the transform tests share.

Here: building a `Table` in one line and running documents through it as the server would send them.
Not here: expectations.
"""

from typing import Any

import bson

from smartdiet_assets.schema.model import ArraySource, Column, Condition, ForeignKey, Table
from smartdiet_assets.schema.types import parse_sql_type
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer

USERS = ForeignKey(table="users", column="id")


def column(name: str, sql_type: str, *paths: str, **settings: Any) -> Column:
    return Column(name=name, type=parse_sql_type(sql_type), mongo_field=paths, **settings)


def dates() -> tuple[Column, Column]:
    return (
        column("created_at", "TIMESTAMP", "creation_date", "_id", nullable=False),
        column("updated_at", "TIMESTAMP", "update_date", "creation_date", "_id", nullable=False),
    )


def entity(*columns: Column, **settings: Any) -> Table:
    """A `one_row` table with an `id` and the columns given."""
    fixed = {"name": "users", "shape": "one_row", "document_column": "id", "key": ("id",)}
    identity = column("id", "VARCHAR", "_id", nullable=False)
    return Table(**{**fixed, "mongo_collection": "users", "columns": (identity, *columns), **settings})


def single(sql_type: str, **settings: Any) -> Table:
    """A table whose column `value`, of the type given, reads the field `v`."""
    return entity(column("value", sql_type, "v", **settings))


def users_targets(**settings: Any) -> Table:
    """A relationship table fed by two arrays."""
    return Table(
        **{
            "name": "users_targets",
            "shape": "items",
            "document_column": "user_id",
            "key": ("user_id", "target_id", "type"),
            "mongo_collection": "users",
            "arrays": (
                ArraySource(field="targets", set=(("type", "basic"),)),
                ArraySource(field="health_targets", set=(("type", "health"),)),
            ),
            "columns": (
                column("user_id", "VARCHAR", "_id", nullable=False, foreign_key=USERS),
                column("target_id", "VARCHAR", nullable=False, item_field=("target", "_id", ".")),
                column("type", "VARCHAR(50)", nullable=False),
                *dates(),
            ),
            **settings,
        }
    )


def condition(path: str, operator: Any, value: Any) -> Condition:
    return Condition(path=path, operator=operator, value=value)


def transform(table: Table, *documents: dict[str, Any]) -> TransformedBatch:
    return build_transformer(table)(b"".join(bson.encode(document) for document in documents))
