"""The shape of a table: how documents become its rows, and all that depends on it, asked of one object."""

from collections.abc import Iterable
from enum import StrEnum


class Shape(StrEnum):
    """One of three; a further one answers the same questions."""

    #: A document is at most one row, keyed by the document.
    ONE_ROW = "one_row"
    #: A row per item of the document's arrays.
    ITEMS = "items"
    #: Several documents may share a key: the best of them, as declared, is the row.
    BEST_OF_KEY = "one_per_key"

    @property
    def rows_are_documents(self) -> bool:
        """Whether a row is a document, so that rows tell which documents there are."""
        return self is Shape.ONE_ROW

    @property
    def has_items(self) -> bool:
        """Whether a document is any number of rows, and goes on without those that are rejected."""
        return self is Shape.ITEMS

    @property
    def keeps_dates(self) -> bool:
        """Whether `created_at` and `updated_at` of a row stay those of its first sync."""
        return self is Shape.ITEMS

    @property
    def shares_keys(self) -> bool:
        """Whether documents may share a row's key, so that the others wait behind the best one in a companion table."""
        return self is Shape.BEST_OF_KEY

    def describe(self, collection: str, arrays: Iterable[str], key: Iterable[str]) -> str:
        """Say in a sentence what a row is."""
        match self:
            case Shape.ONE_ROW:
                return f"One row per document of `{collection}`."
            case Shape.ITEMS:
                return f"One row per item of {_quote(arrays)} in `{collection}`."
            case Shape.BEST_OF_KEY:
                return f"One row per {_quote(key)} of `{collection}`."


def _quote(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
