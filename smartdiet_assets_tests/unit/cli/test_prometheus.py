"""The metrics are what Prometheus' own parser reads, and the dashboard asks for no other."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from smartdiet_assets.cli.prometheus import METRICS, compose_exposition
from smartdiet_assets.load.records.inspection import TableMetrics

DASHBOARD = Path(__file__).parents[3] / "config" / "deploy" / "grafana-dashboard.json"
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NUMBERS = st.none() | st.integers(0, 2**53)
SECONDS = st.none() | st.floats(0, 1e9)
MOMENTS = st.none() | st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC))
TABLES = st.lists(
    st.builds(TableMetrics, NAMES, MOMENTS, MOMENTS, SECONDS, SECONDS, NUMBERS, NUMBERS, NUMBERS),
    max_size=4,
    unique_by=lambda table: table.table_name,
)


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """What Prometheus' parser makes of a text: by metric, the value by its labels' values."""
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


@given(TABLES, NAMES, NAMES)
def test_the_parser_reads_what_was_written_whatever_the_names_hold(
    tables: list[TableMetrics], database: str, schema: str
) -> None:
    found = read(compose_exposition(tables, {"database": database, "schema": schema}))
    expected = {
        metric.name: {
            (database, schema, table.table_name): float(value)
            for table in tables
            if (value := metric.read(table)) is not None
        }
        for metric in METRICS
    }
    assert found == expected


def test_names_and_units_follow_the_conventions() -> None:
    text = compose_exposition([], {})
    for family in text_string_to_metric_families(text):
        assert re.fullmatch(r"smartdiet_table_[a-z_]+_(seconds|rows|documents|read)|smartdiet_table_rows", family.name)
        assert (family.type, family.documentation[-1]) == ("gauge", ".")
        assert not family.name.endswith("_total"), "of a counter"
    assert text.endswith("\n")


def test_a_clock_that_went_back_gives_no_negative_age() -> None:
    table = TableMetrics("users", None, NOON, -3.5, 0.25, 7, 0, 7)
    assert read(compose_exposition([table], {}))["smartdiet_table_lag_seconds"] == {("users",): 0.0}
    assert read(compose_exposition([replace(table, lag=None)], {}))["smartdiet_table_lag_seconds"] == {}


def find_queries(node: object) -> Iterator[str]:
    """The queries of a dashboard: of its panels and of its variables."""
    if isinstance(node, list):
        for item in node:
            yield from find_queries(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield value
            else:
                yield from find_queries(value)


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    queries = list(find_queries(dashboard))
    assert {name for query in queries for name in re.findall(r"\bsmartdiet_\w+", query)} == {
        metric.name for metric in METRICS
    }
    labels = {"database", "schema", "table"}
    assert {label for query in queries for label in re.findall(r"(\w+)=~", query)} == labels
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"source", *labels}
    for panel in dashboard["panels"]:
        assert panel["description"]
        assert panel["targets"], panel["title"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
