"""The settings of a session, whatever those of the server, the database and the role are.

What an administrator decides with a setting stays: `search_path` where no schema is asked for, `role`,
`default_transaction_read_only`, `row_security`, `session_replication_role`, the tablespaces, memory, what is logged.

A connection pooler (PgBouncer) may give every transaction another session, which others use too. It is known by the
process of the backend, which is not the one that was named when the connection opened. Behind one nothing of ours
outlives a transaction: the settings are made in each, and nothing is prepared.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import psycopg
from psycopg import errors, generators, sql
from psycopg.abc import PQGen, QueryNoTemplate
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

ResultT = TypeVar("ResultT")
#: Name, value, and the first version that knows it.
Setting = tuple[str, str, int]
_WAYS = ("bitmapscan", "hashagg", "hashjoin", "indexonlyscan", "indexscan", "mergejoin", "nestloop", "seqscan", "sort")
_SETTINGS: tuple[Setting, ...] = (
    # What our statements and their answers mean.
    ("client_encoding", "UTF8", 0),
    ("DateStyle", "ISO, MDY", 0),
    ("IntervalStyle", "postgres", 0),
    ("TimeZone", "UTC", 0),
    ("extra_float_digits", "1", 0),
    ("bytea_output", "hex", 0),
    ("xmlbinary", "base64", 0),
    ("standard_conforming_strings", "on", 0),
    ("quote_all_identifiers", "off", 0),
    ("array_nulls", "on", 0),
    ("transform_null_equals", "off", 0),
    # What ends a statement, a transaction or the session: a source may be slow, and a table large.
    ("statement_timeout", "0", 0),
    ("lock_timeout", "0", 0),
    ("idle_in_transaction_session_timeout", "0", 0),
    ("idle_session_timeout", "0", 140_000),
    ("transaction_timeout", "0", 170_000),
    ("exit_on_error", "off", 0),
    # A run that waited for another one must see what that one wrote.
    ("default_transaction_isolation", "read committed", 0),
    ("default_transaction_deferrable", "off", 0),
    # Without one of them, a plan that takes seconds takes hours.
    *((f"enable_{way}", "on", 0) for way in _WAYS),
)
#: What the driver has to know before it reads an answer. Poolers keep these for each client, and take them along.
_FOLLOWING = ("client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings")
_LACKS_SCHEMA = sql.SQL("{0} <> '' AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {0})")
#: Have the server look, while a statement runs, whether we are still there: the backend of a killed run would otherwise
#: hold its locks until its statement ends, an index of an hour too.
_CLIENT_CHECK = ("client_connection_check_interval", "10s", 140_000)


class SettledConnection(psycopg.Connection):
    """A connection whose session means what ours mean; call `settle` once it is open.

    Attributes:
        pooled: whether a pooler is in between.
        target_schema: the one schema of the search path, set before `settle`; "" leaves the path as it is.
        lacks_schema: whether that schema was missing when the connection opened.
    """

    pooled: bool = False
    target_schema: str = ""
    lacks_schema: bool = False
    _alone: bool = False

    def settle(self) -> None:
        """Apply the settings, in one round trip; to the session where it is ours alone."""
        try:
            self.pooled, self.lacks_schema = self._settle([*_SETTINGS, _CLIENT_CHECK])
        except errors.InvalidParameterValue:
            # A server on a system that cannot look for its client refuses that.
            self.pooled, self.lacks_schema = self._settle(_SETTINGS)
        if self.pooled:
            self.prepare_threshold = None
            # One that gives every statement another session takes no BEGIN.
            with self.transaction():
                pass

    def _settle(self, settings: Iterable[Setting]) -> tuple[bool, bool]:
        """Apply settings; tell whether a pooler is in between, and whether the schema is missing."""
        pid = sql.Literal(self.info.backend_pid)
        # Local to a transaction that ends at once where the backend is another one: nothing is set then.
        statement = sql.SQL("SELECT pg_backend_pid() <> {pid}, {lacks_schema}, {settings}").format(
            pid=pid,
            lacks_schema=_LACKS_SCHEMA.format(sql.Literal(self.target_schema)),
            settings=sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, {})").format(
                    sql.Literal(name),
                    sql.Literal(value),
                    sql.SQL("false" if name in _FOLLOWING else "pg_backend_pid() <> {}").format(pid),
                )
                for name, value in [*self._list_known(settings), *self._spell_search_path()]
            ),
        )
        row = self.execute(statement, prepare=False).fetchone()
        return bool(row and row[0]), bool(row and row[1])

    def _spell_search_path(self) -> Iterator[tuple[str, str]]:
        """Spell the search path as `set_config` takes it: a list of quoted identifiers."""
        if self.target_schema:
            yield "search_path", sql.Identifier(self.target_schema).as_string(self)

    def _exec_command(self, command: QueryNoTemplate, result_format: Format = Format.TEXT) -> PQGen[PGresult | None]:
        """Send one of the driver's own commands; behind a pooler, the settings right after BEGIN.

        The one place the driver begins all transactions by. SET is no query: the isolation level can still be chosen.
        """
        result = yield from super()._exec_command(command, result_format)
        if self.pooled and isinstance(command, bytes) and command.startswith(b"BEGIN"):
            yield from self._set_locally()
        return result

    def _start_query(self) -> PQGen[None]:
        """Begin what a statement needs; behind a pooler, one outside of a transaction gets one of its own."""
        idle = self.pgconn.transaction_status == TransactionStatus.IDLE
        if self.pooled and self._autocommit and idle and not self._pipeline:
            self._alone = True
            yield from self._exec_command(self._get_tx_start_command())
        else:
            yield from super()._start_query()

    def wait(self, gen: PQGen[ResultT], *arguments: Any, **options: Any) -> ResultT:
        """Wait as the driver does, and end the transaction of a statement that was to have none."""
        try:
            return super().wait(gen, *arguments, **options)
        finally:
            status = self.pgconn.transaction_status
            if self._alone and status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                self._alone = False
                super().wait(self._exec_command(b"COMMIT"))

    def _set_locally(self) -> PQGen[None]:
        settings = [
            sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in self._list_known(_SETTINGS)
        ]
        if self.target_schema:
            settings.append(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(self.target_schema)))
        if self._pipeline:
            # It takes statements one by one, and waits for none of them.
            for setting in settings:
                yield from super()._exec_command(setting)
            return
        self.pgconn.send_query(sql.SQL(";").join(settings).as_bytes(self))
        for result in (yield from generators.execute(self.pgconn)):
            if result.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, encoding="utf-8")

    def _list_known(self, settings: Iterable[Setting]) -> Iterator[tuple[str, str]]:
        version = self.info.server_version
        return ((name, value) for name, value, first in settings if version >= first)
