"""What a connection to Matomo's database is like once it is open: its settings on the server, and its cursor."""

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

# Values come as they are stored: DATETIME as it is, TIMESTAMP in UTC, no padding of CHAR. Each page is a statement of
# its own that reads what is committed, and the server waits while PostgreSQL is busy.
_SESSION = """\
SET SESSION time_zone = '+00:00', SESSION sql_mode = '', SESSION net_write_timeout = 600, SESSION wait_timeout = 28800,
  SESSION transaction_isolation = 'READ-COMMITTED', SESSION group_concat_max_len = 1048576"""
#: MariaDB before 11.1 knows only the old name.
_SESSION_OLD = _SESSION.replace("transaction_isolation", "tx_isolation")
_UNKNOWN_VARIABLE = 1193


class StreamingCursor(SSCursor):
    """A cursor that, where the connection was lost, does not try to read the rest of the answer from it.

    The driver's own would, on closing, and end in an error of Python that hides what happened.
    """

    def close(self) -> None:
        if self.connection is not None and not self.connection.open and self._result is not None:
            self._result.unbuffered_active = False
        super().close()

    __del__ = close


def prepare_session(connection: "Connection") -> None:
    """Have the server answer as the mirror reads."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(_SESSION)
        except pymysql.Error as error:
            if error.args[:1] != (_UNKNOWN_VARIABLE,):
                raise
            cursor.execute(_SESSION_OLD)
