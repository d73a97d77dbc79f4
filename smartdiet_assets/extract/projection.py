"""Which fields of a collection's documents its tables need.

Here: the projection document of their reads.
Not here: which documents are read (`extract.window`), or the reading (`extract.documents`).
"""

from itertools import takewhile

from smartdiet_assets.schema.model import DOCUMENT_ID, Table


def compose_projection(*tables: Table) -> dict[str, int]:
    """Compose the projection of one table, or of several at once: `_id`, the dates, and the fields of columns, arrays
    and filter.

    An array is read whole: of a projected sub-path, MongoDB leaves items that are not documents out, and they
    would vanish without a reject. A path below another one is left out, for MongoDB refuses such pairs.
    """
    paths = [DOCUMENT_ID]
    for table in tables:
        paths += [table.created_field, table.updated_field]
        paths += [path for column in table.stored_columns for path in column.mongo_field]
        paths += [array.field for array in table.arrays]
        paths += [condition.path for condition in table.filter]
    fields = {_projectable(path) for path in paths}
    return dict.fromkeys((f for f in sorted(fields) if not _is_below_any(f, fields)), 1)


def _projectable(path: str) -> str:
    """Cut a path before a segment like a reference's `$id`: no projection may name it."""
    segments = path.split(".")
    return ".".join(takewhile(lambda segment: not segment.startswith("$"), segments)) or path


def _is_below_any(path: str, others: set[str]) -> bool:
    segments = path.split(".")
    return any(".".join(segments[:count]) in others for count in range(1, len(segments)))
