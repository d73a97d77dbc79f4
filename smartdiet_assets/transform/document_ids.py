"""The ids of documents as a table's document column holds them.

Here: the table's own conversion of that one column, applied to batches of ids. Not here: encoded ids
(`schema.document_id`), other columns.
"""

from collections.abc import Callable
from typing import Any

from smartdiet_assets.schema.model import DOCUMENT_ID, Table
from smartdiet_assets.transform.batch import build_transformer


def build_id_reader(table: Table) -> Callable[[bytes], list[Any]]:
    """Build the function from the bytes of concatenated BSON documents to document column values.

    An id the column cannot hold is left out: no row can be of its document.
    """
    column = table.column(table.document_column).model_copy(update={"mongo_field": (DOCUMENT_ID,), "foreign_key": None})
    transform = build_transformer(
        Table(
            name=table.name,
            columns=(column,),
            shape="one_row",
            document_column=column.name,
            key=(column.name,),
            mongo_collection=table.mongo_collection,
        )
    )

    def read_ids(raw: bytes) -> list[Any]:
        return [value for (value,) in transform(raw).rows if value is not None]

    return read_ids
