"""Time: whatever clocks, zones and late writers do, no document is missed and no value moves.

How late a document may become visible after its own date is the table's `overlap`: two hours unless declared.
"""

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from bson import ObjectId
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.declared import declare

VISITS = """
tables:
  visits:
    include_base: true
    additional_columns:
      - {name: day, sql_type: DATE, mongo_field: at, timezone: Europe/Paris}
      - {name: local, sql_type: TIMESTAMP, mongo_field: at, timezone: Europe/Paris}
      - {name: utc, sql_type: TIMESTAMP, mongo_field: at}
      - {name: instant, sql_type: TIMESTAMPTZ, mongo_field: at}
"""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Visits:
    """One table, whose documents are dated as a test likes."""

    def __init__(self, mongo: Database[Any], connection: psycopg.Connection[Any], overlap: str = "") -> None:
        changes = [("include_base", f"overlap: {overlap}\n    include_base")] if overlap else []
        self.schema: Schema = declare(VISITS, *changes)
        self.collection = mongo.visits
        self.connection = connection
        self.now = fetch_server_clock(mongo).replace(microsecond=0)

    def save(self, dated: datetime, **fields: Any) -> str:
        identity = ObjectId()
        self.collection.insert_one({"_id": identity, "creation_date": dated, "update_date": dated, **fields})
        return str(identity)

    def sync(self, on_stage: Any = None, batch_size: int = 5) -> MirrorResult:
        return mirror_table(
            self.schema,
            self.schema.tables["visits"],
            self.collection.database,
            self.connection,
            run_id="run",
            request=WindowRequest("newest"),
            batch_size=batch_size,
            on_stage=on_stage,
        )

    def mirrored(self) -> set[str]:
        return {row[0] for row in self.connection.execute("SELECT id FROM visits").fetchall()}

    def all(self) -> set[str]:
        return {str(document["_id"]) for document in self.collection.find({}, {"_id": 1})}

    def row(self, identity: str, columns: str) -> tuple[Any, ...] | None:
        query = sql.SQL("SELECT {} FROM visits WHERE id = %s").format(sql.SQL(columns))  # type: ignore[arg-type]
        return self.connection.execute(query, [identity]).fetchone()


