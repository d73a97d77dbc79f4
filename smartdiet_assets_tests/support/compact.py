"""A small application with every feature a table can declare, and the random edits its users make.

Here: its schema file and the hypothesis strategies of its documents.
Not here: running a sync, or judging it (`mirrored`, `oracle`).
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from bson import Decimal128, Int64
from hypothesis import strategies as st

from smartdiet_assets_tests.support.application import (
    ABSENT,
    NOW,
    Reference,
    local_midnight,
    reference,
)

SCHEMA = """
partitions: {start: 2026-01-01}
defaults:
  overlap: 0s

tables:
  teams:                       # a tree, strict: a team without its parent team is not shown
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(8), nullable: false}
      - {name: code, sql_type: INTEGER}
      - {name: parent_id, sql_type: VARCHAR, mongo_field: parent, foreign_key: teams(id)}
    unique_constraints: [[code]]

  events:
    include_base: true
    additional_columns:
      - {name: name, sql_type: TEXT, nullable: false, default: untitled}
      - {name: type, sql_type: VARCHAR(20), mongo_field: __t, nullable: false}
      - {name: day, sql_type: DATE, timezone: Europe/Paris}
      - {name: starts, sql_type: TIMESTAMP, mongo_field: [starts, start_date]}
      - {name: price, sql_type: "NUMERIC(6,2)"}
      - {name: places, sql_type: SMALLINT, default: 10}
      - {name: extra, sql_type: JSONB}

  menus:                       # some documents of a collection, which may stop being menus
    mongo_collection: events
    filter: {__t: menu}
    include_base: true
    additional_columns:
      - {name: name, sql_type: TEXT, nullable: false, default: untitled}
      - {name: city, sql_type: VARCHAR(6), mongo_field: extra.city}

  people:                      # a tree, lenient: a missing mentor or team is NULL
    include_base: true
    additional_columns:
      - {name: email, sql_type: VARCHAR(12), nullable: false}
      - {name: born, sql_type: DATE, mongo_field: [birthday, birthdate], timezone: Europe/Paris}
      - name: team_id
        sql_type: VARCHAR
        mongo_field: team
        foreign_key: teams(id)
        on_missing_parent: null
      - name: mentor_id
        sql_type: VARCHAR
        mongo_field: mentor
        foreign_key: people(id)
        on_missing_parent: null
      - {name: role, sql_type: VARCHAR(8), nullable: false, default: CUSTOMER}
      - {name: active, sql_type: BOOLEAN, default: true}
      - {name: ratio, sql_type: DOUBLE PRECISION}
      - {name: answer, sql_type: VARCHAR}
    unique_constraints: [[email]]

  person_events:               # items are ids, or documents with the id and the item's own date
    mongo_collection: people
    import_strategy: smart_diff
    arrays:
      - {field: registered}
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: people(id)}
      - name: event_id
        sql_type: VARCHAR
        nullable: false
        item_field: [event, _id, "."]
        foreign_key: events(id)
      - {name: joined_at, sql_type: TIMESTAMP, item_field: date}
      - {name: role, sql_type: VARCHAR(8), default: CUSTOMER}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[person_id, event_id]]

  person_menus:                # two arrays in one table, told apart by a constant
    mongo_collection: people
    import_strategy: delete_and_insert
    arrays:
      - {field: liked, set: {kind: like}}
      - {field: history.cooked, set: {kind: cooked}}
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: people(id)}
      - {name: menu_id, sql_type: VARCHAR, nullable: false, item_field: [".", menu], foreign_key: menus(id)}
      - {name: kind, sql_type: VARCHAR(10), nullable: false}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[person_id, menu_id, kind]]

  person_seen:                 # upsert only: what was seen once stays
    mongo_collection: people
    import_strategy: array
    arrays:
      - {field: seen}
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: people(id)}
      - {name: event_id, sql_type: VARCHAR, nullable: false, item_field: ".", foreign_key: events(id)}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[person_id, event_id]]

  meals:                       # several documents may describe one menu and day
    filter: {cancelled: {$ne: true}}
    columns:
      - {name: number, sql_type: SERIAL, nullable: false, primary_key: true}
      - {name: menu_id, sql_type: VARCHAR, nullable: false, mongo_field: menu, foreign_key: menus(id)}
      - {name: day, sql_type: DATE, nullable: false, timezone: Europe/Paris}
      - {name: plates, sql_type: INTEGER}
      - name: cook_id
        sql_type: VARCHAR
        mongo_field: cook
        foreign_key: people(id)
        on_missing_parent: null
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[menu_id, day]]
    winner: [plates DESC, document_id]

  notes:                       # a collection whose dates say nothing: read whole each time
    incremental: none
    import_strategy: direct
    include_base: true
    additional_columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: person, foreign_key: people(id)}
      - {name: text, sql_type: VARCHAR(6)}
