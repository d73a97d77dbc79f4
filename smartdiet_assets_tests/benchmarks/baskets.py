"""A relationship table to synchronise: parents that each have a list of items, in two editions.

Here: its declaration, and documents of either edition, which differ in a known number of items. Not here: loading.
An item is changed by putting another one in its place (a row goes, a row comes) or by a new rank (a row is updated).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.benchmarks.loading import declare, encode_batches

DECLARATION = """
tables:
  products:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
  baskets:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
  basket_items:
    mongo_collection: baskets
    import_strategy: smart_diff
    diff_threshold: {threshold}
    arrays: [{field: items}]
    columns:
      - {name: basket_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: baskets(id)}
      - {name: product_id, sql_type: VARCHAR, nullable: false, item_field: product, foreign_key: products(id)}
      - {name: rank, sql_type: INTEGER, item_field: rank}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[basket_id, product_id]]
"""
TABLE = "basket_items"
COLUMNS = ("basket_id", "product_id", "rank", "created_at", "updated_at")
_PRODUCTS = 500
_START = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Baskets:
    """Parents of `items` items each; `replaced` and `ranked` say how many of them an edition changes.

    `threshold` is the table's `diff_threshold`: 0 replaces the rows of changed parents always, 1 never.
    """

    parents: int
    items: int
    replaced: int = 1
    ranked: int = 0
    threshold: float = 0.3

    @property
    def schema(self) -> Schema:
        return declare(DECLARATION.replace("{threshold}", str(self.threshold)))

    def encode_products(self) -> list[bytes]:
        """Encode the documents the items point at."""
        return encode_batches({"_id": _product(number)} for number in range(_PRODUCTS))

    def encode(self, *, edition: int, parents: int | None = None) -> list[bytes]:
        """Encode the first `parents` documents (by default all), spread over the table, in edition 0 or 1."""
        return encode_batches(self._generate(edition, self.parents if parents is None else parents))

    def list_changed(self, parents: int) -> list[str]:
        """List the ids of the parents `encode` takes."""
        return [str(_basket(number)) for number in self._pick(parents)]

    def _pick(self, parents: int) -> list[int]:
        return [number * self.parents // parents for number in range(parents)]

    def _generate(self, edition: int, parents: int) -> Iterator[dict[str, Any]]:
        for number in self._pick(parents):
            # No remainder of 500 is met twice as long as a basket and its changes hold fewer items than that.
            products = [(number * 31 + place) % _PRODUCTS for place in range(self.items)]
            ranks = list(range(self.items))
            if edition == 1:
                for place in range(self.replaced):
                    products[place] = (number * 31 + self.items + place) % _PRODUCTS
                for place in range(self.replaced, self.replaced + self.ranked):
                    ranks[place] += self.items
            created = _START + timedelta(seconds=number)
            yield {
                "_id": _basket(number),
                "items": [
                    {"product": _product(product), "rank": rank} for product, rank in zip(products, ranks, strict=True)
                ],
                "creation_date": created,
                "update_date": created + timedelta(days=edition),
            }


def _product(number: int) -> ObjectId:
    return ObjectId(f"{0x5B000000 + number:08x}{0x5F1C9A0E77:010x}{number:06x}")


def _basket(number: int) -> ObjectId:
    # Ids of one second differ in their counter alone; a year of them, in the order of their making.
    return ObjectId(f"{0x60000000 + number * 7:08x}{0x5F1C9A0E77:010x}{number:06x}")
