"""Planning a first load in shards, and giving a plan up: under the lock of the table, like any load."""

from smartdiet_assets.load.execution import Connection
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records.shards import ShardPlan, forget_plan, plan_shards, read_plan
from smartdiet_assets.load.shards.tables import ShardTables, create_tables, drop_tables, find_rows
from smartdiet_assets.load.transaction import open_transaction
from smartdiet_assets.schema.model import Table


def read_usable_plan(connection: Connection, table: Table, schema_name: str, digest: str) -> ShardPlan | None:
    """Read the plan of a table's first load, None where there is none that can be gone on with.

    Args:
        digest: of the declaration and the collection now.
    """
    plan = read_plan(connection, table)
    if plan is None:
        return None
    rows = find_rows(connection, ShardTables.of(schema_name, table.name))
    return plan if plan.digest == complete_digest(digest, rows) else None


def complete_digest(digest: str, rows: int | None) -> str:
    """Add to a digest the number of the table of rows: what was restored, or copied along, is none to go on with."""
    return f"{digest} {rows}"


def store_plan(load: Load, plan: ShardPlan) -> None:
    """Create the tables of a first load and have its plan stored with the COMMIT; nothing else is left of the load."""
    tables = ShardTables.of(load.schema_name, load.table.name)
    create_tables(load, tables)
    forget_plan(load.connection, load.table)
    digest = complete_digest(plan.digest, find_rows(load.connection, tables))
    stored = ShardPlan(plan.plan_id, digest, plan.source_clock, plan.documents_expected, plan.whole, plan.shards)
    load.at_commit.append(plan_shards(load.table, stored, load.run_id))


def drop_plan(connection: Connection, table: Table, schema_name: str) -> None:
    """Give a first load up, with what it has copied."""
    drop_tables(connection, ShardTables.of(schema_name, table.name))
    forget_plan(connection, table)


def abandon_plan(connection: Connection, table: Table, lock_timeout: float) -> None:
    """Give a first load up in a transaction of its own.

    Raises:
        LoadConflictError: another run had the table for longer than the lock timeout.
    """
    with open_transaction(connection, table, lock_timeout) as transaction:
        drop_plan(connection, table, str(transaction.last_state.schema_name))
