"""A writer that keeps changing MongoDB while runs and servers are killed.

Here: its schema, its random edits, and how it leaves everything good at the end. Not here: kills, runs, or judging the
tables. Every write is journaled and repeated until the server has taken it, so that what it did survives a kill of
the server, and is dated when it was made.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

#: A table of each kind, parents and children. `overlap` is far more than a write takes, far less than the test.
SCHEMA = """
defaults: {overlap: 15s}
tables:
  marks:                     # a new one at every step, never changed: what a watermark may not be ahead of
    include_base: true
    additional_columns:
      - {name: number, sql_type: INTEGER, nullable: false}
  teams:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(8), nullable: false}
  people:
    include_base: true
    additional_columns:
      - {name: team_id, sql_type: VARCHAR, nullable: false, mongo_field: team, foreign_key: teams(id)}
      - {name: name, sql_type: VARCHAR(8), nullable: false}
      - {name: age, sql_type: INTEGER}
  person_tags:
    mongo_collection: people
    import_strategy: smart_diff
    arrays: [{field: tags}]
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: people(id)}
      - {name: tag, sql_type: VARCHAR, nullable: false, item_field: tag}
      - {name: weight, sql_type: INTEGER, item_field: weight}
    unique_constraints: [[person_id, tag]]
  person_teams:
    mongo_collection: people
    import_strategy: delete_and_insert
    arrays: [{field: followed}]
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: people(id)}
      - {name: team_id, sql_type: VARCHAR, nullable: false, item_field: ., foreign_key: teams(id)}
    unique_constraints: [[person_id, team_id]]
  meals:                     # several documents may describe one person and day
    columns:
      - {name: number, sql_type: SERIAL, nullable: false, primary_key: true}
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: person, foreign_key: people(id)}
      - {name: day, sql_type: INTEGER, nullable: false}
      - {name: plates, sql_type: INTEGER}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[person_id, day]]
    winner: [plates DESC, document_id]
  notes:                     # read whole each time
    incremental: none
    include_base: true
    additional_columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: person, foreign_key: people(id)}
      - {name: text, sql_type: VARCHAR(8)}
