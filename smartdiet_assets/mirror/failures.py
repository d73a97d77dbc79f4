"""What went wrong with a table, in words of ours: no driver's text, which can hold values from documents."""

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.schema.model import Table


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
