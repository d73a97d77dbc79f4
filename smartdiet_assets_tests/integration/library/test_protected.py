"""A mirror of one's own whose ids are pseudonyms: its key is in a variable, and no record of Dagster has it."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from smartdiet_assets import build_mirror, load_schema
from smartdiet_assets_tests.integration.library.companies import Company
from smartdiet_assets_tests.integration.library.project import SHOP_FILE, build_postgres, build_shop_resource
from smartdiet_assets_tests.oracle import MirrorOracle
from smartdiet_assets_tests.support.partitions import with_few_partitions
from smartdiet_assets_tests.support.shop import write_shop

KEY, OTHER_KEY = "the shop's own key", "the shop's next key"
PROTECTED = """
protect:
  customers: {id: pseudonym, first_name: {keep: 1}, email: pseudonym, phone: redact}
  customers_addresses: {customer_id: pseudonym, street: redact}
  orders: {customer_id: pseudonym}
  reviews: {customer_id: pseudonym}
"""


def protect(company: Company, overlay: Path) -> None:
    """Build the mirror as a process that begins now has it."""
    schema = load_schema(SHOP_FILE, protected=overlay, pseudonym_key=dg.EnvVar("SHOP_PSEUDONYM_KEY"))
    company.schema = with_few_partitions(schema)
    company.oracle = MirrorOracle(company.schema)
    company.definitions = build_mirror(
        company.schema, name="shop", key_prefix="shop", target_schema="shop",
        mongo=build_shop_resource(), postgres=build_postgres(),
    )  # fmt: skip


def test_its_key_and_another_one(
    companies: Mapping[str, Company], instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, overlay = companies["shop"], tmp_path / "protected.yaml"
    shop.instance = instance
    overlay.write_text(PROTECTED)
    write_shop(shop.mongo, 3, customers=5)
    monkeypatch.setenv("SHOP_PSEUDONYM_KEY", KEY)
    protect(shop, overlay)
    assert shop.sync() == []
    monkeypatch.setenv("SHOP_PSEUDONYM_KEY", OTHER_KEY)
    protect(shop, overlay)
    refused = shop.execute("mirror", raise_on_error=False)
    assert not refused.success
    shop.execute("mirror", run_config={"resources": {"shop_all_tables": {"config": {"rekey": True}}}})
    assert shop.compare() == []
    assert shop.execute("checks").success
    records = [path for path in Path(instance.root_directory).rglob("*") if path.is_file()]
    for key in (KEY, OTHER_KEY):
        assert not [path for path in records if key.encode() in path.read_bytes()]
