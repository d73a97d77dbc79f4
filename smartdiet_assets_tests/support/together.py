"""Syncs of tables that are read together, as `mirrored` runs them one by one; one of them may be made to fail.

Here: a thread and a connection for each table of a group. Not here: retries and servers that are away (`mirror.sync`).
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.failures import KeptBackError
from smartdiet_assets.mirror.grouping import plan_groups
from smartdiet_assets.mirror.shared_reading import Member, SharedReading
from smartdiet_assets.mirror.sources.mongodb import open_collection
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_source
from smartdiet_assets_tests.support.mirrored import Mirrored


class MeantError(Exception):
    """What the table that is to fail ends with."""


class Together(Mirrored):
    """A mirror whose tables of one collection are read once.

    Attributes:
        failing: the table to fail in the next run, and the stage after which.
    """

    failing: tuple[str, str] = ("", "")

    def run(
        self, request: WindowRequest | None = None, tables: Collection[str] | None = None
    ) -> dict[str, MirrorResult]:
        names = [name for name in self.schema.tables if tables is None or name in tables]
        run_id = f"run-{next(self._runs)}"
        results: dict[str, MirrorResult] = {}
        failed: set[str] = set()
        for group in plan_groups(self.schema, names):
            for name in group:
                if not failed.isdisjoint(self.schema.tables[name].parents):
                    failed.add(name)
            left = [name for name in group if name not in failed]
            members = SharedReading(self.schema, left).members
            with ThreadPoolExecutor(len(group)) as pool:
                futures = {
                    name: pool.submit(self._mirror, member, run_id, request or WindowRequest("newest"))
                    for name, member in members.items()
                }
            for name, future in futures.items():
                error = future.exception()
                if isinstance(error, MeantError | KeptBackError):
                    failed.add(name)
                else:
                    results[name] = future.result()
        self.failing = ("", "")
        return results

    def sync(self, request: WindowRequest | None = None, tables: Collection[str] | None = None) -> list[str]:
        results = self.run(request, tables)
        return self.compare(None if len(results) == len(self.schema.tables) else set(results))

    def _mirror(self, member: Member, run_id: str, request: WindowRequest) -> MirrorResult:
        def fail(stage: str) -> None:
            if self.failing == (member.name, stage):
                raise MeantError

        result = None
        table = self.schema.tables[member.name]
        try:
            with (
                self._connect() as connection,
                open_collection(self.schema, table, self.mongo, self.batch_size) as source,
            ):
                result = mirror_source(
                    source,
                    connection,
                    together=member,
                    run_id=run_id,
                    request=request,
                    bulk=self.bulk,
                    on_stage=fail,
                    lock_timeout=10.0,
                )
                return result
        finally:
            member.end(well=result is not None, wrote=result is not None and result.load.mode != "none")
