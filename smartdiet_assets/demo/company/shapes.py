"""The shapes documents take: present and missing dates, the ways an array can be empty."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

from smartdiet_assets.demo.company.clock import END, moment
from smartdiet_assets.demo.company.plan import Plan
from smartdiet_assets.schema.documents import Document


def add_dates(rng: Random, document: Document, created_ms: int) -> Document:
    """Add the two dates and the version key the application writes.

    One document in a thousand has no dates, two in a thousand have no `update_date`; half were never edited.
    """
    chance = rng.random()
    if chance >= 0.001:
        created = document["creation_date"] = moment(created_ms)
        if chance >= 0.003:
            document["update_date"] = created if chance < 0.5 else edited_after(rng, created)
    document["__v"] = 0
    return document


def edited_after(rng: Random, created: datetime) -> datetime:
    """Give a moment up to 60 days after a document's creation, within the company's history."""
    return min(created + timedelta(milliseconds=int(rng.random() * 5_184_000_000)), max(created, END))


def set_array(rng: Random, document: Document, field: str, items: list[Any]) -> None:
    """Set an array; an empty one is `[]`, null or absent, and one in fifty holds an item twice."""
    if items:
        if rng.random() < 0.02:
            items.append(items[0])
        document[field] = items
    else:
        chance = rng.random()
        if chance < 0.5:
            document[field] = []
        elif chance < 0.75:
            document[field] = None


def choose_some(rng: Random, count: int, most: int) -> list[int]:
    """Choose 0 to `most` different numbers below `count`."""
    return rng.sample(range(count), min(count, rng.randrange(most + 1)))


def some_ids(plan: Plan, rng: Random, collection: str, most: int) -> list[object]:
    """Choose 0 to `most` different documents of a collection."""
    return [plan.id_of(collection, number) for number in choose_some(rng, plan.counts[collection], most)]


def entity(plan: Plan, rng: Random, collection: str, number: int, fields: Document) -> Document:
    """Make a document of a collection the plan numbers: id, fields and dates."""
    created = plan.created_ms(collection, number)
    return add_dates(rng, {"_id": plan.make_id(collection, number, created), **fields}, created)
