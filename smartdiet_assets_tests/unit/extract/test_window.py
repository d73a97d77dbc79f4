"""Which documents a run reads: the first rule that matches wins."""

from datetime import date, datetime, timedelta

import pytest

from smartdiet_assets.extract.window import Window, WindowRequest, plan_window
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.types import parse_sql_type

JANUARY, MARCH, MAY, JUNE = (datetime(2024, month, 1) for month in (1, 3, 5, 6))
OVERLAP = timedelta(hours=2)


def table(**settings: object) -> Table:
    return Table(
        name="users",
        columns=(Column(name="id", type=parse_sql_type("VARCHAR"), mongo_field=("_id",)),),
        shape="one_row",
        document_column="id",
        key=("id",),
        mongo_collection="users",
        overlap=OVERLAP,
        **settings,
    )


NEWEST = WindowRequest("newest")
MARCH_ALONE = WindowRequest("range", start=MARCH, end=MAY)
MARCH_TO_NEWEST = WindowRequest("range", start=MARCH, end=JUNE, to_newest=True)


@pytest.mark.parametrize(
    ("settings", "request_", "watermark", "threshold", "expected"),
    [
        # 1. force_reimport reads everything, whatever was asked
        ({"force_reimport": True}, NEWEST, MAY, None, Window("full")),
        ({"force_reimport": True}, MARCH_ALONE, MAY, date(2024, 1, 1), Window("full")),
        ({}, WindowRequest("full"), MAY, None, Window("full")),
        ({"incremental": "none"}, NEWEST, MAY, None, Window("full")),
        # 2. the first run reads everything, or from the threshold on
        ({}, NEWEST, None, None, Window("full")),
        ({}, NEWEST, None, date(2024, 1, 1), Window("full", start=JANUARY)),
        ({"date_threshold": date(2024, 3, 1)}, NEWEST, None, date(2024, 1, 1), Window("full", start=MARCH)),
        ({}, MARCH_ALONE, None, None, Window("full")),
        # 3. the newest partition reads from the watermark, moved back by the overlap, never from its own start
        ({}, NEWEST, MAY, None, Window("incremental", start=MAY - OVERLAP)),
        ({}, NEWEST, MAY, date(2024, 3, 1), Window("incremental", start=MARCH)),
        ({}, NEWEST, MARCH, date(2024, 5, 1), Window("incremental", start=MARCH - OVERLAP)),
        ({}, WindowRequest("newest", since=JANUARY), MAY, None, Window("incremental", start=JANUARY)),
        ({}, WindowRequest("newest", since=JUNE), MAY, None, Window("incremental", start=MAY - OVERLAP)),
        # 4. a range that ends with the newest partition is open ended, from the earlier of its start and the watermark
        ({}, MARCH_TO_NEWEST, MAY, None, Window("rerun", start=MARCH)),
        ({}, MARCH_TO_NEWEST, JANUARY, None, Window("rerun", start=JANUARY - OVERLAP)),
        # 5. older partitions read themselves and move no watermark, also not forward over what they skip
        ({}, MARCH_ALONE, JUNE, None, Window("partition", start=MARCH, end=MAY, moves_watermark=False)),
        ({}, MARCH_ALONE, JANUARY, None, Window("partition", start=MARCH, end=MAY, moves_watermark=False)),
        # A table without dates whose rows are only added reads those after its newest key, or everything
        ({"incremental": "key"}, NEWEST, None, date(2024, 1, 1), Window("full")),
        ({"incremental": "key"}, NEWEST, MAY, date(2024, 1, 1), Window("incremental", by_key=True)),
        ({"incremental": "key"}, MARCH_ALONE, MAY, None, Window("incremental", by_key=True)),
        ({"incremental": "key"}, MARCH_TO_NEWEST, MAY, None, Window("full")),
        ({"incremental": "key"}, WindowRequest("newest", since=JANUARY), MAY, None, Window("full")),
    ],
)
def test_the_window_of_a_request(settings, request_, watermark, threshold, expected) -> None:
    planned = plan_window(table(**settings), request_, watermark=watermark, global_date_threshold=threshold)
    assert planned == expected


@pytest.mark.parametrize(
    ("settings", "request_", "watermark", "expected"),
    [
        # The normal run reads what the stream names, whatever the dates and thresholds; `since` adds the dates
        ({}, NEWEST, MAY, Window("change_stream")),
        ({}, NEWEST, None, Window("change_stream")),
        ({"incremental": "none"}, NEWEST, None, Window("change_stream")),
        ({}, WindowRequest("newest", since=MARCH), MAY, Window("change_stream", start=MARCH)),
        # Everything else reads as it does without a stream
        ({"incremental": "none"}, WindowRequest("newest", since=MARCH), None, Window("full")),
        ({"incremental": "none"}, MARCH_ALONE, None, Window("full")),
        ({"force_reimport": True}, NEWEST, MAY, Window("full")),
        ({}, WindowRequest("full"), MAY, Window("full")),
        ({}, MARCH_TO_NEWEST, MAY, Window("rerun", start=JANUARY)),
        ({}, MARCH_ALONE, JUNE, Window("partition", start=MARCH, end=MAY, moves_watermark=False)),
    ],
)
def test_the_window_of_a_table_with_a_position_in_its_change_stream(settings, request_, watermark, expected) -> None:
    threshold = date(2024, 1, 1)
    planned = plan_window(
        table(**settings), request_, watermark=watermark, has_position=True, global_date_threshold=threshold
    )
    assert planned.reads_everything is (expected.kind == "full")
    assert planned == expected


def test_a_table_that_must_be_read_whole_is_whatever_was_asked() -> None:
    assert plan_window(table(), MARCH_ALONE, watermark=JUNE, reimport=True) == Window("full")


@pytest.mark.parametrize(
    ("window", "before", "after"),
    [
        (Window("full"), None, datetime.min),
        (Window("full", start=MARCH), None, MARCH),
        (Window("full"), MARCH, datetime.min),
        (Window("incremental", start=JUNE), MARCH, MARCH),
        (Window("rerun", start=JANUARY), MARCH, JANUARY),
        # Nobody knows what was read of the time before.
        (Window("rerun", start=JANUARY), None, None),
        (Window("partition", start=JANUARY, end=MARCH), MAY, MAY),
        (Window("change_stream"), MARCH, MARCH),
        (Window("incremental", by_key=True), datetime.min, datetime.min),
    ],
)
def test_from_which_date_on_everything_was_read(window, before, after) -> None:
    assert window.extend(before) == after
