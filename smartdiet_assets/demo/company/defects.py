"""The documents of the company that cannot become rows, each with the reason its table must give.

Here: a short list of single bad documents, the same at every scale. What the driver does not write (invalid UTF-8) or
the embedded server does not store (dates beyond the year 9999) is not among them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from smartdiet_assets.demo.company.clock import BEGIN, milliseconds
from smartdiet_assets.demo.company.plan import BAD, Plan
from smartdiet_assets.schema.documents import Document

#: The field is taken out of the document.
ABSENT = object()


@dataclass(frozen=True, slots=True)
class BadDocument:
    """One document that is like any other but for one field.

    Attributes:
        table, column, reason: where and why the mirror rejects it.
        field, value: what is wrong; `ABSENT` where the field is missing.
        good_value: what a later day repairs it with.
    """

    collection: str
    table: str
    column: str
    reason: str
    field: str
    value: object
    good_value: object


_DAY = datetime(2024, 3, 6, 23, 0)

BAD_DOCUMENTS = (
    BadDocument("users", "users", "firstname", "too_long", "firstname", "L" * 300, "Lucienne"),
    BadDocument("users", "users", "lastname", "nul_character", "lastname", "Nul\x00le", "Nulle"),
    BadDocument("users", "users", "email", "missing_value", "email", ABSENT, "retrouve@courriel.example"),
    BadDocument("users", "users", "role", "invalid_type", "role", {"name": "CUSTOMER"}, "CUSTOMER"),
    BadDocument(
        "users", "user_events", "event_id", "invalid_type",
        "registered_events", [{"event": {"a": 1}}], [],
    ),
    BadDocument("ingredients", "ingredients", "name", "too_long", "name", "Farine " * 60, "Farine"),
    BadDocument("offers", "offers", "duration", "out_of_range", "duration", 40_000, 365),
    BadDocument("offers", "offers", "coaching_credit", "invalid_type", "coaching_credit", True, 3),
    BadDocument("contents", "contents", "name", "missing_value", "name", None, "Retrouvé"),
    BadDocument(
        "events", "events", "end_date", "invalid_type", "end_date", True, datetime(2024, 5, 1, 16),
    ),
    BadDocument("messages", "messages", "content", "nul_character", "content", "Bonjour\x00", "Bonjour"),
    BadDocument(
        "coachings", "coachings", "status", "missing_value",
        "status", ABSENT, "COACHING_STATUS_STARTED",
    ),
    BadDocument("appointments", "appointments", "start_date", "invalid_type", "start_date", "demain", _DAY),
    BadDocument("appointments", "appointments", "user_id", "missing_parent", "user", "", None),
    BadDocument("periods", "periods", "days_numbers", "out_of_range", "number_of_days", 1e9, 14),
    BadDocument("days", "days", "completed", "invalid_type", "is_success", "oui", True),
    BadDocument("days", "days", "day", "missing_value", "date", ABSENT, _DAY),
    BadDocument("coachinglogbooks", "users_logbook", "day", "invalid_type", "day", "", _DAY),
    BadDocument("menurecipes", "menu_recipes", "recipe_id", "invalid_type", "recipe", {"id": 4}, ABSENT),
    BadDocument(
        "userquizzquestions", "users_quizzs_questions", "boolean_answer", "invalid_type",
        "boolean_answer", 1, False,
    ),
)  # fmt: skip


def bad_document_id(plan: Plan, bad: BadDocument) -> ObjectId:
    """Give the id of a bad document; it depends on the seed alone."""
    return plan.make_id(bad.collection, BAD + BAD_DOCUMENTS.index(bad), milliseconds(BEGIN))


def describe_bad_documents(plan: Plan, collection: str, good: Document) -> Iterator[Document]:
    """Describe the bad documents of a collection as copies of a good one, each with one field spoilt."""
    for bad in BAD_DOCUMENTS:
        if bad.collection == collection:
            document = {**good, "_id": bad_document_id(plan, bad), bad.field: bad.value}
            if bad.value is ABSENT:
                del document[bad.field]
            yield document


def with_bad_documents(plan: Plan, collection: str, documents: Iterable[Document]) -> Iterator[Document]:
    """Follow a collection's documents by its bad ones."""
    first: Document | None = None
    for document in documents:
        first = first or document
        yield document
    if first:
        yield from describe_bad_documents(plan, collection, first)
