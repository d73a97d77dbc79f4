"""What an operator sees of a run that fails because its table's `max_rejects` is exceeded."""

from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from bson import ObjectId

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema

TABLES = """
tables:
  companies:
    include_base: true
    max_rejects: 1
    additional_columns:
      - {name: name, sql_type: VARCHAR(10)}
      - {name: size, sql_type: INTEGER}
"""


def test_the_failure_counts_by_column_and_reason_and_is_not_retried(
    tmp_path: Path, mongo_database: Any, postgres: psycopg.Connection[Any], configured_servers: None
) -> None:
    path = tmp_path / "schemas.yaml"
    path.write_text(TABLES)
    mongo_database.companies.insert_many(
        [{"_id": ObjectId(), "name": "Marked-Value"}, {"name": "Marked-Value"}, {"size": "marked"}, {"name": "fine"}]
    )
    definitions = build_definitions(load_schema(path), read_environment())
    job = definitions.resolve_job_def("mirror")
    assert job.partitions_def is not None
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance, partition_key=job.partitions_def.get_last_partition_key(), raise_on_error=False
        )
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    metadata = failure.user_failure_data.metadata
    assert {name: value.value for name, value in metadata.items() if name != "rejects"} == {
        "rejected": 3, "rejected_before": 0, "max_rejects": "1",
    }  # fmt: skip
    assert [tuple(row.data.values()) for row in metadata["rejects"].records] == [  # type: ignore[union-attr]
        ("name", "too_long", "character varying(10)", "string", 2),
        ("size", "invalid_type", "integer", "string", 1),
    ]
    assert "marked" not in f"{failure} {metadata}".lower()
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert postgres.execute("SELECT to_regclass('companies')").fetchone() == (None,)
