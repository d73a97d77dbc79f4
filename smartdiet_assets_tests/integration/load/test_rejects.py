"""The lasting records of what was not loaded: who is in them, for how long, and what is read again because of them."""

from typing import Any

import psycopg

from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets_tests.support.loads import (
    club,
    load,
    oid,
    open_load,
    parent,
    read,
    reject,
    rejects_of,
    retry_ids,
    rows_of,
)

Connection = psycopg.Connection[Any]


def group(number: int, parent: str | None = None) -> tuple[Any, ...]:
    return (oid(number), parent, None)


def test_a_document_rejected_again_is_counted_and_keeps_its_first_date(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(1))]), run_id="first")
    first = rows_of(postgres, "smartdiet.rejected_rows", "first_seen")

    load(postgres, club(), "groups", read(rejects=[reject(oid(1), "other")]), run_id="second")

    assert rejects_of(postgres, "groups") == [(oid(1), "other", "invalid_type", 1, 2)]
    assert rows_of(postgres, "smartdiet.rejected_rows", "first_seen") == first
    assert rows_of(postgres, "smartdiet.rejected_rows", "last_seen > first_seen, run_id") == [(True, "second")]


def test_a_document_that_loads_or_is_gone_leaves_the_rejects(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(1)), reject(oid(2))]))

    load(postgres, club(), "groups", read(group(1)))

    assert rejects_of(postgres, "groups") == []


def test_rejects_that_were_not_read_again_stay(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(1))]))

    with open_load(postgres, club(), club().tables["groups"], "run") as partial:
        partial.begin()
        partial.write(read(group(2)))
        partial.finish(watermark=None, full=False)

    assert [row[0] for row in rejects_of(postgres, "groups")] == [oid(1)]


def test_rejects_of_one_table_are_nothing_to_another(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(1))]))

    load(postgres, club(), "chains", read((oid(1), None)))

    assert len(rejects_of(postgres, "groups")) == 1


def test_a_wait_keeps_the_run_that_first_met_it(postgres: Connection) -> None:
    for run_id in ("first", "second"):
        load(postgres, club(), "groups", read(group(1, oid(9))), run_id=run_id)

    assert rows_of(postgres, "smartdiet.awaited_parents", "parent_id, first_run_id") == [(oid(9), "first")]


def test_the_ids_to_read_again_come_in_chunks_of_a_hundred(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(1, 251)]))

    with open_load(postgres, club(), club().tables["groups"], "run") as load_:
        chunks = list(load_.retry_ids())
        load_.begin()
        load_.finish(watermark=None)

    assert [len(chunk) for chunk in chunks] == [100, 100, 50]
    assert sorted(id_ for chunk in chunks for id_ in chunk) == [oid(n) for n in range(1, 251)]


def test_batches_may_be_written_while_the_ids_are_streamed(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(1, 5_001)]))

    with open_load(postgres, club(), club().tables["groups"], "run") as load_:
        load_.begin()
        for chunk in load_.retry_ids(5_000):
            load_.write(read(*[(id_, None, None) for id_ in chunk]))
        result = load_.finish(watermark=None)

    assert (result.inserted, result.rejected) == (5_000, 0)


def test_a_parent_awaited_from_several_sides_is_read_once(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(group(1, oid(9)), group(2, oid(9)), rejects=[reject(oid(9))]))

    assert retry_ids(postgres, club(), "groups") == sorted([oid(1), oid(2), *parent(oid(9))])


def test_a_parent_is_asked_for_by_whatever_its_text_may_stand_for(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read((oid(1), "42", None, None, None, None, None)))

    assert retry_ids(postgres, club(), "groups") == sorted([encode_document_id("42"), encode_document_id(42)])


def test_a_document_whose_id_cannot_be_read_is_counted_and_not_asked_for(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(""), reject("")]))

    assert rejects_of(postgres, "groups") == [("", "name", "invalid_type", 2, 1)]
    assert retry_ids(postgres, club(), "groups") == []
