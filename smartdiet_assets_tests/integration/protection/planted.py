"""Documents with a mark in every value that is to be protected, their ids included."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

MARK = "MARKED"
_BORN = datetime(1977, 5, 17)


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def dates(seconds: int = 0) -> dict[str, Any]:
    return {"creation_date": now(), "update_date": now() + timedelta(seconds=seconds)}


def person(number: int, **fields: Any) -> dict[str, Any]:
    identity = f"{MARK}-person-{number}"
    return {
        "_id": identity, "name": f"{MARK} {number}", "mail": f"{MARK}.{number}@x.org", "born": _BORN, "age": 40,
        "note": {"text": f"{MARK} note"}, **dates(), **fields,
    }  # fmt: skip


def post(number: int, by: Any, **fields: Any) -> dict[str, Any]:
    tags = [f"{MARK} tag", f"{MARK} tag {number}"]
    return {"_id": f"{MARK}-post-{number}", "person": by, "text": f"{MARK} text", "tags": tags, **dates(), **fields}


def entry(number: int, by: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": f"{MARK}-entry-{number}", "person": by, "day": _BORN, "mood": f"{MARK} mood", **dates(), **fields}


def plant(database: Database[Any]) -> None:
    """Documents that load, and ones that do not: a bad value, a missing parent, a shared unique value, a shared key."""
    people = [person(number) for number in range(4)]
    people += [person(10, name=f"{MARK}" * 20), person(11, mail=people[3]["mail"]), person(12, _id=5)]
    people += [person(13, _id="5"), person(14, born=f"{MARK} day")]
    database.people.insert_many(people)
    posts = [post(number, people[number % 3]["_id"]) for number in range(6)]
    posts += [post(20, f"{MARK}-person-99"), post(21, people[1]["_id"], tags=[f"{MARK}\0"]), post(22, 5.0)]
    database.posts.insert_many(posts)
    entries = [entry(number, people[0]["_id"]) for number in range(3)]
    database.diary.insert_many([*entries, entry(9, f"{MARK}-person-99")])


def edit(database: Database[Any]) -> None:
    """What happens next: values change, a parent comes, what was wrong is mended, documents go."""
    database.people.insert_one(person(99))
    database.people.update_one({"_id": f"{MARK}-person-10"}, {"$set": {"name": f"{MARK} short", **dates(1)}})
    database.people.update_one({"_id": f"{MARK}-person-1"}, {"$set": {"mail": f"{MARK}.new@x.org", **dates(1)}})
    database.posts.update_one({"_id": f"{MARK}-post-2"}, {"$set": {"tags": [f"{MARK} other"]}})
    database.posts.delete_one({"_id": f"{MARK}-post-3"})
    database.diary.delete_one({"_id": f"{MARK}-entry-2"})
    database.people.delete_one({"_id": f"{MARK}-person-3"})
