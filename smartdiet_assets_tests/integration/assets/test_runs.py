"""What a picked partition makes a run read, through Dagster: a first run, the newest, a range, an old one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId

from smartdiet_assets.assets import progress as shown
from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.mirror import progress, reading
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema

TABLES = """
partitions: {every: month, start: 2026-01-01}
tables:
  companies:
    include_base: true
    description: Client companies.
    group: reference
    owners: ["team:data"]
    overlap: 0s
    additional_columns:
      - {name: name, sql_type: VARCHAR(20), nullable: false}
  users:
    include_base: true
    overlap: 0s
    additional_columns:
      - {name: email, sql_type: VARCHAR(255)}
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
  user_events:
    mongo_collection: users
    overlap: 0s
    columns:
      - {name: user_id, sql_type: VARCHAR, nullable: false, foreign_key: users(id), mongo_field: _id}
      - {name: event_id, sql_type: VARCHAR, nullable: false, item_field: [., event, _id]}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    arrays: [{field: registered_events}]
    unique_constraints: [[user_id, event_id]]
"""
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


class Mirror:
    """The definitions of the tables above on one source and one target, run through an instance."""

    def __init__(self, path: Path, mongo_database: Any, instance: dg.DagsterInstance | None = None) -> None:
        self.path = path
        self.declare(TABLES)
        self.source = mongo_database
        self.instance = instance or dg.DagsterInstance.ephemeral()

    def declare(self, text: str) -> None:
        self.path.write_text(text)

    @property
    def schema(self) -> Schema:
        return load_schema(self.path)

    def run(
        self,
        first: str | None = None,
        last: str | None = None,
        *,
        tables: tuple[str, ...] = ("companies", "users", "user_events"),
        config: dict[str, Any] | None = None,
        run_config: dict[str, Any] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Run the job for the newest partition, one partition or a range; metadata values by table."""
        result = self.execute(first, last, tables=tables, config=config, run_config=run_config)
        assert result.success
        return {
            event.step_key or "": {
                name: getattr(value, "value", value)
                for name, value in event.step_materialization_data.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
        }

    def execute(
        self,
        first: str | None = None,
        last: str | None = None,
        *,
        tables: tuple[str, ...],
        config: dict[str, Any] | None = None,
        run_config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Do so, whatever becomes of it."""
        definitions = build_definitions(self.schema, read_environment())
        newest = build_partitions(self.schema.partitions).get_last_partition_key()
        picked: dict[str, Any] = {"partition_key": first or newest}
        if last is not None:
            picked = {
                "tags": {
                    "dagster/asset_partition_range_start": first or newest,
                    "dagster/asset_partition_range_end": newest if last == "newest" else last,
                }
            }
        keys = {dg.AssetKey(name) for name in tables}
        # Without the checks that Dagster adds to picked tables.
        job = definitions.resolve_job_def("mirror").get_subset(asset_selection=keys, asset_check_selection=frozenset())
        return job.execute_in_process(
            instance=self.instance,
            run_config=run_config or {"ops": {name: {"config": config or {}} for name in tables}},
            raise_on_error=False,
            **picked,
        )

    def add(self, collection: str, day: datetime, **fields: Any) -> ObjectId:
        document = {"_id": ObjectId.from_datetime(day), "creation_date": day, "update_date": day, **fields}
        if self.source[collection].find_one({"_id": document["_id"]}):
            document["_id"] = ObjectId()
        self.source[collection].insert_one(document)
        return document["_id"]


@pytest.fixture
def mirror(tmp_path: Path, mongo_database: Any, configured_servers: None) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "schemas.yaml", mongo_database)
    with made.instance:
        yield made


def test_the_first_run_reads_everything_whatever_the_partition(mirror: Mirror) -> None:
    mirror.add("companies", datetime(2019, 1, 1), name="old")
    mirror.add("companies", NOW, name="new")
    assert mirror.run()["companies"]["inserted"] == 2


def marked(mirror: Mirror, table: str = "companies") -> set[str]:
    return mirror.instance.get_materialized_partitions(dg.AssetKey(table))


def test_a_first_load_marks_the_partitions_it_covers_once(mirror: Mirror) -> None:
    mirror.add("companies", NOW, name="new")
    mirror.run()
    months = build_partitions(mirror.schema.partitions).get_partition_keys()
    assert marked(mirror) == set(months)
    mirror.run(config={"full": True})
    events = mirror.instance.all_logs(
        mirror.instance.get_runs()[0].run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    assert len(events) == 3, "one of each table"


def test_a_first_load_from_a_date_on_marks_the_partitions_after_it(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOBAL_DATE_THRESHOLD", "2026-03-15")
    mirror.add("companies", NOW, name="new")
    mirror.run()
    assert min(marked(mirror)) == "2026-04-01"


def test_the_newest_partition_reads_from_the_watermark_not_from_the_start_of_the_month(
    mirror: Mirror,
) -> None:
    for minutes in (30, 20, 10):
        mirror.add("companies", NOW - timedelta(minutes=minutes), name="x")
    mirror.run()
    mirror.add("companies", NOW, name="late")
    metadata = mirror.run()["companies"]
    # The watermark's own document is read again, as the lower bound is inclusive.
    assert (metadata["documents_read"], metadata["inserted"], metadata["unchanged"]) == (2, 1, 1)


def test_a_range_to_the_newest_partition_reads_from_its_start(mirror: Mirror) -> None:
    quiet = mirror.add("companies", datetime(2026, 5, 10), name="may")
    mirror.add("companies", datetime(2026, 3, 10), name="march")
    mirror.add("companies", NOW, name="now")
    mirror.run()
    # An edit without a new date: only a re-run can see it.
    mirror.source.companies.update_one({"_id": quiet}, {"$set": {"name": "renamed"}})
    assert mirror.run()["companies"]["updated"] == 0
    metadata = mirror.run("2026-05-01", "newest")["companies"]
    assert (metadata["documents_read"], metadata["updated"], metadata["window"]) == (2, 1, "rerun")


def test_a_range_is_one_run_with_one_materialisation_per_partition(mirror: Mirror) -> None:
    mirror.add("companies", NOW, name="x")
    mirror.run()
    mirror.run("2026-03-01", "2026-05-01", tables=("companies",))
    runs = mirror.instance.get_runs()
    events = mirror.instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert [event.get_dagster_event().partition for event in events] == ["2026-03-01", "2026-04-01", "2026-05-01"]
    assert len(runs) == 2


def test_old_partitions_read_themselves_and_never_move_the_watermark(mirror: Mirror) -> None:
    march = mirror.add("companies", datetime(2026, 3, 10), name="march")
    mirror.add("companies", datetime(2026, 5, 10), name="may")
    mirror.add("companies", NOW, name="now")
    before = mirror.run()["companies"]["watermark"]
    mirror.source.companies.update_one({"_id": march}, {"$set": {"name": "renamed"}})
    metadata = mirror.run("2026-03-01")["companies"]
    assert (metadata["documents_read"], metadata["updated"], metadata["window"]) == (1, 1, "partition")
    assert metadata["watermark"] == before


def test_since_in_the_run_config_moves_the_start_back_and_never_forward(mirror: Mirror) -> None:
    mirror.add("companies", datetime(2026, 3, 10), name="march")
    mirror.add("companies", NOW, name="now")
    mirror.run()
    assert mirror.run(config={"since": "2026-03-01"})["companies"]["documents_read"] == 2
    assert mirror.run(config={"since": "2090-01-01"})["companies"]["documents_read"] == 1


def test_full_in_the_run_config_reads_everything_and_writes_nothing_new(mirror: Mirror) -> None:
    mirror.add("companies", datetime(2026, 3, 10), name="march")
    mirror.add("companies", NOW, name="now")
    mirror.add("users", NOW)
    mirror.run()
    metadata = mirror.run(config={"full": True})["companies"]
    assert (metadata["documents_read"], metadata["unchanged"], metadata["updated"]) == (2, 2, 0)
    # One setting for the run, and what a single table is asked instead.
    asked = {"resources": {"all_tables": {"config": {"full": True}}}, "ops": {"companies": {"config": {"full": False}}}}
    windows = {name: found["window"] for name, found in mirror.run(run_config=asked).items()}
    assert windows == {"companies": "incremental", "users": "full", "user_events": "full"}


def test_a_long_load_tells_how_far_it_is_in_its_log_and_on_the_page_of_its_table(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (reading, "_SECONDS_BETWEEN_REPORTS"),
        (reading, "_SECONDS_TO_ESTIMATE"),
        (progress, "_SECONDS_BETWEEN_LINES"),
        (shown, "_SECONDS_TO_OBSERVE"),
    ):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setenv("BATCH_SIZE", "2")
    for number in range(6):
        mirror.add("companies", NOW, name=f"company {number}")
    mirror.run()
    run = mirror.instance.get_runs()[0].run_id
    lines = [entry.user_message for entry in mirror.instance.all_logs(run) if entry.step_key == "companies"]
    assert any("companies: 2 of about 6 documents read (33%), " in line for line in lines)
    observations = mirror.instance.fetch_observations(dg.AssetKey("companies"), limit=10).records
    told = observations[-1].asset_observation
    assert told is not None
    assert told.metadata["run"].value == run
    assert (told.metadata["documents_read"].value, told.metadata["documents_expected"].value) == (2, 6)


def test_the_threshold_limits_a_first_load_and_older_parents_are_fetched_by_id(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOBAL_DATE_THRESHOLD", "2026-06-01")
    old = mirror.add("companies", datetime(2023, 1, 1), name="old")
    mirror.add("companies", datetime(2023, 2, 1), name="unused")
    mirror.add("users", NOW, company=old, registered_events=[ObjectId()])
    first = mirror.run()
    assert (first["companies"]["inserted"], first["users"]["rejected"]) == (0, 1)
    second = mirror.run()
    assert (second["companies"]["inserted"], second["users"]["inserted"], second["users"]["rejected"]) == (
        1,
        1,
        0,
    )
    assert second["user_events"]["inserted"] == 1


def test_a_column_added_to_the_file_is_filled_by_a_reimport_of_its_table(mirror: Mirror) -> None:
    mirror.add("companies", datetime(2026, 3, 10), name="march", size=12)
    mirror.add("companies", NOW, name="now", size=3)
    mirror.run()
    mirror.declare(
        TABLES.replace(
            "      - {name: name, sql_type: VARCHAR(20), nullable: false}\n",
            "      - {name: name, sql_type: VARCHAR(20), nullable: false}\n      - {name: size, sql_type: INTEGER}\n",
        )
    )
    metadata = mirror.run()["companies"]
    assert (metadata["documents_read"], metadata["updated"], metadata["window"]) == (2, 2, "full")
    assert mirror.run()["companies"]["window"] == "incremental"


def test_truncate_before_import_also_reimports_what_its_cascade_emptied(mirror: Mirror) -> None:
    company = mirror.add("companies", datetime(2026, 3, 10), name="march")
    mirror.add("users", NOW, company=company, registered_events=[ObjectId()])
    mirror.run()
    mirror.declare(
        TABLES.replace(
            "    group: reference\n",
            "    group: reference\n    force_reimport: true\n    truncate_before_import: true\n",
        )
    )
    metadata = mirror.run()
    assert [metadata[table]["inserted"] for table in ("companies", "users", "user_events")] == [1, 1, 1]


def test_the_metadata_of_a_run_has_the_promised_keys_and_no_value_of_a_document(mirror: Mirror) -> None:
    company = mirror.add("companies", NOW, name="Marked-Value")
    mirror.add("users", NOW, company=company, email="marked@value", registered_events=[ObjectId()])
    mirror.declare(TABLES.replace("email, sql_type: VARCHAR(255)", "email, sql_type: VARCHAR(5), on_invalid: clamp"))
    metadata = mirror.run()
    expected = {
        "dagster/row_count", "dagster/partition_row_count", "inserted", "updated", "deleted", "unchanged", "rejected",
        "documents_read", "mode", "watermark", "window", "seconds", "seconds_read", "seconds_transform",
        "collapsed", "nulled", "clamped",
    }  # fmt: skip
    for table in metadata.values():
        assert expected <= set(table)
    assert [(metadata[table]["nulled"], metadata[table]["clamped"]) for table in metadata] == [(0, 0), (0, 1), (0, 0)]
    assert [row.data for row in metadata["users"]["invalid_values"].records] == [
        {"column": "email", "nulled": 0, "clamped": 1}
    ]
    assert "marked" not in str(metadata).lower()
    mirror.source.users.update_one({}, {"$set": {"registered_events": [], "update_date": NOW + timedelta(seconds=1)}})
    events = mirror.run()["user_events"]
    assert (events["deleted"], events["inserted"], events["mode"]) == (1, 0, "replace")
    assert events["change_ratio"] == 1.0
