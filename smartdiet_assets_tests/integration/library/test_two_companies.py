"""The mirrors of two companies in one project, from two databases into two schemas of one PostgreSQL."""

from collections.abc import Mapping

import dagster as dg
import psycopg
import pytest

from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.demo.company import DEMO_DAY, apply_day_of_changes, write_company
from smartdiet_assets_tests.integration.library.companies import Company
from smartdiet_assets_tests.integration.library.project import defs
from smartdiet_assets_tests.support.shop import change_shop, write_shop

SEED = 3


@pytest.fixture
def project(companies: Mapping[str, Company], instance: dg.DagsterInstance) -> Mapping[str, Company]:
    """Both companies with documents, and the project that mirrors them."""
    write_shop(companies["shop"].mongo, SEED, customers=40)
    write_company(companies["clinic"].mongo, SEED, 0.0005)
    definitions = defs()
    for company in companies.values():
        company.definitions, company.instance = definitions, instance
    return companies


def test_both_are_exact_after_a_day_of_changes_and_their_checks_are_green(
    project: Mapping[str, Company], postgres: psycopg.Connection
) -> None:
    shop, clinic = project["shop"], project["clinic"]
    assert shop.sync() == []
    assert clinic.sync() == []
    change_shop(shop.mongo, SEED)
    assert shop.sync() == []
    apply_day_of_changes(clinic.mongo, SEED, DEMO_DAY)
    assert clinic.sync() == []
    assert shop.sync() == []
    for company in project.values():
        checked = company.execute("checks").get_asset_check_evaluations()
        assert {(found.asset_key, found.check_name) for found in checked} == {
            (company.key(table), kind) for table in company.schema.tables for kind in KINDS
        }
        failed = [found for found in checked if not found.passed and found.severity == dg.AssetCheckSeverity.ERROR]
        assert not failed
        company.execute("doctor")
        company.execute("reconcile", run_config={"ops": {f"{company.name}_reconcile_tables": {"config": {}}}})
    # Nothing is where nobody asked for it.
    found = postgres.execute("SELECT schemaname FROM pg_tables WHERE schemaname !~ '^(pg_|information)' GROUP BY 1")
    assert {name for (name,) in found} == {"shop", 'Clinic "A"', "smartdiet"}
