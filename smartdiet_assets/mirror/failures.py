"""What went wrong with a table, in words of ours: no driver's text, which can hold values from documents."""

from dataclasses import dataclass
from typing import Self

from smartdiet_assets.errors import RejectGroup, SmartdietError, TooManyRejectsError
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.schema.model import Table


@dataclass(frozen=True, slots=True)
class RejectCounts:
    """How many documents a run would have left rejected, and before it, where its table allows fewer (`limit`)."""

    rejected: int
    before: int
    limit: str
    groups: tuple[RejectGroup, ...]

    @classmethod
    def read(cls, error: Exception) -> Self | None:
        """Read them from an error; None where it is another."""
        if not isinstance(error, TooManyRejectsError):
            return None
        return cls(error.rejected, error.before, error.limit, tuple(error.groups))


@dataclass(frozen=True, slots=True)
class TableFailure:
    """What a table ended with: a sentence that says what to do.

    Attributes:
        server: the server that was given up, as it was away; "" where that was not the cause.
        away: the server that was away for it, whichever table gave it up.
        rejects: of a table that would have left too many documents rejected.
    """

    sentence: str
    server: str = ""
    away: str = ""
    rejects: RejectCounts | None = None


class TableFailedError(Exception):
    """A run of a table failed, and is not tried again."""

    def __init__(self, failure: TableFailure) -> None:
        super().__init__(failure.sentence)
        self.failure = failure


class KeptBackError(Exception):
    """A table was not run to its end: one it points at, which it is mirrored with, failed."""


def translate_error(error: Exception, table: Table) -> Exception:
    """Turn an error of PostgreSQL's driver or of the source's into one of ours; any other stays as it is."""
    from psycopg import Error as PostgresError

    from smartdiet_assets.resources.postgres_errors import translate_postgres_error

    if isinstance(error, PostgresError):
        return translate_postgres_error(error, "writing its rows", table.name)
    return find_opener(table.source_kind).translate(error, table)


def describe_error(error: Exception, table: Table) -> str:
    """Describe a translated error; of one that is nobody's (a bug), only type and place: its text may hold a value."""
    if isinstance(error, SmartdietError):
        return str(error)
    return f"{table.name}: unexpected {type(error).__name__} at {describe_origin(error)}"


def describe_origin(error: Exception) -> str:
    """Tell where an error was raised, as file:line: what a bug report needs and a value never is."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
