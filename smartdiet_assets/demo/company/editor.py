"""How a day's changes get at documents and back to the server."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from bson import ObjectId
from pymongo import InsertOne, UpdateOne
from pymongo.database import Database

from smartdiet_assets.demo.company.clock import DAY_MS, milliseconds
from smartdiet_assets.demo.company.defects import ABSENT
from smartdiet_assets.demo.company.plan import LATER, Plan
from smartdiet_assets.schema.documents import Document

#: Documents younger than this are candidates for a change, as people edit recent things. All of a collection
#: are where fewer than `FEW` are that young; never more than `MANY`.
RECENT = timedelta(days=180)
FEW, MANY = 1_000, 20_000
#: One in this many candidates is inserted, edited or gets another array; at least one is.
ONE_IN = 100


class Editor:
    """Documents to change on a day, and the writes collected for it."""

    def __init__(self, database: Database[Document], seed: int, day: datetime) -> None:
        self.database = database
        self.day = day
        self.rng = Random(f"{seed}:{day.isoformat()}")
        # Only ids are asked of it, and those do not depend on the scale.
        self.plan = Plan(seed, 1.0)
        self._writes: dict[str, list[InsertOne[Document] | UpdateOne]] = {}
        self._candidates: dict[str, list[ObjectId]] = {}
        self._ids_made = 0

    def write(self) -> None:
        """Write what was collected."""
        for collection, writes in self._writes.items():
            self.database[collection].bulk_write(writes, ordered=False)
        self._writes = {}

    def share(self, collection: str) -> int:
        """Count how many of a collection's documents a kind of change touches."""
        return max(1, len(self._candidates_of(collection)) // ONE_IN)

    def take(
        self, collection: str, count: int, fits: Callable[[Document], bool] = lambda document: True
    ) -> list[Document]:
        """Take up to `count` recent documents that fit, none twice in a day; the bad ones are left alone."""
        source = self.database[collection]
        ids = self._candidates_of(collection)
        taken: list[Document] = []
        passed: list[ObjectId] = []
        while len(taken) < count and ids:
            chunk = [ids.pop() for _ in range(min(len(ids), 100))]
            documents = {document["_id"]: document for document in source.find({"_id": {"$in": chunk}})}
            for document_id in chunk:
                if len(taken) < count and fits(documents[document_id]):
                    taken.append(documents[document_id])
                else:
                    passed.append(document_id)
        # What did not fit here may fit elsewhere.
        ids.extend(reversed(passed))
        return taken

    def _candidates_of(self, collection: str) -> list[ObjectId]:
        """List the ids still to choose from, shuffled."""
        if collection not in self._candidates:
            source = self.database[collection]
            # The index serves this; sorting by _id on the server would read the collection.
            found = list(source.find({"creation_date": {"$gte": self.day - RECENT}}, {"_id": 1}))
            if len(found) < FEW:
                found = list(source.find({}, {"_id": 1}))
            ids = sorted(document["_id"] for document in found if _index_of(document["_id"]) < LATER)[-MANY:]
            self.rng.shuffle(ids)
            self._candidates[collection] = ids
        return self._candidates[collection]

    def _moment(self) -> datetime:
        return self.day + timedelta(milliseconds=self.rng.randrange(DAY_MS))

    def new_id(self, collection: str) -> ObjectId:
        """Make an id nothing has: the day and a number are in it."""
        self._ids_made += 1
        index = LATER + (self.day.toordinal() & 0x3FF) * 0x8_0000 + self._ids_made
        return self.plan.make_id(collection, index, milliseconds(self.day))

    def insert(self, collection: str, document: Document, counter: Counter[str]) -> None:
        """Collect an insert, dated on the day."""
        created = self._moment()
        document = {**document, "creation_date": created, "update_date": created}
        if "email" in document:
            document["email"] = f"nouveau{document['_id']}@courriel.example"
        self._writes.setdefault(collection, []).append(InsertOne(document))
        counter[collection] += 1

    def update(self, collection: str, document: Document, counter: Counter[str], values: Document) -> None:
        """Collect an update of some fields, dated on the day; `ABSENT` takes a field out."""
        values = {**values, "update_date": self._moment()}
        removed = [name for name, value in values.items() if value is ABSENT]
        update: Document = {"$set": {name: value for name, value in values.items() if value is not ABSENT}}
        if removed:
            update["$unset"] = dict.fromkeys(removed, "")
        self._writes.setdefault(collection, []).append(UpdateOne({"_id": document["_id"]}, update))
        counter[collection] += 1


def _index_of(document_id: ObjectId) -> int:
    return int.from_bytes(document_id.binary[8:], "big")
