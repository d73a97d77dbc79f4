"""How wide a table may be: PostgreSQL's limits on columns and on a row's bytes."""

from collections.abc import Sequence

from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.findings import Findings
from smartdiet_assets.schema.model import Column

#: PostgreSQL takes 1,600; a run's temporary tables have one more than the table.
MAX_COLUMNS = 1_599
#: Bytes of a page that a row can have, without those that stand before every row.
_MAX_BYTES = 8_160 - 24


def check_width(declared: TableDeclaration, columns: Sequence[Column], findings: Findings) -> None:
    """Check that PostgreSQL can have the table, and rows in it; name the column that is one too many."""
    places = {column.name: column.place for column in reversed(declared.columns)}
    if len(columns) > MAX_COLUMNS:
        findings.problem(
            places[columns[MAX_COLUMNS].name],
            f"the table has {len(columns):,} columns, of which this is one too many: PostgreSQL and a run of the "
            f"mirror take {MAX_COLUMNS:,}; keep what belongs together in a JSONB column",
        )
        return
    if column := _find_excess([column for column in columns if not column.nullable]):
        findings.problem(
            places[column.name],
            f"a row has no room for the NOT NULL columns from this one on: those of fixed size have {_MAX_BYTES:,} "
            "bytes together; keep what belongs together in a JSONB column",
        )
    elif column := _find_excess(columns):
        findings.warn(
            places[column.name],
            f"a row has no room for a value from this column on where all before it have one: those of fixed size have "
            f"{_MAX_BYTES:,} bytes together; such documents are rejected",
        )


def _find_excess(columns: Sequence[Column]) -> Column | None:
    used = 0
    # One bit a column tells which are NULL.
    room = _MAX_BYTES - (len(columns) + 7) // 8
    for column in columns:
        size = column.type.base.size
        if size:
            # Each begins at a multiple of its size, of eight at most.
            step = min(size, 8)
            used = (used + step - 1) // step * step + size
        if used > room:
            return column
    return None
