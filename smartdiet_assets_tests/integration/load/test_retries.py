"""Which documents a run reads again: what is new at once, what was tried in vain in turns."""

from typing import Any

import psycopg

from smartdiet_assets_tests.support.loads import (
    Batch,
    club,
    load,
    oid,
    open_load,
    parent,
    read,
    reject,
    rejects_of,
    rows_of,
)

Connection = psycopg.Connection[Any]


def member(number: int, group: str) -> tuple[Any, ...]:
    return (oid(number), group, None, None, None, None, None)


def run(connection: Connection, table: str, limit: int, *batches: Batch, finds: bool = False) -> list[str]:
    """Run a table with a limit of retries; the ids it asked for. `finds` makes the source give them all, still bad."""
    with open_load(connection, club(), club().tables[table], "run") as load_:
        load_.begin()
        for batch in batches:
            load_.write(batch)
        asked = [id_ for chunk in load_.retry_ids(limit) for id_ in chunk]
        if finds:
            load_.write(read(rejects=[reject(id_) for id_ in asked]))
        load_.finish(watermark=None)
    return sorted(asked)


def test_all_get_their_turn_and_no_run_tries_more_than_the_limit(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(7)]))

    turns = [run(postgres, "groups", 3, finds=True) for _ in range(4)]

    assert [len(turn) for turn in turns] == [3, 3, 3, 3]
    assert sorted({*turns[0], *turns[1], *turns[2]}) == [oid(n) for n in range(7)]
    assert turns[3] == [oid(n) for n in (2, 3, 4)]
    assert {row[4] for row in rejects_of(postgres, "groups")} == {1}, "found as they were, they are not written"


def test_only_what_was_read_again_leaves_the_records(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(7)]))

    gone = run(postgres, "groups", 3)

    assert len(gone) == 3
    assert [row[0] for row in rejects_of(postgres, "groups")] == sorted({oid(n) for n in range(7)} - set(gone))


def test_a_document_of_the_window_leaves_the_records_out_of_turn(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(7)]))

    asked = run(postgres, "groups", 1, read(*[(oid(n), None, None) for n in range(7)]))

    assert (len(asked), rejects_of(postgres, "groups")) == (1, [])


def test_an_earlier_version_that_is_shown_does_not_clear_the_reject_of_a_later_one(postgres: Connection) -> None:
    """Another document of the same key makes the run look at the earlier version again."""
    load(postgres, club(), "members", read(member(1, None)))  # type: ignore[arg-type]
    row = (oid(1), 5, "fine", None, None)
    load(postgres, club(), "diary", Batch([(*row, oid(10))], [oid(10)], [], 1))
    load(postgres, club(), "diary", Batch([], [], [reject(oid(10), "mood")], 1))

    with open_load(postgres, club(), club().tables["diary"], "run") as load_:
        load_.begin()
        load_.write(Batch([(*row, oid(11))], [oid(11)], [], 1))
        load_.finish(watermark=None, full=False)

    assert [row[0] for row in rejects_of(postgres, "diary")] == [oid(10)]


def test_documents_whose_parent_arrived_are_read_at_once_however_many(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read(*[member(n, oid(900)) for n in range(20)], *[member(99, oid(901))]))
    load(postgres, club(), "groups", read((oid(900), None, None)))

    asked = run(postgres, "members", 1)

    assert {oid(n) for n in range(20)} <= set(asked)
    assert len(asked) <= 21


def test_a_parent_is_asked_for_at_once_by_its_first_run_and_then_in_turn(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read(*[member(n, oid(900 + n)) for n in range(20)]))

    asked = [run(postgres, "groups", 1) for _ in range(3)]

    assert [len(turn) for turn in asked] == [40, 2, 2]
    assert asked[1] != asked[2]


def test_a_parent_that_arrived_is_not_asked_for_any_more(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read(member(1, oid(900)), member(2, oid(901))))
    load(postgres, club(), "groups", read((oid(900), None, None)))

    assert rows_of(postgres, "smartdiet.missing_parents", "parent_id") == [(oid(901),)]
    assert run(postgres, "groups", 5) == parent(oid(901))


def test_a_parent_nobody_waits_for_any_more_is_forgotten(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read(member(1, oid(900))))
    load(postgres, club(), "members", read(member(1, None)))  # type: ignore[arg-type]

    run(postgres, "groups", 5)

    assert run(postgres, "groups", 5) == []


def test_a_parent_brought_by_the_run_itself_brings_its_children(postgres: Connection) -> None:
    load(postgres, club(), "chains", read(*[(oid(n), oid(900)) for n in range(20)]))

    asked = run(postgres, "chains", 1, read((oid(900), None)))

    assert {oid(n) for n in range(20)} <= set(asked)


def test_a_parent_that_goes_is_asked_for_again(postgres: Connection) -> None:
    load(postgres, club(), "guests", Batch([(oid(1), "a")], [oid(1)], [], 1))
    load(postgres, club(), "visits", read((oid(2), oid(1), None)))
    load(postgres, club(), "guests", Batch([], [oid(1)], [], 1))

    assert run(postgres, "guests", 1) == parent(oid(1))


def test_retries_that_were_not_read_to_the_end_clear_nothing(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(300)]))

    with open_load(postgres, club(), club().tables["groups"], "run") as load_:
        load_.begin()
        next(iter(load_.retry_ids()))
        load_.finish(watermark=None)

    assert len(rejects_of(postgres, "groups")) == 300


def test_the_records_of_an_older_version_are_taken_over(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read(member(1, oid(900))))
    postgres.execute("DROP TABLE smartdiet.missing_parents")
    postgres.execute("ALTER TABLE smartdiet.awaited_parents DROP COLUMN arrived")

    assert run(postgres, "groups", 1) == parent(oid(900))
