"""The ids of documents as a table's document column holds them."""

from collections.abc import Callable

from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.model import DOCUMENT_ID, Table
from smartdiet_assets.schema.shapes import Shape
from smartdiet_assets.transform.batch import build_transformer


def build_id_reader(table: Table) -> Callable[[bytes], IdBatch]:
    """Build the function from the bytes of concatenated BSON documents to document column values.

    An id the column cannot hold is left out: no row can be of its document.
    """
    column = table.column(table.document_column).model_copy(update={"mongo_field": (DOCUMENT_ID,), "foreign_key": None})
    transform = build_transformer(
        Table(
            name=table.name,
            columns=(column,),
            shape=Shape.ONE_ROW,
            document_column=column.name,
            key=(column.name,),
            mongo_collection=table.mongo_collection,
        )
    )

    def read_ids(raw: bytes) -> IdBatch:
        batch = transform(raw)
        typed = {document.first for document in batch.typed}
        return IdBatch(
            plain=[row[0] for place, row in enumerate(batch.rows) if row[0] is not None and place not in typed],
            typed=[(document.value, document.document_id) for document in batch.typed],
        )

    return read_ids
