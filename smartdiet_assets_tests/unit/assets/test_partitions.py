"""A picked range of partitions means the right request."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from smartdiet_assets.assets.partitions import build_partitions, build_window_request
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.schema.model import PartitionScheme


def monthly() -> dg.TimeWindowPartitionsDefinition:
    return build_partitions(PartitionScheme(start=date(2024, 1, 1)))


def this_month() -> str:
    return datetime.now(UTC).strftime("%Y-%m-01")


@pytest.mark.parametrize("every", ["month", "week", "day"])
def test_the_window_that_is_still_running_is_the_newest_partition(every) -> None:
    partitions = build_partitions(PartitionScheme(every=every, start=date(2024, 1, 1)))
    window = partitions.time_window_for_partition_key(partitions.get_last_partition_key())
    assert window.start <= datetime.now(UTC) < window.end


def test_the_newest_partition_is_the_incremental_run() -> None:
    request = build_window_request(monthly(), dg.PartitionKeyRange(this_month(), this_month()))
    assert request == WindowRequest("newest")


def test_a_range_to_the_newest_partition_is_the_rerun_from_its_start() -> None:
    request = build_window_request(monthly(), dg.PartitionKeyRange("2024-03-01", this_month()))
    assert (request.kind, request.start, request.to_newest) == ("range", datetime(2024, 3, 1), True)


def test_older_partitions_are_a_closed_range() -> None:
    request = build_window_request(monthly(), dg.PartitionKeyRange("2024-03-01", "2024-04-01"))
    assert request == WindowRequest("range", start=datetime(2024, 3, 1), end=datetime(2024, 5, 1))


def test_full_overrides_the_partition() -> None:
    request = build_window_request(monthly(), dg.PartitionKeyRange("2024-03-01", "2024-03-01"), full=True)
    assert request == WindowRequest("full")
