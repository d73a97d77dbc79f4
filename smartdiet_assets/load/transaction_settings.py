"""What a load sets for its own transaction: time-outs, memory, the planner's view of the disks, the server's log."""

from psycopg import sql

from smartdiet_assets.load.execution import Connection

#: Staging tables are analysed once and read a few times: a small sample tells their size and spread.
STATISTICS_TARGET = 10
_SETTINGS = {
    # The source may be slow, and a lost client is noticed by its silence on the network.
    "idle_in_transaction_session_timeout": "0",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
    # Or as it does not confirm what it is told, in milliseconds; it keeps the table's lock until then.
    "tcp_user_timeout": "120000",
    # Compiling costs more than the few statements of a load win by it.
    "jit": "off",
    "maintenance_work_mem": "256MB",
    "default_statistics_target": str(STATISTICS_TARGET),
}

# One statement for all. What the server offers beyond the last two is kept. The rows of a few changed documents are
# found by index, not by reading the table: what was just merged is in memory, which the default of random_page_cost,
# made for disks that seek, does not know. The server writes an error of ours to its log with the row it is about, where
# health data has no place, so it is not to: we report the error. Only superusers may say so.
# As text, which the driver takes as it is; the same for all tables, so that a connection prepares it once.
_APPLY = (
    sql.SQL("""\
SELECT {settings},
  CASE WHEN current_setting('is_superuser') = 'on' THEN set_config('log_min_messages', 'log', true) END,
  set_config('lock_timeout', %s, true),
  set_config('random_page_cost', least(current_setting('random_page_cost')::float8, 1.1)::text, true),
  set_config('work_mem', greatest(pg_size_bytes(current_setting('work_mem')) / 1024, 65536) || 'kB', true)""")
    .format(
        settings=sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Literal(key), sql.Literal(value))
            for key, value in _SETTINGS.items()
        )
    )
    .as_string(None)
)


def apply_settings(connection: Connection, lock_timeout: float) -> None:
    """Apply the settings of a load, until the end of the transaction.

    Args:
        lock_timeout: seconds to wait for any lock.
    """
    connection.execute(_APPLY, [f"{round(lock_timeout * 1000)}ms"], prepare=True)
