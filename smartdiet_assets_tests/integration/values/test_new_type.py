"""A column type is one object of the schema and one conversion: with them alone it goes all the way.

From the declaration to DDL, from documents and from Matomo's rows through COPY into the table, and to the comparisons.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import bson
import psycopg
import pytest

from smartdiet_assets.checks.row_comparison import fetch_differences
from smartdiet_assets.errors import SchemaFileError, SchemaMismatchError
from smartdiet_assets.schema import constants
from smartdiet_assets.schema.model import Column, Schema, Table
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.schema.types import TYPES, SqlType, parse_sql_type
from smartdiet_assets.transform.batch import build_transformer
from smartdiet_assets.transform.conversion import Conversion, FastPath
from smartdiet_assets.transform.convert import CONVERSIONS
from smartdiet_assets.transform.matomo import build_row_transformer
from smartdiet_assets.transform.rejection import Rejection
from smartdiet_assets_tests.support.bson_source import fetch_rejects, mirror_bson
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.loads import rows_of

#: An amount of money, as PostgreSQL's whole cents.
CENTS = SqlType(
    name="cents",
    family="number",
    spellings=("amount in cents",),
    sql="bigint",
    sent_as="int8",
    size=8,
    tells_apart=True,
    fault=constants.expect("an amount in quotes", Decimal),
    read_constant=int,
)

SCHEMA = """
tables:
  payments:
    columns:
      - {name: id, sql_type: BIGINT, primary_key: true, mongo_field: _id}
      - {name: amount, sql_type: CENTS, nullable: false}
      - {name: fee, sql_type: amount in cents, default: "0"}
    indexes: [[amount]]
"""


def build_cents(column: Column) -> Conversion:
    def convert(value: Any) -> int:
        if type(value) is not str and type(value) is not float:
            raise Rejection(Reason.INVALID_TYPE, "an amount", value)
        try:
            return int((Decimal(str(value)) * 100).to_integral_value())
        except InvalidOperation:
            raise Rejection(Reason.INVALID_TYPE, "an amount", value) from None

    return Conversion(convert, fast=(FastPath("type(value) is float", "round(value * 100)"),))


@pytest.fixture(autouse=True)
def cents() -> Iterator[None]:
    TYPES["cents"] = CENTS
    CONVERSIONS["cents"] = build_cents
    yield
    del TYPES["cents"], CONVERSIONS["cents"]


def mirror(connection: psycopg.Connection, schema: Schema, *documents: dict[str, Any]) -> Any:
    return mirror_bson(connection, schema, "payments", list(map(bson.encode, documents)))


def compare(connection: psycopg.Connection, table: Table, *documents: dict[str, Any]) -> list[tuple[str, ...]]:
    batch = build_transformer(table)(b"".join(map(bson.encode, documents)))
    return [found.columns for found in fetch_differences(connection, table, batch.rows, [row[0] for row in batch.rows])]


def test_documents_of_a_new_type_are_mirrored_and_compared(postgres: psycopg.Connection) -> None:
    schema = declare(SCHEMA)
    first, second = {"_id": 1, "amount": 12.5}, {"_id": 2, "amount": "0.07", "fee": 1.0}
    mirror(postgres, schema, first, second, {"_id": 3, "amount": [1]}, {"_id": 4, "amount": True})

    assert rows_of(postgres, "payments", "id, amount, fee, pg_typeof(amount)::text") == [
        (1, 1250, 0, "bigint"),
        (2, 7, 100, "bigint"),
    ]
    assert {found[:2] for found in fetch_rejects(postgres, "payments").values()} == {("amount", "invalid_type")}
    table = schema.tables["payments"]
    assert compare(postgres, table, first, second) == []
    assert compare(postgres, table, {"_id": 1, "amount": 12.51}, second) == [("amount",)]
    mirror(postgres, schema, {"_id": 1, "amount": 12.51}, second)
    assert rows_of(postgres, "payments", "amount") == [(1251,), (7,)]


def test_a_live_column_of_another_type_is_told(postgres: psycopg.Connection) -> None:
    mirror(postgres, declare(SCHEMA, ("CENTS", "INTEGER")), {"_id": 1, "amount": 12})
    with pytest.raises(SchemaMismatchError, match="column amount: live integer, declared bigint"):
        mirror(postgres, declare(SCHEMA), {"_id": 1, "amount": 12.0})


def test_rows_of_matomo_are_converted_too() -> None:
    table = declare(SCHEMA).tables["payments"]
    columns = [column.model_copy(update={"source_column": column.name}) for column in table.columns]
    transform = build_row_transformer(
        table.model_copy(update={"columns": tuple(columns)}), {"id": "bigint", "amount": "decimal", "fee": "decimal"}
    )
    assert transform([(b"1", b"12.50", None), (b"2", b"0.07", b"1.00")]).rows == [(1, 1250, None), (2, 7, 100)]


def test_a_constant_that_is_none_is_a_problem_of_the_declaration() -> None:
    with pytest.raises(SchemaFileError, match="the default of bigint must be an amount in quotes"):
        declare(SCHEMA, ('default: "0"', "default: true"))


def test_it_is_named_among_the_types() -> None:
    with pytest.raises(ValueError, match="BYTEA, CENTS, CHAR"):
        parse_sql_type("money")
