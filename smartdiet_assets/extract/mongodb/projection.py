"""Which fields of a collection's documents its tables need."""

from collections.abc import Iterable, Mapping
from itertools import islice, takewhile
from typing import Any

from bson import decode_iter, encode
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

_AS_THEY_ARE = CodecOptions(RawBSONDocument)
#: Documents that are looked at, and the share of their bytes that is most of them.
_LOOKED_AT = 100
_MOST = 0.75


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


def needs_most(documents: bytes, projection: dict[str, int]) -> bool:
    """Tell whether the fields of a projection are most of the first of some documents: it is better not used then.

    A server copies a document to leave fields out of it: where it leaves out little, that costs more than to send all.
    """
    whole = needed = 0
    try:
        for document in islice(decode_iter(documents, _AS_THEY_ARE), _LOOKED_AT):
            whole += len(document.raw)
            needed += len(encode(_project(document, projection)))
    except (BSONError, UnicodeError):
        return False
    return needed >= _MOST * whole


def _project(document: Mapping[str, Any], paths: Iterable[str]) -> Document:
    """Keep of a document what a projection of these paths keeps; of an array, all."""
    kept: Document = {}
    below: dict[str, list[str]] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        if name not in document:
            continue
        if rest and isinstance(document[name], Mapping):
            below.setdefault(name, []).append(rest)
        else:
            kept[name] = document[name]
    return kept | {name: _project(document[name], rests) for name, rests in below.items()}


def _projectable(path: str) -> str:
    """Cut a path before a segment like a reference's `$id`, which no projection may name, and before the number of an
    item, which one takes for the name of a field.
    """
    first, *rest = path.split(".")
    return ".".join([first, *takewhile(lambda segment: not segment.startswith("$") and not segment.isdecimal(), rest)])


def _is_below_any(path: str, others: set[str]) -> bool:
    segments = path.split(".")
    return any(".".join(segments[:count]) in others for count in range(1, len(segments)))
