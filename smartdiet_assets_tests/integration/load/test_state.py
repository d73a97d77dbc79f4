"""What a run knows of the runs before it: watermarks, forced re-imports, truncation, the lock."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from smartdiet_assets.errors import LoadConflictError
from smartdiet_assets.load.records.last_state import SyncState
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.loads import (
    EARLY,
    LATE,
    club,
    described,
    load,
    oid,
    open_load,
    read,
    reject,
    rejects_of,
    rows_of,
)

Connection = psycopg.Connection[Any]


def state_of(connection: Connection, table: str, schema: Schema | None = None) -> SyncState:
    schema = schema or club()
    with open_load(connection, schema, schema.tables[table], "peek") as load_:
        load_.begin()
        state = load_.state
        load_.finish(watermark=None, full=False)
    return state


def member(number: int, **values: Any) -> tuple[Any, ...]:
    return (oid(number), values.get("group"), None, None, None, EARLY, values.get("updated", EARLY))


def test_a_new_table_has_no_watermark(postgres: Connection) -> None:
    assert state_of(postgres, "groups") == SyncState(None, None)


def test_the_watermark_never_goes_back(postgres: Connection) -> None:
    load(postgres, club(), "groups", watermark=LATE)
    assert load(postgres, club(), "groups", watermark=EARLY).watermark == LATE
    assert load(postgres, club(), "groups", watermark=None).watermark == LATE
    assert state_of(postgres, "groups").watermark == LATE


def test_a_table_filled_by_the_replaced_tool_starts_from_its_newest_date(postgres: Connection) -> None:
    load(postgres, club(), "members", read(member(1), member(2, updated=LATE)))
    postgres.execute("DELETE FROM smartdiet.sync_state")

    assert state_of(postgres, "members").watermark == LATE
    assert state_of(postgres, "members").watermark == LATE


def test_a_table_filled_in_part_does_not_start_from_its_newest_date(postgres: Connection) -> None:
    load(postgres, club(), "members", read(member(1)), watermark=None)
    assert state_of(postgres, "members").watermark is None


def test_truncation_forgets_the_table_and_all_that_its_cascade_empties(postgres: Connection) -> None:
    schema = club()
    load(postgres, schema, "groups", read((oid(50), None, None)), watermark=LATE)
    load(postgres, schema, "members", read(member(1, group=oid(50)), rejects=[reject(oid(8))]), watermark=LATE)
    load(postgres, schema, "tags", described((oid(1), [(oid(1), "a", None, EARLY, EARLY)])), watermark=LATE)
    load(
        postgres,
        schema,
        "diary",
        described(*[(oid(n), [(oid(1), 1, None, None, None, oid(n))]) for n in (1, 2)]),
        watermark=LATE,
    )
    load(postgres, schema, "guests", watermark=LATE)

    result = load(postgres, schema, "groups", read((oid(51), None, None)), watermark=EARLY, truncate=True)

    assert (result.inserted, result.watermark) == (1, EARLY)
    assert rows_of(postgres, "groups", "id") == [(oid(51),)]
    for emptied in ("members", "tags", "diary", "smartdiet.public.diary_candidates"):
        assert rows_of(postgres, emptied) == []
    for emptied in ("members", "tags", "diary"):
        assert state_of(postgres, emptied).watermark is None
    assert rejects_of(postgres, "members") == []
    assert state_of(postgres, "guests").watermark == LATE


def test_an_added_column_asks_for_a_re_import_until_everything_was_read(postgres: Connection) -> None:
    load(postgres, club(), "groups", read((oid(1), None, None)), watermark=LATE)
    wider = club(
        (
            "{name: name, sql_type: VARCHAR}\n  chains",
            "{name: name, sql_type: VARCHAR}\n      - {name: size, sql_type: INTEGER, nullable: false}\n  chains",
        )
    )

    with open_load(postgres, wider, wider.tables["groups"], "partial") as partial:
        partial.begin()
        assert partial.state == SyncState(LATE, "column size was added")
        partial.finish(watermark=None, full=False)
    assert state_of(postgres, "groups", wider).reimport == "column size was added"

    load(postgres, wider, "groups", read((oid(1), None, None, 5)), retry=False)

    assert state_of(postgres, "groups", wider) == SyncState(LATE, None)
    nullable = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'groups'::regclass AND attname = 'size'"
    assert postgres.execute(nullable).fetchone() == (True,)


def test_the_state_says_what_the_last_run_did(postgres: Connection) -> None:
    load(postgres, club(), "groups", read((oid(1), None, None), rejects=[reject(oid(2))]), run_id="r1", watermark=LATE)

    columns = "table_name, watermark, run_id, code_version, documents_read, reimport"
    version = club().tables["groups"].code_version
    assert rows_of(postgres, "smartdiet.sync_state", columns) == [("groups", LATE, "r1", version, 2, None)]


def test_rows_rejects_and_watermark_commit_together_or_not_at_all(postgres: Connection) -> None:
    load(postgres, club(), "groups", read((oid(1), None, "a")), watermark=EARLY)

    def fail(stage: str) -> None:
        if stage == "stored":
            raise ZeroDivisionError

    changes = read((oid(1), None, "b"), (oid(2), None, "c"), rejects=[reject(oid(3))])
    with pytest.raises(ZeroDivisionError):
        load(postgres, club(), "groups", changes, watermark=LATE, on_stage=fail)

    assert rows_of(postgres, "groups", "name") == [("a",)]
    assert rejects_of(postgres, "groups") == []
    assert state_of(postgres, "groups").watermark == EARLY


def test_a_load_that_was_not_finished_writes_nothing(postgres: Connection) -> None:
    with (
        pytest.raises(RuntimeError, match="not finished"),
        open_load(postgres, club(), club().tables["groups"], "run") as load_,
    ):
        load_.begin()

    assert postgres.execute("SELECT to_regclass('groups')").fetchone() == (None,)


def test_a_load_needs_a_connection_outside_of_a_transaction(postgres: Connection) -> None:
    with postgres.transaction(), pytest.raises(RuntimeError, match="transaction"):
        load(postgres, club(), "groups")


def test_two_runs_of_one_table_never_interleave(postgres: Connection, postgres_database: str) -> None:
    schema = club()
    load(postgres, schema, "groups")
    with (
        psycopg.connect(postgres_database, autocommit=True) as other,
        open_load(postgres, schema, schema.tables["groups"], "first") as first,
    ):
        first.begin()
        with (
            pytest.raises(LoadConflictError, match="another run has the table"),
            open_load(other, schema, schema.tables["groups"], "second", lock_timeout=0.2),
        ):
            pass
        load(other, schema, "chains")
        first.finish(watermark=None)


def test_every_stage_is_told_and_timed(postgres: Connection) -> None:
    stages: list[str] = []

    result = load(postgres, club(), "groups", read((oid(1), None, None)), on_stage=stages.append)

    assert stages == ["opened", "begun", "copied", "settled", "compared", "rejected", "merged", "stored"]
    assert set(result.seconds) == {"copy", "settle", "compare", "state", "index"}
    assert timedelta(seconds=sum(result.seconds.values())) > timedelta(0)
