"""A day in the company's life: what is added, edited, emptied, moved and repaired in a MongoDB database."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pymongo.database import Database

from smartdiet_assets.demo.company.clock import DAY_MS, END, local_midnight, milliseconds
from smartdiet_assets.demo.company.defects import ABSENT, BAD_DOCUMENTS, bad_document_id
from smartdiet_assets.demo.company.editor import Editor
from smartdiet_assets.schema.documents import Document

#: The day after the company's history ends: the first that can be applied.
DEMO_DAY = END + timedelta(days=1)

_INSERTED = ("ingredients", "users", "messages", "appointments", "coachings", "days", "items")
_EDITED = {
    "users": ("firstname", "Renommée"),
    "contents": ("name", "Titre revu"),
    "appointments": ("validated", True),
    "coachings": ("status", "COACHING_STATUS_FINISHED"),
    "days": ("is_success", True),
    "messages": ("content", "Message corrigé ✏️"),
    "userquizzquestions": ("text_answer", "Réponse donnée plus tard"),
    "recipes": ("duration", 33),
    "companies": ("size", 4_321),
}
#: What the application writes into new documents from then on, and nobody declared.
_UNDECLARED = {"messages": {"channel": "app"}}
_ARRAYS = (
    ("users", "registered_events"),
    ("users", "targets"),
    ("users", "specificity_targets"),
    ("coachings", "reasons"),
    ("contents", "viewed_by"),
    ("quizzs", "questions"),
    ("userquizzs", "questions"),
    ("days", "contents"),
    ("days", "main_logbooks"),
)
_ARRAY_CHANGES = ("shrink", "grow", "replace", "empty", "null", "remove")
_ARRIVING = ("users", "events", "contents", "coachings")


@dataclass(frozen=True, slots=True)
class DayOfChanges:
    """How many documents a day touched, by collection; no document is counted twice."""

    day: datetime
    inserted: Counter[str] = field(default_factory=Counter)
    #: A plain field has another value.
    edited: Counter[str] = field(default_factory=Counter)
    #: An array grew, shrank or became empty.
    arrays: Counter[str] = field(default_factory=Counter)
    #: A field of a table's key has another value, or another document of the key is now the last one changed.
    moved: Counter[str] = field(default_factory=Counter)
    #: A document that could not be a row now can.
    repaired: Counter[str] = field(default_factory=Counter)
    #: A document that others pointed at in vain now exists.
    arrived: Counter[str] = field(default_factory=Counter)

    @property
    def documents(self) -> int:
        """The number of documents written."""
        return sum(kind.total() for kind in self._kinds.values())

    @property
    def _kinds(self) -> dict[str, Counter[str]]:
        return {
            "inserted": self.inserted,
            "edited": self.edited,
            "with another array": self.arrays,
            "under another key": self.moved,
            "repaired": self.repaired,
            "missing before": self.arrived,
        }

    def __str__(self) -> str:
        kinds = ", ".join(f"{counter.total()} {name}" for name, counter in self._kinds.items())
        return f"{self.documents} documents ({kinds})"


def apply_day_of_changes(database: Database[Document], seed: int, day: datetime) -> DayOfChanges:
    """Apply a day of changes to a company that `write_company` wrote.

    The same company, seed and day give the same changes. A day is applied once; days in ascending order.

    Args:
        seed: the company's seed.
        day: midnight of the day, naive UTC, from `DEMO_DAY` on; all dates written are in its 24 hours.

    Raises:
        pymongo.errors.PyMongoError: the server refused something, for one a day applied before.
    """
    return _Day(database, seed, day).apply()


class _Day(Editor):
    def __init__(self, database: Database[Document], seed: int, day: datetime) -> None:
        super().__init__(database, seed, day)
        self.changes = DayOfChanges(day)

    def apply(self) -> DayOfChanges:
        self._repair()
        self._bring_missing_parents()
        for collection, array in _ARRAYS:
            self._change_arrays(collection, array)
        self._move_keys()
        for collection, (name, value) in _EDITED.items():
            for document in self.take(collection, self.share(collection)):
                self.update(collection, document, self.changes.edited, {name: value})
        for collection in _INSERTED:
            self._insert_copies(collection)
        self._insert_logbooks()
        self.write()
        return self.changes

    # ---------------------------------------------------------------- kinds of change

    def _repair(self) -> None:
        """Repair every other bad document; the next day repairs the others."""
        for number, bad in enumerate(BAD_DOCUMENTS):
            document = self.database[bad.collection].find_one({"_id": bad_document_id(self.plan, bad)})
            due = (number + self.day.toordinal()) % 2 == 0 and bad.good_value is not ABSENT
            if document and due and document.get(bad.field) != bad.good_value:
                self.update(bad.collection, document, self.changes.repaired, {bad.field: bad.good_value})

    def _bring_missing_parents(self) -> None:
        for collection in _ARRIVING:
            ids = [self.plan.dangling_id(collection, number) for number in self.rng.sample(range(15), 4)]
            found = self.database[collection].find({"_id": {"$in": ids}}, {"_id": 1})
            arrived = {document["_id"] for document in found}
            missing = [parent for parent in ids if parent not in arrived]
            for parent, model in zip(missing, self.take(collection, len(missing)), strict=False):
                self.insert(collection, {**model, "_id": parent}, self.changes.arrived)

    def _change_arrays(self, collection: str, array: str) -> None:
        def has_items(document: Document) -> bool:
            return isinstance(document.get(array), list) and bool(document[array])

        count = max(len(_ARRAY_CHANGES), self.share(collection))
        # Longest first, so that there is one that can shrink and still hold something.
        documents = sorted(self.take(collection, count, has_items), key=lambda document: -len(document[array]))
        pool = [item for document in documents for item in document[array]]
        for number, document in enumerate(documents):
            items, change = list(document[array]), _ARRAY_CHANGES[number % len(_ARRAY_CHANGES)]
            if change == "grow":
                items += [item for item in pool[number : number + 40] if item not in items][:2]
            elif change == "shrink":
                items.pop(self.rng.randrange(len(items)))
            elif change == "replace":
                items[-1] = self.rng.choice(pool)
            emptied = {"remove": ABSENT, "null": None, "empty": []}
            self.update(collection, document, self.changes.arrays, {array: emptied.get(change, items)})

    def _move_keys(self) -> None:
        """Move documents to another key of their table, out of it, into it, and to the top of their key."""
        meals = self.take("menurecipes", 4 + self.share("menurecipes"))
        for number, meal in enumerate(meals):
            other = meals[number - 1]
            moved = {"recipe": other["recipe"]} | ({} if number % 3 else {"menu": other["menu"]})
            self.update("menurecipes", meal, self.changes.moved, moved)
        count = 6 + self.share("coachinglogbooks")
        logbooks = self.take("coachinglogbooks", count, lambda document: document.get("user") is not None)
        for number, logbook in enumerate(logbooks):
            moved = (
                {"day": local_midnight(_local_day(logbook["day"]) + 1)},
                {"user": logbooks[number - 1]["user"]},
                {"user": ABSENT},
                # Saved again without a change: now the last one of its day.
                {},
            )[number % 4]
            self.update("coachinglogbooks", logbook, self.changes.moved, moved)
        for logbook in self.take("coachinglogbooks", 2, lambda document: document.get("user") is None):
            self.update("coachinglogbooks", logbook, self.changes.moved, {"user": logbooks[0]["user"]})

    def _insert_copies(self, collection: str) -> None:
        for model in self.take(collection, 2 + self.share(collection)):
            fresh = {"_id": self.new_id(collection), **_UNDECLARED.get(collection, {})}
            self.insert(collection, {**model, **fresh}, self.changes.inserted)

    def _insert_logbooks(self) -> None:
        """Insert logbooks of the day, each with its quiz and the quiz's questions."""
        inserted = self.changes.inserted
        today = milliseconds(self.day) // DAY_MS
        count = 3 + self.share("coachinglogbooks")
        models = self.take("coachinglogbooks", count, lambda document: document.get("user") is not None)
        for model, quizz in zip(models, self.take("userquizzs", count), strict=False):
            questions = []
            for question in self.take("userquizzquestions", 3):
                questions.append(self.new_id("userquizzquestions"))
                self.insert("userquizzquestions", {**question, "_id": questions[-1]}, inserted)
            quizz_id = self.new_id("userquizzs")
            self.insert("userquizzs", {**quizz, "_id": quizz_id, "questions": questions}, inserted)
            logbook_id = self.new_id("coachinglogbooks")
            logbook = {**model, "_id": logbook_id, "logbook": quizz_id, "day": local_midnight(today)}
            self.insert("coachinglogbooks", logbook, inserted)


def _local_day(midnight: datetime) -> int:
    """Give the day of a local midnight, in days since 1970: noon of it is the same day in UTC."""
    return (milliseconds(midnight) + DAY_MS // 2) // DAY_MS