"""

#: The same, with every change taken from the change streams, deletions too.
CAPTURED = (
    SCHEMA.replace("overlap: 0s", "overlap: 0s\n  on_delete: delete")
    + """
collections:
  teams: {capture: change_stream}
  events: {capture: change_stream}
  people: {capture: change_stream}
  meals: {capture: change_stream}
  notes: {capture: change_stream}
"""
)

#: What `on_delete` says of each table in `RECONCILED`.
ON_DELETE = {
    "teams": "delete",
    "events": "flag",
    "menus": "delete",
    "people": "delete",
    "person_events": "delete",
    "person_menus": "flag",
    "person_seen": "delete",
    "meals": "delete",
    "notes": "flag",
}
#: The same, with deletions found by a reconcile pass.
RECONCILED = re.sub(
    rf"^  ({'|'.join(ON_DELETE)}):.*\n",
    lambda found: f"{found[0]}    on_delete: {ON_DELETE[found[1]]}\n",
    SCHEMA,
    flags=re.MULTILINE,
)

#: The schema of a protected mirror, captured, and what is protected of it.
PROTECTED = CAPTURED.replace("VARCHAR(12)", "VARCHAR(64)")
KEY = "a key that is one of tests alone"
PROTECTIONS = """
protect:
  teams: {id: pseudonym, parent_id: pseudonym, name: {keep: 2}}
  events: {id: pseudonym, name: redact, starts: {keep: month}, extra: redact, day: redact}
  menus: {id: pseudonym, name: pseudonym, city: redact}
  people:
    id: pseudonym
    email: pseudonym
    born: {keep: year}
    team_id: pseudonym
    mentor_id: pseudonym
    ratio: redact
    active: redact
    answer: pseudonym
  person_events: {person_id: pseudonym, event_id: pseudonym, joined_at: {keep: year}, role: {keep: 3}}
  person_menus: {person_id: pseudonym, menu_id: pseudonym}
  person_seen: {person_id: pseudonym, event_id: pseudonym}
  meals: {document_id: pseudonym, menu_id: pseudonym, cook_id: pseudonym}
  notes: {id: pseudonym, person_id: pseudonym, text: redact}
"""

TABLES = tuple(re.findall(r"^  (\w+):", SCHEMA.partition("tables:")[2], re.MULTILINE))

#: How many documents a collection has at most. Few, so that random edits meet each other.
MEMBERS = 4


def _one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def _references(collection: str) -> st.SearchStrategy[Any]:
    """Ids of the collection, one of them of a document that never comes."""
    return st.integers(0, MEMBERS).map(lambda number: reference(collection, number))


def _optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values, _one_of(None, ABSENT))


def _array(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Arrays that grow and shrink, the ways they can be empty, and a value that is no array."""
    some = st.lists(items, max_size=4)
    return st.one_of(some, some, some, _one_of(None, ABSENT, []), items)


