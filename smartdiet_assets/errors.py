"""The exceptions a user can meet, and which of them are worth a retry.

Messages say what is wrong and what to do. They name tables, columns, types and servers, never a value from a
document and never a secret. Driver errors are turned into these at one boundary each, with `from None`: the driver's
text can hold values.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SmartdietError(Exception):
    """Base of every error this project raises on purpose."""


class TransientError(SmartdietError):
    """Something that may pass by itself (a lost connection, a deadlock, a server starting): worth a retry."""


class StartAgainError(TransientError):
    """What was asked has to be asked in another way, which is known by now: worth one more try, at once."""


class TerminalError(SmartdietError):
    """Something that stays wrong until a person acts: never retried."""


class ConfigurationError(TerminalError):
    """An environment variable or option is missing or has a form that cannot be used."""


class UnknownNamesError(ConfigurationError):
    """A list of names or patterns holds one that fits nothing; the message repeats it, as it was typed."""


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing wrong in a schema file; `table` and `column` are empty where the problem is above them."""

    line: int
    table: str
    column: str
    message: str

    def __str__(self) -> str:
        where = ".".join(part for part in (self.table, self.column) if part)
        return _escape(f"line {self.line}: {where + ': ' if where else ''}{self.message}")


def _escape(text: str) -> str:
    """Escape what a terminal or a log would obey rather than show: messages hold names of the file."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class SchemaFileError(TerminalError):
    """A schema file cannot be used; holds every problem found, in line order, and those of further files."""

    def __init__(self, path: str, problems: list[SchemaProblem], others: "Sequence[SchemaFileError]" = ()) -> None:
        self.path = path
        self.others = tuple(others)
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.table, problem.column))
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        lines = [f"{path}: {count}", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join([*lines, *(str(other) for other in others)]))


class SchemaMismatchError(TerminalError):
    """A live table differs from its declaration in a way the mirror does not resolve by itself."""

    def __init__(self, table: str, differences: list[str]) -> None:
        self.table = table
        self.differences = differences
        super().__init__("\n".join([f"table {table} differs from its declaration:", *(f"  {d}" for d in differences)]))


class SourceTableError(TerminalError):
    """A table of Matomo is missing, or lacks a declared column."""


class ServerUnreachableError(TransientError):
    """No server answers, or the connection was lost."""


class AuthenticationError(TerminalError):
    """The server refuses the user or the password."""


class HostKeyError(TerminalError):
    """The SSH server shows a key that is not known, or not the one that is; nothing was sent to it."""


class ForwardingFailedError(TransientError):
    """The SSH server could not connect to the host and port behind it."""


class DatabaseNotFoundError(TerminalError):
    """The server has no database of that name."""


class PermissionDeniedError(TerminalError):
    """The user may not do what the mirror needs."""


class ForwardingDeniedError(PermissionDeniedError):
    """The SSH server does not allow connections to the host and port behind it."""


class CollectionNotFoundError(TerminalError):
    """The database has no collection of that name, which must not pass for an empty one."""


class LoadConflictError(TransientError):
    """PostgreSQL stopped a transaction because of another one (deadlock, lock timeout, a parent just deleted)."""


class TableChangedError(LoadConflictError):
    """A statement touched other rows than those it was to: somebody else changed the table during the load."""

    def __init__(self, table: str) -> None:
        super().__init__(f"{table}: another session changed the table during the load")


class LoadHinderedError(TerminalError):
    """Something attached to a table keeps a run from writing what it should.

    Attributes:
        found: table, what is the matter with it, and the statement that takes it away.
    """

    def __init__(self, table: str, found: Sequence[tuple[str, str, str]]) -> None:
        self.table = table
        self.found = list(found)
        what = "; ".join(f"of {on}, {sentence} ({statement})" for on, sentence, statement in found)
        super().__init__(f"{table}: its rows could not be written as they should be: {what}. Nothing was written")


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """How many documents of a table were rejected for one column and reason; `received` is a BSON type."""

    column: str
    reason: str
    expected: str
    received: str
    documents: int

    def __str__(self) -> str:
        received = f", received {self.received}" if self.received else ""
        return (
            f"{self.documents:,} {self.reason} in {self.column or 'the document'} (expected {self.expected}{received})"
        )


class TooManyRejectsError(TerminalError):
    """A run would leave more documents rejected than the table's `max_rejects` allows; nothing was written.

    Attributes:
        rejected: documents that would be rejected after the run.
        before: documents that were rejected before it.
        limit: as the schema file spells it.
        groups: the most frequent kinds of rejects.
    """

    def __init__(self, table: str, rejected: int, before: int, limit: str, groups: list[RejectGroup]) -> None:
        self.table = table
        self.rejected = rejected
        self.before = before
        self.limit = limit
        self.groups = groups
        super().__init__(
            "\n".join(
                [
                    f"{table}: {rejected:,} documents would be rejected ({before:,} before this run), more than its"
                    f" max_rejects of {limit} allows; nothing was written. Repair the documents at the source or the"
                    " declaration of the columns, or raise max_rejects. What is wrong:",
                    *(f"  {group}" for group in groups),
                ]
            )
        )


class UndeclaredFieldsError(TerminalError):
    """Documents have fields that no table declares, where the collection has `undeclared: fail`; nothing was written.

    Attributes:
        fields: their paths with their types.

    Args:
        command: declares them.
    """

    def __init__(self, table: str, collection: str, fields: str, command: str) -> None:
        self.table = table
        self.fields = fields
        super().__init__(
            f"{table}: documents of {collection} have fields that no table declares: {fields}. Nothing was written, for"
            f" {collection} has undeclared: fail. Declare them (`{command}`), or list those that are left out on"
            " purpose under ignored_fields."
        )


class OtherKeyError(TerminalError):
    """Tables hold the pseudonyms of another key than the one that is set; nothing was written."""

    def __init__(self, table: str, found_in: str) -> None:
        self.table = table
        where = "it" if found_in == table else f"{found_in}, which it points at,"
        super().__init__(
            f"{table}: {where} holds the pseudonyms of another key than the one that is set. Nothing was written. Set "
            "the old key again, or make all pseudonyms anew: smartdiet sync --rekey, or a run of all tables in Dagster "
            "with rekey of the resource all_tables"
        )


class LoadFailedError(TerminalError):
    """PostgreSQL refused a statement of a load; carries the SQLSTATE and its meaning, not the driver's text."""

    def __init__(self, table: str, action: str, sqlstate: str | None, reason: str) -> None:
        self.table = table
        self.sqlstate = sqlstate
        super().__init__(f"{table}: {action} failed: {reason}; nothing was written")


class PositionLostError(TerminalError):
    """The stored position in a change stream leads nowhere any more: what changed since it cannot be told."""

    def __init__(self, table: str, collection: str, reason: str, *, deletes: bool) -> None:
        self.table = table
        self.reason = reason
        after = f"; then remove what was deleted meanwhile: smartdiet reconcile {table}" if deletes else ""
        super().__init__(
            f"{table}: the position in the change stream of {collection} is lost: {reason}. Nothing was written. "
            f"Re-import the table: smartdiet sync {table} --full{after}"
        )


class SourceBehindError(TransientError):
    """The server has not come as far as the stored position: a member that lags, or one restored from a backup."""

    def __init__(self, table: str, collection: str) -> None:
        self.table = table
        super().__init__(
            f"{table}: the server is behind the position in the change stream of {collection} that the last run "
            "reached. A member of the replica set that lags will catch up; where the server was restored from a "
            f"backup, re-import the table: smartdiet sync {table} --full"
        )


class ReadFailedError(TerminalError):
    """A source refused a read; carries its error code, not its text."""


class RefreshError(TerminalError):
    """A server refused what a refresh needs, or the target is not what it was found to be; says what state it is in."""
