"""`max_rejects`: a run that leaves more rejects than its table allows writes nothing, and says what is wrong."""

from typing import Any

import psycopg
import pytest

from smartdiet_assets.errors import RejectGroup, TooManyRejectsError
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.loads import (
    EARLY,
    LATE,
    club,
    load,
    oid,
    read,
    reject,
    rejects_of,
    rows_of,
)

Connection = psycopg.Connection[Any]


def limited(limit: str) -> Schema:
    return club(("  groups:\n", f"  groups:\n    max_rejects: {limit}\n"))


def groups(first: int, last: int) -> list[tuple[Any, ...]]:
    return [(oid(n), None, None) for n in range(first, last)]


@pytest.mark.parametrize(("limit", "bad", "fails"), [("2", 2, False), ("2", 3, True), ("0", 1, True), ("5%", 5, False)])
def test_a_first_run_may_reject_as_many_as_its_table_allows(
    postgres: Connection, limit: str, bad: int, fails: bool
) -> None:
    batch = read(*groups(0, 100 - bad), rejects=[reject(oid(500 + n)) for n in range(bad)])
    if fails:
        with pytest.raises(TooManyRejectsError):
            load(postgres, limited(limit), "groups", batch)
        return
    load(postgres, limited(limit), "groups", batch)
    assert len(rejects_of(postgres, "groups")) == bad


def test_a_run_beyond_the_limit_writes_nothing(postgres: Connection) -> None:
    load(postgres, limited("1"), "groups", read(*groups(0, 3)), watermark=EARLY)

    with pytest.raises(TooManyRejectsError) as raised:
        load(
            postgres,
            limited("1"),
            "groups",
            read(*groups(3, 5), rejects=[reject(oid(9)), reject(oid(10)), reject(oid(11), "parent_id")]),
            watermark=LATE,
        )

    assert (raised.value.rejected, raised.value.before) == (3, 0)
    assert raised.value.groups == [
        RejectGroup("name", "invalid_type", "integer", "string", 2),
        RejectGroup("parent_id", "invalid_type", "integer", "string", 1),
    ]
    assert "groups: 3 documents would be rejected" in str(raised.value)
    assert "2 invalid_type in name (expected integer, received string)" in str(raised.value)
    assert oid(9) not in str(raised.value)
    assert len(rows_of(postgres, "groups")) == 3
    assert rejects_of(postgres, "groups") == []
    assert rows_of(postgres, "smartdiet.sync_state", "watermark") == [(EARLY,)]


def test_a_share_is_of_the_table_where_the_run_is_small(postgres: Connection) -> None:
    """One bad document of two that were read is half of the run, and a hundredth of the table."""
    load(postgres, limited("5%"), "groups", read(*groups(0, 100)))

    load(postgres, limited("5%"), "groups", read(*groups(0, 1), rejects=[reject(oid(500))]))

    assert len(rejects_of(postgres, "groups")) == 1
    with pytest.raises(TooManyRejectsError):
        load(postgres, limited("5%"), "groups", read(rejects=[reject(oid(500 + n)) for n in range(10)]), retry=False)


def test_rejects_that_wait_count_too(postgres: Connection) -> None:
    load(postgres, limited("3"), "groups", read(rejects=[reject(oid(n)) for n in range(3)]))

    with pytest.raises(TooManyRejectsError):
        load(postgres, limited("3"), "groups", read(rejects=[reject(oid(n)) for n in range(4)]))


def test_a_run_that_makes_it_better_is_not_stopped_by_a_limit_declared_later(postgres: Connection) -> None:
    load(postgres, club(), "groups", read(rejects=[reject(oid(n)) for n in range(10)]))

    load(postgres, limited("1"), "groups", read(*groups(0, 1), rejects=[reject(oid(n)) for n in range(1, 10)]))

    assert (len(rows_of(postgres, "groups")), len(rejects_of(postgres, "groups"))) == (1, 9)


def test_documents_without_a_readable_id_count_each(postgres: Connection) -> None:
    with pytest.raises(TooManyRejectsError) as raised:
        load(postgres, limited("2"), "groups", read(rejects=[reject("")] * 3))
    assert raised.value.rejected == 3