_BAD_TEXT = ("far too long for it", "nul\0", {"a": 1})
_DAYS = _one_of(local_midnight(3, 30), local_midnight(3, 31), local_midnight(10, 27), local_midnight(12, 1))

#: collection -> field -> its values. Bad values are about one in six, so that most documents load.
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "teams": {
        "name": _one_of("red", "blue", "green", "élan", 12, *_BAD_TEXT),
        "code": _optional(_one_of(1, 2, 3, 2.0, Int64(4), "5", 2**40)),
        "parent": st.one_of(_optional(_references("teams")), _one_of(ABSENT)),
    },
    "events": {
        "name": _one_of("run", "walk", "a\nb", True, None, ABSENT, "nul\0"),
        "__t": _one_of("menu", "menu", "menu", "webinar", ABSENT),
        "day": _optional(_one_of(local_midnight(3, 31), local_midnight(10, 27), "never")),
        "starts": _optional(_one_of(local_midnight(5, 1), "2024-05-01T10:00:00+02:00", 5)),
        "start_date": _optional(_one_of(local_midnight(6, 1), NOW)),
        "price": _optional(_one_of(1, 2.5, 2.005, Decimal128("12.345"), "7.1", float("nan"), 1e6, True)),
        "places": _optional(_one_of(1, 12.5, Int64(3), "4", 40_000, False)),
        "extra": _optional(
            _one_of(
                {"city": "Paris"},
                {"city": None, "n": [1, 2.0, {"d": local_midnight(7, 1)}]},
                {"city": "Marseille"},
                {"n": float("inf"), "d": Decimal128("1.10")},
                [Reference("teams", 1), "x"],
                "text",
            )
        ),
    },
    "people": {
        "email": _one_of("a@x", "b@x", "c@x", "d@x", "e@x", "too.long@example"),
        "birthday": _optional(_one_of(local_midnight(7, 14), local_midnight(1, 1), 12)),
        "birthdate": _optional(_one_of(local_midnight(2, 2), "1990-02-03")),
        "team": _optional(_references("teams")),
        "mentor": _optional(_references("people")),
        "role": _one_of("DIET", "RH", None, ABSENT, {"a": 1}),
        "active": _optional(_one_of(True, False, "no", "TRUE", 1)),
        "ratio": _optional(_one_of(1, 0.1, float("nan"), float("-inf"), Decimal128("0.25"), "1e3", "x")),
        "answer": _optional(_one_of("oui", 12, 12.0, 12.5, False, ["a", "b c"], [], Decimal128("1.50"), NOW, {})),
        "registered": _array(
            st.one_of(
                _references("events"),
                _references("events"),
                st.builds(
                    lambda event, date: {"event": event, "date": date},
                    _references("events"),
                    _one_of(local_midnight(4, 1), local_midnight(4, 2), None, "soon"),
                ),
                _one_of(None, 12),
            )
        ),
        "liked": _array(_references("events")),
        "history": _optional(
            st.builds(
                lambda cooked: {"cooked": cooked},
                _array(_references("events")).filter(lambda v: v is not ABSENT),
            )
        ),
        "seen": _array(_references("events")),
    },
    "meals": {
        "menu": st.one_of(_references("events"), _references("events"), _one_of(None, ABSENT)),
        "day": st.one_of(_DAYS, _DAYS, _one_of("never", None)),
        "plates": _optional(_one_of(1, 2, 3, 2.4, "x")),
        "cook": _optional(_references("people")),
        "cancelled": _one_of(True, False, ABSENT, ABSENT),
    },
    "notes": {
        "person": _references("people"),
        "text": _optional(_one_of("hello", "bye", "far too long")),
    },
}


