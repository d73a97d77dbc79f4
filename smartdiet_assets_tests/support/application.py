"""The application's side: documents saved one by one, with the dates and ids it would give them.

Here: ids and references that tests can write as (collection, number), the clock, and saving.
Not here: which documents there are (`compact`), or anything of PostgreSQL.
"""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bson import Binary, Decimal128, Int64, ObjectId
from pymongo.database import Database

PARIS = ZoneInfo("Europe/Paris")


class _Word:
    """A value that stands for something only the application can know."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


#: A field that is not there.
ABSENT = _Word("ABSENT")
#: The moment of the save.
NOW = _Word("NOW")


@dataclass(frozen=True)
class Reference:
    """A document's id, before the application has given it one."""

    collection: str
    number: int


def reference(collection: str, number: int) -> Reference:
    """Point at a document, which may never come."""
    return Reference(collection, number)


def local_midnight(month: int, day: int) -> datetime:
    """The midnight of Paris that begins a day of 2024, naive UTC."""
    return datetime(2024, month, day, tzinfo=PARIS).astimezone(UTC).replace(tzinfo=None)


#: The number of the document whose id is an ObjectId also where the ids of a collection are mixed.
OBJECT_ID = 0


def _mixed_id(collection: str, number: int, object_id: ObjectId) -> Any:
    """An id of another type, most of them with the text of another document's."""
    kinds: dict[str, list[Any]] = {
        "teams": [str(object_id), 5, "5", "never"],
        "events": [2.5, "2.5", Decimal128("2.50000000000000000000000001"), Int64(2**40)],
        "people": [str(object_id), UUID_ID, str(UUID_ID.as_uuid()), True],
        "meals": [datetime(2024, 5, 1, 12, 0, 0, 500_000), "2024-05-01 12:00:00.5", str(object_id), 7],
        "notes": [True, "true", -3, "-3"],
    }
    return kinds[collection][number - 1]


UUID_ID = Binary.from_uuid(UUID(int=77))


class Application:
    """Saves documents; its clock never goes back, and every save is dated with it."""

    def __init__(self, database: Database[dict[str, Any]], *, mixed: bool = False) -> None:
        self.database = database
        self._mixed = mixed
        self._clock = datetime.min
        self._stopped = False
        self._ids: dict[Reference, Any] = {}
        self._pointed = 0

    def now(self) -> datetime:
        """The moment of a save, in whole milliseconds as BSON keeps them."""
        if not self._stopped or self._clock == datetime.min:
            now = datetime.now(UTC).replace(tzinfo=None)
            self._clock = max(self._clock, now.replace(microsecond=now.microsecond // 1000 * 1000))
        return self._clock

    def id_of(self, collection: str, number: int) -> Any:
        """The id of a document, given when it is first mentioned, which may be before it is there."""
        mentioned = Reference(collection, number)
        if self._mixed and number != OBJECT_ID:
            return _mixed_id(collection, number, self.id_of(collection, OBJECT_ID))
        if mentioned not in self._ids:
            seconds = int(self.now().replace(tzinfo=UTC).timestamp())
            tail = hash_of(collection) + number.to_bytes(4, "big")
            self._ids[mentioned] = ObjectId(seconds.to_bytes(4, "big") + tail)
        return self._ids[mentioned]

    def resolve(self, value: Any) -> Any:
        """Put ids and moments in the place of the words that stand for them."""
        if isinstance(value, Reference):
            identity = self.id_of(value.collection, value.number)
            self._pointed += 1
            if type(identity) in (int, float):
                # What $lookup takes for one id.
                return [identity, float(identity), Decimal128(f"{identity:.2f}")][self._pointed % 3]
            return identity
        if value is NOW:
            return self.now()
        if isinstance(value, dict):
            return {name: self.resolve(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner) for inner in value]
        return value

    def save(
        self,
        collection: str,
        number: int,
        birth: dict[str, Any],
        changes: dict[str, Any],
        undated: bool = False,
        at_once: bool = False,
        silent: bool = False,
    ) -> None:
        """Save a document, dated now; where it is new, it is born with `birth`.

        `undated` leaves a newborn without dates, unless something pointed at it before: its id would tell
        another age. `at_once` dates it like the save before, whatever happened since. `silent` leaves the date as it
        was, as a script does that goes around the application.
        """
        self._stopped = at_once
        undated = undated and Reference(collection, number) not in self._ids
        identity = self.id_of(collection, number)
        document = self.database[collection].find_one({"_id": identity})
        now = self.now()
        if document is None:
            document = {"_id": identity, **self.resolve(birth)}
            if not undated:
                document |= {"creation_date": now, "update_date": now}
        elif not silent:
            document["update_date"] = now
        for name, value in changes.items():
            if value is ABSENT:
                document.pop(name, None)
            else:
                document[name] = self.resolve(value)
        self.database[collection].replace_one({"_id": identity}, document, upsert=True)

    def delete(self, collection: str, number: int) -> None:
        """Delete a document, if it is there. Saved again it has the same id."""
        self.database[collection].delete_one({"_id": self.id_of(collection, number)})


def hash_of(collection: str) -> bytes:
    """Four bytes that differ between collections and are the same in every run."""
    return zlib.crc32(collection.encode()).to_bytes(4, "big")
