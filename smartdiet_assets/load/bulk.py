"""The bulk way: COPY into an empty table without keys, which are built once the rows are in."""

import re
import time
from collections.abc import Callable, Sequence

from psycopg import errors, sql

from smartdiet_assets.load.advisory import try_lock_tables
from smartdiet_assets.load.beside import ReadsAloneError
from smartdiet_assets.load.execution import Connection, execute, execute_all, fetch_value
from smartdiet_assets.load.fragments import relations_of
from smartdiet_assets.load.removal.cascade import list_reach
from smartdiet_assets.load.structure.rebuild import read_rebuild_plan
from smartdiet_assets.load.target import Target

#: Whoever analyses a parent, or reads a few rows of it, is soon gone.
_ATTEMPTS = 5

#: Whatever else has it in a name may as well be built with the unique keys.
_UNIQUE = re.compile(r"\b(UNIQUE|PRIMARY KEY)\b")
_QUIETLY = sql.SQL("""\
DECLARE
  workers text := current_setting('max_parallel_maintenance_workers');
BEGIN
  PERFORM set_config('max_parallel_maintenance_workers', '0', true);
{statements}
  PERFORM set_config('max_parallel_maintenance_workers', workers, true);
EXCEPTION WHEN unique_violation THEN
  RAISE unique_violation USING MESSAGE = 'rows share a unique value';
END""")


def compose_is_empty(relations: Sequence[sql.Composable]) -> sql.Composed:
    """Compose the question whether tables hold no row."""
    empty = (sql.SQL("NOT EXISTS (SELECT FROM {})").format(relation) for relation in relations)
    return sql.SQL("SELECT {}").format(sql.SQL(" AND ").join(empty))


def check_beside(target: Target, *, truncates: bool) -> None:
    """Check that a load that may fill a table that is there does not need its relatives' tables for itself.

    Emptying a table empties those below, and taking away the keys around an empty one locks those above and below.

    Raises:
        ReadsAloneError: it needs them.
    """
    if target.beside.related and (
        truncates or fetch_value(target.connection, compose_is_empty(relations_of(target.table)))
    ):
        raise ReadsAloneError


def drop_keys(target: Target, pause: float) -> list[sql.Composed] | None:
    """Drop the keys, indexes and foreign keys around an empty table; return the statements that build them again.

    None where a unique key has to stay, at which a duplicate would end the COPY: such rows are settled first. And where
    a run of a child, or anybody who reads a table concerned, is in the way: dropping a foreign key shuts out the
    parent's readers too, and a run that waited for them would keep out everybody who comes after it, and could wait for
    a run that waits for it. So are related loads that are open beside this one.

    Args:
        pause: seconds between two attempts, while somebody is in the way.
    """
    if target.beside.related:
        return None
    connection, table_name = target.connection, target.table.name
    below = [name for name in list_reach(target.schema, table_name) if name != table_name]
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause)
        try:
            with connection.transaction():
                if not try_lock_tables(connection, below):
                    raise errors.LockNotAvailable
                plan = read_rebuild_plan(connection, table_name)
                if not plan.frees:
                    return None
                if plan.locked:
                    execute(
                        connection,
                        sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(
                            sql.SQL(", ").join(plan.locked)
                        ),
                    )
                for statement in plan.drops:
                    execute(connection, statement)
                return list(plan.restores)
        except errors.LockNotAvailable:
            continue
        except errors.InsufficientPrivilege:
            break
    return None


def try_build_keys(connection: Connection, statements: Sequence[sql.Composed], *, distinct: bool = False) -> bool:
    """Build keys, indexes and foreign keys over the rows; False, with nothing built, where rows share a unique value.

    Such rows are so rare that looking for them first is not worth its time: the unique keys find them.

    Args:
        distinct: whether it is known that no rows share one.
    """
    unique = [] if distinct else [s for s in statements if _UNIQUE.search(s.as_string())]
    others = [s for s in statements if s not in unique]
    if unique:
        others.insert(0, compose_quiet(unique))
    try:
        execute_all(connection, [sql.SQL("SAVEPOINT keys"), *others, sql.SQL("RELEASE SAVEPOINT keys")])
    except (errors.UniqueViolation, errors.InsufficientPrivilege, errors.UndefinedObject):
        # Beside rows that share a value: some servers take PL/pgSQL away.
        execute(connection, sql.SQL("ROLLBACK TO SAVEPOINT keys"))
        return False
    return True


def compose_quiet(statements: Sequence[sql.Composed]) -> sql.Composed:
    """Compose a block that builds unique keys and fails without the value that rows share.

    PostgreSQL writes an error to its log with the value, but not where PL/pgSQL catches it. Parallel workers write
    theirs themselves, so there are none: over a table of 100,000 rows they save nothing.
    """
    body = _QUIETLY.format(
        statements=sql.SQL("\n").join(
            sql.SQL("  EXECUTE {};").format(sql.Literal(statement.as_string())) for statement in statements
        )
    )
    return sql.SQL("DO {}").format(sql.Literal(body.as_string()))


def build_keys(
    connection: Connection,
    statements: Sequence[sql.Composed],
    drop_duplicates: Callable[[], object],
    *,
    distinct: bool = False,
) -> None:
    """Build keys, indexes and foreign keys over the rows, if need be without the duplicates among them."""
    if not try_build_keys(connection, statements, distinct=distinct):
        drop_duplicates()
        execute_all(connection, statements)