"""
_TEAMS, _PEOPLE, _DEPENDENTS = 12, 80, 120
_TOO_LONG = "much too long for it"
_TAGS = ("a", "b", "c", "d", "e")
Document = dict[str, Any]


class Writer:
    """Edits the collections in a thread of its own, until it is paused.

    Attributes:
        edits: how many of each kind were made.
    """

    def __init__(self, uri: str, database: str, seed: int) -> None:
        self.edits: Counter[str] = Counter()
        self._client: MongoClient[Document] = MongoClient(uri, serverSelectionTimeoutMS=1_000, socketTimeoutMS=10_000)
        self._database: Database[Document] = self._client.get_database(
            database, write_concern=WriteConcern(w=1, j=True)
        )
        self._random = random.Random(seed)
        self._marks = 0
        #: Documents as they should be in the end, by collection and id, and what is another way meanwhile.
        self._good: dict[tuple[str, str], Document] = {}
        self._broken: set[tuple[str, str]] = set()
        self._absent: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self._pause = threading.Event()
        self._closing = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Go on editing."""
        self._pause.clear()
        self._thread = threading.Thread(target=self._edit_until_paused, daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop editing after the edit at hand."""
        self._pause.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            raise self._failure

    def settle(self) -> None:
        """Bring back what was deleted, and mend what was broken: the tables then depend on no document's past."""
        for name in list(self._absent | self._broken):
            self._put(name, self._good[name])

    def close(self) -> None:
        self._closing.set()
        self._pause.set()
        if self._thread is not None:
            self._thread.join()
        self._client.close()

    def _edit_until_paused(self) -> None:
        edits: list[tuple[Callable[[], None], int]] = [
            (self._mark, 4), (self._insert, 4), (self._update, 6), (self._remove_items, 3),
            (self._break, 2), (self._mend, 1), (self._delete, 2), (self._bring_back, 2),
        ]  # fmt: skip
        choices, weights = zip(*edits, strict=True)
        try:
            while not self._pause.is_set():
                self._random.choices(choices, weights)[0]()
                self._pause.wait(0.01)
        except BaseException as error:  # noqa: BLE001 - for the thread that asks
            self._failure = error

    # --- the edits

    def _mark(self) -> None:
        self._put(("marks", f"mark-{self._marks}"), {"number": self._marks})
        self._marks += 1
        self.edits["marks"] += 1

    def _insert(self) -> None:
        collection = self._random.choice(["teams", "people", "people", "meals", "meals", "notes"])
        count = {"teams": _TEAMS, "people": _PEOPLE}.get(collection, _DEPENDENTS)
        name = (collection, f"{collection}-{self._random.randrange(count)}")
        if name in self._good:
            return self._update()
        self._put(name, self._invent(collection))
        self.edits["inserts"] += 1
        # The parent may come after its child.
        for parent in self._parents_of(self._good[name]):
            if parent not in self._good:
                self._put(parent, self._invent(parent[0], team="teams-0"))
        return None

    def _update(self) -> None:
        name = self._pick()
        if name is None:
            return
        invented = self._invent(name[0])
        field = self._random.choice(sorted(invented))
        changed = {**self._good[name], field: invented[field]}
        # A row shows its last good document: one that may never have been good would leave that open.
        if name not in self._broken and all(parent in self._good for parent in self._parents_of(changed)):
            self._put(name, changed)
            self.edits["updates"] += 1

    def _remove_items(self) -> None:
        name = self._pick("people")
        if name is None or name in self._broken:
            return
        field = self._random.choice(["tags", "followed"])
        items = self._good[name].get(field)
        gone = None if self._random.random() < 0.1 else (items or [])[1:]
        self._put(name, {**self._good[name], field: gone})
        self.edits["array removals"] += 1

    def _break(self) -> None:
        name = self._pick("people", "teams", "notes")
        if name is not None:
            self._put(name, {**self._good[name], "text" if name[0] == "notes" else "name": _TOO_LONG}, good=False)
            self._broken.add(name)
            self.edits["breaks"] += 1

    def _mend(self) -> None:
        if self._broken:
            name = self._random.choice(sorted(self._broken))
            self._put(name, self._good[name])
            self.edits["mends"] += 1

    def _delete(self) -> None:
        name = self._pick("teams", "people", "meals", "notes")
        if name is not None:
            self._repeat(lambda: self._database[name[0]].delete_one({"_id": name[1]}))
            self._absent.add(name)
            self.edits["deletes"] += 1

    def _bring_back(self) -> None:
        if self._absent:
            name = self._random.choice(sorted(self._absent))
            self._put(name, self._good[name])
            self.edits["re-adds"] += 1

    # --- what they are made of

    def _pick(self, *collections: str) -> tuple[str, str] | None:
        """One document that is there, of the collections, or of any that changes."""
        wanted = collections or ("teams", "people", "meals", "notes")
        there = [name for name in self._good if name[0] in wanted and name not in self._absent]
        return self._random.choice(there) if there else None

    def _invent(self, collection: str, team: str = "") -> Document:
        pick = self._random
        person = f"people-{pick.randrange(_PEOPLE)}"
        team = team or f"teams-{pick.randrange(_TEAMS)}"
        word = f"{pick.randrange(10_000)}"
        documents: dict[str, Callable[[], Document]] = {
            "teams": lambda: {"name": word},
            "people": lambda: {
                "team": team,
                "name": word,
                "age": pick.randrange(100),
                "tags": [{"tag": tag, "weight": pick.randrange(9)} for tag in _TAGS if pick.random() < 0.6],
                "followed": [team for where, team in self._good if where == "teams" and pick.random() < 0.4],
            },
            "meals": lambda: {"person": person, "day": pick.randrange(5), "plates": pick.randrange(4)},
            "notes": lambda: {"person": person, "text": word},
        }  # fmt: skip
        return documents[collection]()

    @staticmethod
    def _parents_of(document: Document) -> list[tuple[str, str]]:
        fields = {"team": "teams", "person": "people"}
        return [(collection, document[field]) for field, collection in fields.items() if field in document]

    def _put(self, name: tuple[str, str], content: Document, good: bool = True) -> None:
        """Save a document as it shall be, dated with the moment of the save."""
        collection, identity = name
        if good:
            self._good[name] = content
            self._broken.discard(name)
        self._absent.discard(name)

        def replace() -> None:
            now = datetime.now(UTC).replace(tzinfo=None)
            document = {"_id": identity, "creation_date": now, "update_date": now, **content}
            self._database[collection].replace_one({"_id": identity}, document, upsert=True)

        self._repeat(replace)

    def _repeat(self, write: Callable[[], Any]) -> None:
        while True:
            try:
                write()
                return
            except DuplicateKeyError:
                # Two tries of one upsert met at the server.
                continue
            except PyMongoError:
                if self._closing.wait(0.05):
                    raise