@pytest.fixture
def visits(mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Visits:
    return Visits(mongo_database, postgres)


def test_a_date_of_the_future_moves_no_watermark_beyond_the_clock_of_the_source(visits: Visits) -> None:
    visits.save(datetime(2999, 1, 1))
    first = visits.sync()
    assert first.watermark is not None
    assert first.watermark <= fetch_server_clock(visits.collection.database)
    visits.save(visits.now)
    visits.sync()
    assert visits.mirrored() == visits.all()


@pytest.mark.parametrize("late", [MINUTE, HOUR, 2 * HOUR - MINUTE])
def test_a_writer_whose_clock_is_behind_or_who_commits_late_is_seen_within_the_overlap(
    visits: Visits, late: timedelta
) -> None:
    visits.save(visits.now)
    visits.sync()
    visits.save(visits.now - late)
    visits.sync()
    assert visits.mirrored() == visits.all()


def test_a_document_later_than_the_overlap_needs_a_longer_one(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    for overlap, seen in (("2h", 1), ("4h", 2)):
        mongo_database.visits.delete_many({})
        postgres.execute("DROP TABLE IF EXISTS visits; DROP SCHEMA IF EXISTS smartdiet CASCADE")
        visits = Visits(mongo_database, postgres, overlap)
        visits.save(visits.now)
        visits.sync()
        visits.save(visits.now - 3 * HOUR)
        visits.sync()
        assert len(visits.mirrored()) == seen


@pytest.mark.parametrize("stage", ["opened", "begun", "copied", "settled", "stored"])
@pytest.mark.parametrize("overlap", ["", "0s"])
def test_a_document_saved_during_the_read_is_in_this_run_or_the_next(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any], overlap: str, stage: str
) -> None:
    """Dated by a good clock it needs no overlap; dated before what was read already, it does."""
    visits = Visits(mongo_database, postgres, overlap)
    for number in range(12):
        visits.save(visits.now - number * MINUTE)
    saved = []

    def save_late(told: str) -> None:
        if told == stage and not saved:
            clock = fetch_server_clock(mongo_database)
            saved.append(visits.save(clock if overlap else clock - HOUR))

    visits.sync(save_late)
    visits.sync()
    assert saved
    assert visits.mirrored() == visits.all()


def test_equal_dates_across_a_batch_edge_and_a_watermark_are_all_seen(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    visits = Visits(mongo_database, postgres, "0s")
    for _ in range(2):
        for _ in range(12):
            visits.save(visits.now)
        visits.sync(batch_size=5)
        assert visits.mirrored() == visits.all()


def test_a_source_whose_clock_goes_back_is_read_from_its_new_time(visits: Visits) -> None:
    """The watermark stays where the clock once was; what is written until then again is not waited for."""
    visits.save(visits.now)
    visits.sync()
    ahead = visits.now + 30 * HOUR
    visits.connection.execute("UPDATE smartdiet.sync_state SET watermark = %s", [ahead])
    visits.save(visits.now)
    assert visits.sync().watermark == ahead
    assert visits.mirrored() == visits.all()


def test_a_table_filled_under_a_clock_that_was_ahead_is_read_from_the_time_of_the_source(visits: Visits) -> None:
    """The replaced tool dated rows by its own clock; what decides is the source's, not PostgreSQL's."""
    visits.save(visits.now)
    visits.sync()
    visits.connection.execute("UPDATE visits SET updated_at = '2998-01-01'; DELETE FROM smartdiet.sync_state")
    visits.save(visits.now)
    visits.sync()
    assert visits.mirrored() == visits.all()


@pytest.mark.parametrize("first", [datetime(1, 1, 1), datetime(1, 1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)])
def test_the_ends_of_the_calendar_stop_no_run(visits: Visits, first: datetime) -> None:
    identity = visits.save(first, at=datetime(1, 1, 1))
    visits.sync()
    assert visits.row(identity, "day, utc") == (date(1, 1, 1), datetime(1, 1, 1))
    visits.save(visits.now)
    visits.sync()
    assert visits.mirrored() == visits.all()


#: What is saved, and the day, the local time and the UTC time it becomes in Paris.
INSTANTS: list[tuple[Any, date, datetime, datetime]] = [
    # the last minute of winter time and the first of summer time: 02:00 to 03:00 is skipped
    (datetime(2024, 3, 31, 0, 59), date(2024, 3, 31), datetime(2024, 3, 31, 1, 59), datetime(2024, 3, 31, 0, 59)),
    (datetime(2024, 3, 31, 1), date(2024, 3, 31), datetime(2024, 3, 31, 3), datetime(2024, 3, 31, 1)),
    # 02:30 twice in October: two instants, one local time
    (datetime(2024, 10, 27, 0, 30), date(2024, 10, 27), datetime(2024, 10, 27, 2, 30), datetime(2024, 10, 27, 0, 30)),
    (datetime(2024, 10, 27, 1, 30), date(2024, 10, 27), datetime(2024, 10, 27, 2, 30), datetime(2024, 10, 27, 1, 30)),
    # midnight of Paris on both days of change
    (datetime(2024, 3, 30, 23), date(2024, 3, 31), datetime(2024, 3, 31), datetime(2024, 3, 30, 23)),
    (datetime(2024, 3, 31, 22), date(2024, 4, 1), datetime(2024, 4, 1), datetime(2024, 3, 31, 22)),
    (datetime(2024, 10, 26, 22), date(2024, 10, 27), datetime(2024, 10, 27), datetime(2024, 10, 26, 22)),
    (datetime(2024, 10, 27, 23), date(2024, 10, 28), datetime(2024, 10, 28), datetime(2024, 10, 27, 23)),
]  # fmt: skip


@pytest.fixture(params=["UTC", "America/St_Johns", "Pacific/Auckland"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The time zone of this process."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("server_zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_no_zone_of_process_or_server_changes_a_value(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any], zone: str, server_zone: str
) -> None:
    with psycopg.connect(postgres.info.dsn, password=postgres.info.password, autocommit=True) as connection:
        connection.execute(sql.SQL("SET TIME ZONE {}").format(sql.Literal(server_zone)))
        visits = Visits(mongo_database, connection)
        expected = {visits.save(visits.now, at=at): values for at, *values in INSTANTS}
        # Strings: without a zone local already where the column has one, and UTC for an instant.
        naive = visits.save(visits.now, at="2024-03-31T02:30:00")
        aware = visits.save(visits.now, at="2024-10-27T02:30:00+01:00")
        visits.sync()
        visits.sync()
        columns = "day, local, utc, instant AT TIME ZONE 'UTC'"
        for identity, (day, local, utc) in expected.items():
            assert visits.row(identity, columns) == (day, local, utc, utc)
        skipped = datetime(2024, 3, 31, 2, 30)
        assert visits.row(naive, columns) == (date(2024, 3, 31), skipped, skipped, skipped)
        written, meant = datetime(2024, 10, 27, 2, 30), datetime(2024, 10, 27, 1, 30)
        assert visits.row(aware, columns) == (date(2024, 10, 27), written, written, meant)
        assert visits.row(naive, "created_at") == (visits.now,)
        assert visits.mirrored() == visits.all()


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2024-03-06T24:00:00", "2024-03-06T24:00", "2024-03-31T25:00", "2024-02-30"]
)
def test_a_time_no_clock_shows_is_rejected_as_out_of_range(visits: Visits, text: str) -> None:
    """Also 24:00, which later versions of Python would take for the next day."""
    visits.save(visits.now, at=text)
    visits.sync()
    found = visits.connection.execute("SELECT reason FROM smartdiet.rejected_rows").fetchall()
    assert found == [("out_of_range",)]