def birth(collection: str, number: int) -> dict[str, Any]:
    """What a document holds before its first edit: good values, so that edits bring the trouble."""
    births: dict[str, dict[str, Any]] = {
        "teams": {"name": "red", "code": 100 + number},
        "events": {"name": "run", "__t": "menu", "day": local_midnight(3, 31)},
        "people": {"email": f"{number}@x", "registered": [reference("events", 0)], "liked": [], "seen": []},
        "meals": {"menu": reference("events", 0), "day": local_midnight(3, 31), "plates": 1},
        "notes": {"person": reference("people", number), "text": "hello"},
    }
    return births[collection]


@dataclass(frozen=True)
class Edit:
    """One save of one document; it is born where it is not there yet, with both dates unless `undated`.

    `at_once`: in the same millisecond as the save before, even where a sync came between them. `silent`: without a new
    date, which only a captured table can see.
    """

    collection: str
    number: int
    fields: tuple[tuple[str, Any], ...]
    undated: bool = False
    at_once: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Deletion:
    """One document deleted, if it is there; it may be born again."""

    collection: str
    number: int


@dataclass(frozen=True)
class Reconcile:
    """A reconcile pass over every table."""


@dataclass(frozen=True)
class Sync:
    """One run of every table, or of those an operator picks; `kind` is that of the window request."""

    kind: Literal["newest", "full"] = "newest"
    tables: frozenset[str] | None = None


Step = Edit | Deletion | Reconcile | Sync


def edits(silent: bool = False) -> st.SearchStrategy[Edit]:
    """Edits of one to three fields of one document; with `silent`, half of them without a new date."""
    return st.sampled_from(sorted(FIELDS)).flatmap(lambda collection: _edits_of(collection, silent))


def deletions() -> st.SearchStrategy[Deletion]:
    """Deletions of one document."""
    return st.builds(Deletion, st.sampled_from(sorted(FIELDS)), st.integers(0, MEMBERS - 1))


def _edits_of(collection: str, silent: bool) -> st.SearchStrategy[Edit]:
    fields = FIELDS[collection]
    changes = st.lists(
        st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name])),
        min_size=1,
        max_size=3,
        unique_by=lambda change: change[0],
    ).map(tuple)
    seldom = st.integers(0, 3).map(lambda chance: chance == 3)
    unseen = st.booleans() if silent else st.just(False)
    return st.builds(Edit, st.just(collection), st.integers(0, MEMBERS - 1), changes, seldom, seldom, unseen)


def days(captured: bool = False) -> st.SearchStrategy[list[Step]]:
    """A history: edits with syncs in between, and now and then a full read.

    With `captured`, documents are deleted too, and changed without a new date.
    """
    change = st.one_of(edits(silent=True), edits(silent=True), edits(silent=True), deletions()) if captured else edits()
    burst = st.lists(change, min_size=1, max_size=8)
    whole = st.sampled_from([Sync(), Sync(), Sync(), Sync("full")])
    part = st.frozensets(st.sampled_from(TABLES), min_size=1, max_size=6).map(lambda names: Sync("newest", names))
    sync = st.one_of(whole, whole, part)
    day: st.SearchStrategy[list[Step]] = st.builds(lambda saves, run: [*saves, run], burst, sync)
    return st.lists(day, min_size=2, max_size=5).map(lambda parts: [step for part in parts for step in part])


def reconciled_days() -> st.SearchStrategy[list[Step]]:
    """A history in which documents are deleted, and found by a reconcile pass.

    After the pass comes a sync of every table: until then, a document of a shared key may show that the oracle does
    not remember.
    """
    burst = st.lists(edits(), min_size=1, max_size=8)
    ends = st.lists(deletions(), max_size=4)
    whole = st.sampled_from([Sync(), Sync(), Sync(), Sync("full")])
    day: st.SearchStrategy[list[Step]] = st.builds(
        lambda saves, gone, run: [*saves, *gone, Reconcile(), run] if gone else [*saves, run], burst, ends, whole
    )
    return st.lists(day, min_size=2, max_size=5).map(lambda parts: [step for part in parts for step in part])
