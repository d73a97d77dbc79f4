"""The first load of a table: what it costs whatever its size, and what an earlier life of the table left behind."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import Trace

from smartdiet_assets.errors import SchemaMismatchError
from smartdiet_assets_tests.support.loads import (
    EARLY,
    club,
    load,
    oid,
    read,
    reject,
    rejects_of,
    rows_of,
)

Connection = psycopg.Connection[Any]


@contextmanager
def counted_messages(connection: Connection, folder: Path) -> Iterator[Counter[str]]:
    """Count the messages libpq sends by their names; known when the block is over."""
    sent: Counter[str] = Counter()
    with Path(folder, "trace").open("w+") as file:
        connection.pgconn.trace(file.fileno())
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS | Trace.REGRESS_MODE)
        yield sent
        connection.pgconn.untrace()
        file.seek(0)
        sent.update(line.split("\t")[2].strip() for line in file if line.startswith("F\t"))


def member(number: int, group: str | None = None, email: str | None = None) -> tuple[Any, ...]:
    return (oid(number), group, None, email, None, EARLY, EARLY)


@pytest.mark.parametrize(
    ("table", "most"),
    [("guests", 20), ("members", 20), ("tags", 20), ("diary", 25)],
    ids=["no parent", "parents and a second key", "items", "several documents a key"],
)
def test_a_first_load_waits_for_the_server_a_few_times(
    postgres: Connection, tmp_path: Path, table: str, most: int
) -> None:
    """PostgreSQL may be far away; each Query and each Sync is answered before the next is sent."""
    for parent in ("groups", "members"):
        if parent != table:
            load(postgres, club(), parent)
    with counted_messages(postgres, tmp_path) as sent:
        load(postgres, club(), table, retry=False)

    assert sent["Query"] + sent["Sync"] <= most, sent


def test_all_kinds_of_rejects_meet_in_a_first_load(postgres: Connection) -> None:
    load(postgres, club(), "groups", read((oid(1), None, "one")))
    rows = [member(1, oid(1), "a"), member(2, oid(9), "b"), member(3, None, "c"), member(4, None, "c")]

    result = load(postgres, club(), "members", read(*rows, rejects=[reject(oid(5), "email")]), retry=False)

    assert [row[0] for row in rows_of(postgres, "members")] == [oid(1), oid(3)]
    assert [(document, reason) for document, _, reason, _, _ in rejects_of(postgres, "members")] == [
        (oid(2), "missing_parent"),
        (oid(4), "duplicate_key"),
        (oid(5), "invalid_type"),
    ]
    assert (result.rows, result.inserted, result.rejected, result.rejected_total) == (2, 2, 3, 3)


def test_rejects_of_a_dropped_table_go_when_it_is_loaded_anew(postgres: Connection) -> None:
    load(postgres, club(), "groups")
    load(postgres, club(), "members", read(member(1, oid(9)), rejects=[reject(oid(2)), reject(oid(3))]))
    postgres.execute("DROP TABLE members")

    result = load(postgres, club(), "members", read(member(1), rejects=[reject(oid(3))]), retry=False)

    assert [document for document, *_ in rejects_of(postgres, "members")] == [oid(3)]
    assert rows_of(postgres, "smartdiet.awaited_parents") == []
    assert (result.rejected, result.rejected_total) == (1, 1)


def test_a_parent_that_cannot_be_referenced_is_named_and_nothing_is_created(postgres: Connection) -> None:
    postgres.execute("CREATE TABLE groups (id varchar, parent_id varchar, name varchar)")

    with pytest.raises(SchemaMismatchError, match=r"column id, which members\.group_id references"):
        load(postgres, club(), "members")

    assert ("members",) not in rows_of(postgres, "pg_tables", "tablename")
