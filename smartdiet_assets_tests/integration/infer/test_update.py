"""`smartdiet infer --update`: what documents came to hold is added to the file, and nothing else of it changes."""

from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.support.shop import write_shop

DAY = datetime(2025, 10, 5)
ADDED = (
    "customers.language, customers_addresses.door, orders.coupon_code, orders.seller_id, orders_lines.gift, "
    "orders_refunds to"
)


@pytest.fixture
def file(
    smartdiet: Smartdiet,
    configured_servers: None,
    mongo_database: Database[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A shop's file with marks of a person in it."""
    write_shop(mongo_database, customers=30)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert smartdiet("infer", "--all-collections", "--append").code == 0
    path = tmp_path / "schemas.yaml"
    path.write_text("# By hand.\n" + path.read_text().replace("  orders:\n", "  orders:   # the heart of it\n"))
    return path


@pytest.fixture
def grown(file: Path, mongo_database: Database[Any]) -> Database[Any]:
    """The shop, whose application learned more."""
    seller = mongo_database.customers.find_one() or {}
    mongo_database.orders.update_many(
        {"_id": {"$lt": 10_020}},
        {
            "$set": {
                "coupon.code": "TEN", "seller": seller["_id"], "refunds": [{"reason": "late", "at": DAY}],
                "lines.0.gift": True, "apiToken": "Marked-Value", "updatedAt": DAY,
            }
        },
    )  # fmt: skip
    mongo_database.customers.update_many({"addresses.0": {"$exists": True}}, {"$set": {"addresses.0.door": "B"}})
    mongo_database.customers.update_many({}, {"$set": {"language": "fr"}})
    return mongo_database


def test_what_is_ignored_is_not_added(smartdiet: Smartdiet, file: Path, grown: Database[Any]) -> None:
    ignored = "collections:\n  customers: {ignored_fields: [language, addresses.door]}\n"
    file.write_text(f"{ignored}  orders: {{ignored_fields: [coupon, lines.gift]}}\n{file.read_text()}")
    assert smartdiet("infer", "--update").code == 0
    added = file.read_text()
    assert "refunds" in added
    assert not [name for name in ("language", "door", "coupon", "gift") if f"name: {name}" in added]


def test_what_is_new_is_added_once_and_mirrored(
    smartdiet: Smartdiet, file: Path, grown: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    before = file.read_text()
    dry = smartdiet("infer", "--update", "--dry-run")
    assert (dry.code, file.read_text()) == (0, before), dry.err
    assert "+      - {name: coupon_code, sql_type: VARCHAR, mongo_field: coupon.code}" in dry.out
    assert not [line for line in dry.out.splitlines() if line.startswith("-") and not line.startswith("--- ")]

    updated = smartdiet("infer", "--update")
    assert (updated.code, updated.out) == (0, ""), updated.err
    assert f"Added {ADDED}" in updated.err
    text = file.read_text()
    assert [line for line in before.splitlines() if line not in text.splitlines()] == []
    assert "# - {name: api_token, sql_type: VARCHAR, mongo_field: apiToken}" in text
    assert "Marked-Value" not in text + updated.err + dry.out
    seller = load_schema(file).tables["orders"].column("seller_id")
    assert seller.foreign_key is not None
    assert seller.foreign_key.table == "customers"

    again = smartdiet("infer", "--update")
    assert again.code == 0
    assert "There is nothing to add." in again.err
    assert file.read_text() == text

    assert smartdiet("sync").code == 0
    assert postgres.execute("SELECT count(*) FROM orders WHERE coupon_code = 'TEN'").fetchone() == (20,)
    assert postgres.execute("SELECT count(*) FROM orders_refunds WHERE reason = 'late'").fetchone() == (20,)
    assert smartdiet("check", "--all").code == 0


def test_a_field_that_no_document_of_a_sample_has_is_found_among_all(
    smartdiet: Smartdiet, file: Path, mongo_database: Database[Any]
) -> None:
    found = [smartdiet("infer", "customers", "--update", *how) for how in (["--sample", "5"], ["--all"])]
    sentence = "Of 1 collection a sample was looked at; --all reads every document, and tells more."
    assert [(result.code, sentence in result.err) for result in found] == [(0, True), (0, False)]


def test_only_the_collection_that_is_named_is_looked_at(smartdiet: Smartdiet, file: Path, grown: Database[Any]) -> None:
    result = smartdiet("infer", "customers", "--update")
    assert "Added customers.language, customers_addresses.door to" in result.err
    unknown = smartdiet("infer", "carts", "--update")
    assert unknown.code == 2
    assert "mirrors carts; smartdiet infer carts --append adds one" in unknown.err


def test_what_a_comment_has_stays_one(smartdiet: Smartdiet, file: Path, grown: Database[Any]) -> None:
    text = file.read_text().replace(
        "      - {name: points,", "      # - {name: language, sql_type: VARCHAR}\n      - {name: points,"
    )
    file.write_text(text + "\n  # orders_refunds:\n  #   not ours\n")
    result = smartdiet("infer", "--update")
    assert result.code == 0, result.err
    assert "language" not in result.err
    assert "orders_refunds" not in load_schema(file).tables


def test_a_type_that_became_too_narrow_is_said_and_left(
    smartdiet: Smartdiet, file: Path, mongo_database: Database[Any]
) -> None:
    before = file.read_text()
    mongo_database.products.update_one({}, {"$set": {"stock": 2**40}})
    mongo_database.customers.update_one({"addresses.0": {"$exists": True}}, {"$set": {"addresses.0.city": {"zone": 1}}})
    mongo_database.products.update_one({"stock": {"$ne": 2**40}}, {"$set": {"title": "a\0b"}})
    mongo_database.carts.insert_one({"customer": ObjectId()})
    result = smartdiet("infer", "--update")
    assert (
        "products.stock: 1 of 20 documents seen will be rejected (out_of_range); it is INTEGER, and BIGINT would hold"
        in result.err
    )
    assert "customers_addresses.city: 1 of 30 documents seen will be rejected (invalid_type)" in result.err
    assert "products.title: 1 of 20 documents seen will be rejected (nul_character)." in result.err
    assert "No table mirrors carts: smartdiet infer --all-collections adds them." in result.err
    assert file.read_text() == before


def test_tables_of_kinds_of_documents_each_get_their_own(
    smartdiet: Smartdiet, configured_servers: None, mongo_database: Database[Any], tmp_path: Path, monkeypatch: Any
) -> None:
    mongo_database.things.insert_many({"_id": n, "__t": "ab"[n % 2], "ab"[n % 2]: n} for n in range(10))
    path = tmp_path / "schemas.yaml"
    columns = "columns: [{name: id, sql_type: BIGINT, primary_key: true}]"
    kinds = [
        f"{kind}s: {{mongo_collection: things, incremental: none, filter: {{__t: {kind}}}, {columns}}}\n"
        for kind in "ab"
    ]
    path.write_text("".join(kinds).replace("\n", "\r\n"), newline="")
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    result = smartdiet("infer", "--update")
    assert result.code == 0, result.err
    assert "Added as.a, bs.b to" in result.err
    assert path.read_bytes().decode() == "".join(
        kind.replace("true}]", f"true}}, {{name: {name}, sql_type: INTEGER}}]").replace("\n", "\r\n")
        for kind, name in zip(kinds, "ab", strict=True)
    )


def test_an_anchor_that_stands_for_two_tables_is_left_to_a_person(
    smartdiet: Smartdiet, configured_servers: None, mongo_database: Database[Any], tmp_path: Path, monkeypatch: Any
) -> None:
    mongo_database.a.insert_one({"n": 1})
    path = tmp_path / "schemas.yaml"
    text = (
        "a: &base\n  include_base: true\n  additional_columns: &own\n    - {name: m, sql_type: TEXT}\nb:\n  <<: *base\n"
    )
    path.write_text(text)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    result = smartdiet("infer", "--update")
    assert (result.code, path.read_text()) == (2, text)
    assert "adding to a table would change b too: add by hand" in result.err


def test_a_file_without_room_for_columns_is_left_to_a_person(
    smartdiet: Smartdiet, configured_servers: None, mongo_database: Database[Any], tmp_path: Path, monkeypatch: Any
) -> None:
    mongo_database.a.insert_one({"n": 1})
    path = tmp_path / "schemas.yaml"
    text = "a:\n  include_base: true\n  additional_columns: ~\n"
    path.write_text(text)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    result = smartdiet("infer", "--update")
    assert (result.code, path.read_text()) == (2, text)
    assert "is written so that nothing can be added to its tables line by line: add by hand" in result.err


@pytest.mark.parametrize("arguments", ["--update --append", "--update --all-collections", "orders --dry-run"])
def test_options_that_do_not_go_together_are_refused(smartdiet: Smartdiet, file: Path, arguments: str) -> None:
    result = smartdiet("infer", *arguments.split())
    assert result.code == 2
    assert "--update" in result.err
