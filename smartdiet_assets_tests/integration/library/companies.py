"""A company whose mirror is one of several in a project: its servers, its runs, and the oracle that watches it."""

from collections.abc import Collection
from typing import Any

import dagster as dg
import psycopg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import MirrorResult
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.mirrored import Mirrored


class Company(Mirrored):
    """Mirrors by Dagster's jobs; what is asked of `Mirrored` besides is asked in the mirror's PostgreSQL schema.

    Attributes:
        name: of the mirror.
        prefix: of its assets' keys.
        definitions: of the project that mirrors it; given before it runs.
    """

    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def __init__(
        self,
        name: str,
        schema: Schema,
        prefix: tuple[str, ...],
        target_schema: str,
        source: Database[dict[str, Any]],
        connection: psycopg.Connection[Any],
    ) -> None:
        super().__init__(schema, source, connection)
        self.name = name
        self.prefix = prefix
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(target_schema)))
        connection.commit()

    def key(self, table: str) -> dg.AssetKey:
        return dg.AssetKey([*self.prefix, table])

    def run(
        self, request: WindowRequest | None = None, tables: Collection[str] | None = None
    ) -> dict[str, MirrorResult]:
        """Run the newest partition of every table."""
        assert request is None
        assert tables is None
        self.execute("mirror")
        return {}

    def execute(self, plain: str, **options: Any) -> dg.ExecuteInProcessResult:
        """Run a job of the mirror, given by its plain name; it has to succeed."""
        job = self.definitions.resolve_job_def(f"{self.name}_{plain}")
        newest = job.partitions_def.get_last_partition_key() if plain == "mirror" and job.partitions_def else None
        return job.execute_in_process(instance=self.instance, partition_key=newest, **options)

    def tick(self, **context: Any) -> SensorExecutionData:
        """Evaluate the mirror's sensor once."""
        repository = self.definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance, repository_def=repository, resources=self.definitions.resources, **context
        ) as made:
            return repository.get_sensor_def(f"{self.name}_change_sensor").evaluate_tick(made)
