"""`smartdiet reconcile`: the reconcile pass over the configured servers."""

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from smartdiet_assets.mirror.reconciliation import TableReconciliation, build_source_opener, reconcile_tables
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_server import PostgresServer
from smartdiet_assets.schema.model import Schema


@dataclass(slots=True)
class ReconcileOutcome:
    """What a pass did to each table, children first."""

    dry_run: bool
    tables: dict[str, TableReconciliation] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> dict[str, str]:
        """The tables that were refused or failed, each with its error."""
        return {name: table.error for name, table in self.tables.items() if table.error}

    def as_json(self) -> dict[str, Any]:
        """Build what `--json` prints; `error` and `left_out` only where they say something."""
        return {
            "dry_run": self.dry_run,
            "tables": {name: _as_json(table) for name, table in self.tables.items()},
            "seconds": round(self.seconds, 3),
        }


def run_reconcile(
    schema: Schema, environment: Environment, tables: Sequence[str], *, dry_run: bool = False, force: bool = False
) -> ReconcileOutcome:
    """Reconcile tables of the configured servers; a table that fails is part of the outcome.

    Raises:
        ConfigurationError: the SSH server is not named.
    """
    started = time.perf_counter()
    outcome = ReconcileOutcome(dry_run)
    kinds = {schema.tables[name].source_kind for name in tables}
    with ExitStack() as stack:
        postgres = stack.enter_context(closing(PostgresServer(environment)))
        servers = {kind.name: stack.enter_context(find_opener(kind).open_server(environment)) for kind in kinds}
        passing = reconcile_tables(
            schema,
            tables,
            postgres.connect,
            build_source_opener(schema, servers),
            run_id=str(uuid.uuid4()),
            dry_run=dry_run,
            force=force,
            retry_delay=environment.retry_delay,
        )
        outcome.tables.update(passing)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _as_json(table: TableReconciliation) -> dict[str, Any]:
    counts = table.counts
    values: dict[str, Any] = {
        "documents": counts.documents,
        "rows": counts.rows,
        "gone": counts.gone,
        "removed": counts.removed,
        "flagged": counts.flagged,
        "replaced": counts.replaced,
        "restored": counts.restored,
        "cascaded": counts.cascaded,
        "seconds": table.seconds,
    }
    if table.left_out:
        values["left_out"] = table.left_out
    if table.error:
        values["error"] = table.error
    return values
