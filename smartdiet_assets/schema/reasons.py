"""Why a document or an item could not become a row: the words every stage and every report uses."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why something was rejected. The values are stored in `smartdiet.rejected_rows` and never renamed."""

    INVALID_TYPE = "invalid_type"
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    NUL_CHARACTER = "nul_character"
    INVALID_TEXT = "invalid_text"
    MISSING_VALUE = "missing_value"
    MISSING_PARENT = "missing_parent"
    DUPLICATE_KEY = "duplicate_key"
    INVALID_BSON = "invalid_bson"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reject:
    """One document, or one item of it, that could not become a row; holds no value of it but the id.

    Attributes:
        document_id: as `schema.document_id.encode_document_id` writes it; "" where it could not be read.
        column: the column at fault, "" where it is the whole document.
        expected: the SQL type, or the rule that does not hold (`NOT NULL`).
        received: the BSON type's name in MongoDB's spelling (`string`, `objectId`), "" where no value was.
    """

    document_id: str
    column: str
    reason: Reason
    expected: str
    received: str
