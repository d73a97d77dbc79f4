"""What the replaced tool got wrong in choosing and reading documents, and this mirror must not."""

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import (
    FULL,
    JANUARY,
    MARCH,
    MAY,
    NEWEST,
    OldMirror,
    identify,
)


def test_documents_of_one_date_are_each_read_once_however_small_the_batches(mirror: OldMirror) -> None:
    """As after a bulk import: no page is cut by a date that documents share."""
    mirror.declare("companies")
    for number in range(1000):
        mirror.save("companies", number, MARCH)
    assert mirror.sync(batch_size=7)["companies"].documents_read == 1000
    assert len(mirror.rows("companies", "id")) == 1000
    # Every one of them is on the inclusive lower bound.
    assert mirror.sync(batch_size=7)["companies"].documents_read == 1000


def test_a_document_that_shares_the_newest_date_is_read_by_the_next_run(mirror: OldMirror) -> None:
    mirror.declare("companies")
    mirror.save("companies", 1, MARCH)
    mirror.sync()
    mirror.save("companies", 2, MARCH)
    mirror.sync()
    assert len(mirror.rows("companies", "id")) == 2


def test_documents_written_while_a_run_reads_are_neither_lost_nor_repeated(mirror: OldMirror) -> None:
    mirror.declare("companies")
    for number in range(300):
        mirror.save("companies", number)
    stop = threading.Event()
    written = 300

    def write() -> None:
        nonlocal written
        while not stop.is_set() and written < 2000:
            mirror.save("companies", written, datetime.now(UTC).replace(tzinfo=None))
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for request in (FULL, NEWEST, NEWEST):
            mirror.sync(request, batch_size=5)
    finally:
        stop.set()
        writer.join()
    mirror.sync()
    assert mirror.rows("companies", "id") == [str(identify("companies", number)) for number in range(written)]


def test_every_foreign_key_and_change_date_of_the_target_has_an_index(mirror: OldMirror) -> None:
    mirror.declare()
    mirror.sync()
    led = set(
        mirror.target.execute("""
            SELECT i.indrelid::regclass::text, a.attname
            FROM pg_index AS i
            JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]""").fetchall()
    )
    needed = {
        (table.name, column.name)
        for table in mirror.schema.tables.values()
        for column in table.columns
        if column.foreign_key or column.name == "updated_at"
    }
    assert len(needed) > 60
    assert needed <= led


def test_a_rejected_document_is_read_again_when_its_parent_arrives_whatever_was_mirrored_since(
    mirror: OldMirror,
) -> None:
    mirror.declare("messages")
    sender = identify("users", 1)
    message = mirror.save("messages", 1, MARCH, sender=sender)
    mirror.sync()
    assert mirror.rejects("messages") == [(str(message), "sender_id", "missing_parent")]
    other = mirror.save("users", 2, MAY)
    mirror.save("messages", 2, MAY, sender=other)
    mirror.sync()
    mirror.save("users", 1, MAY + timedelta(days=30))
    mirror.sync()
    assert mirror.rows("messages", "sender_id") == [str(sender), str(other)]
    assert mirror.rejects("messages") == []


def test_documents_without_dates_load_and_incremental_runs_find_them(mirror: OldMirror) -> None:
    mirror.declare("companies")
    mirror.save("companies", 1, None)
    mirror.sync()
    mirror.save("companies", 2, None)
    assert mirror.sync()["companies"].window.kind == "incremental"
    in_the_id = identify("companies", 1).generation_time.replace(tzinfo=None)
    assert mirror.rows("companies", "created_at", "updated_at") == [(in_the_id, in_the_id)] * 2
    mirror.save("companies", 3, MAY, update_date=None)
    mirror.sync()
    assert (JANUARY, JANUARY) in mirror.rows("companies", "created_at", "updated_at")


@pytest.mark.parametrize("how", ["GLOBAL_DATE_THRESHOLD", "date_threshold"])
def test_a_first_load_limited_by_a_date_still_gets_the_older_parents_it_needs(mirror: OldMirror, how: str) -> None:
    settings: Any = {"date_threshold": "2024-04-01"} if how == "date_threshold" else {}
    mirror.declare("messages", users=settings, messages=settings, companies=settings)
    threshold = None if settings else date(2024, 4, 1)
    company = mirror.save("companies", 1, MARCH)
    old, unneeded = mirror.save("users", 1, MARCH, company=company), mirror.save("users", 2, MARCH)
    mirror.save("messages", 1, MAY, sender=old)
    mirror.save("messages", 2, MARCH, sender=unneeded)
    for _ in mirror.schema.tables:
        mirror.sync(global_date_threshold=threshold)
    assert mirror.rows("messages", "sender_id") == [str(old)]
    assert mirror.rows("users", "id", "company_id") == [(str(old), str(company))]


def test_a_watermark_that_cannot_be_read_fails_the_run_rather_than_reading_everything(mirror: OldMirror) -> None:
    mirror.declare("companies")
    mirror.save("companies", 1)
    mirror.sync()
    mirror.save("companies", 2, MAY)
    database = mirror.target.info.dbname
    mirror.target.execute(f"""
        CREATE ROLE "forgetful {database}";
        GRANT ALL ON SCHEMA public TO "forgetful {database}";
        ALTER TABLE companies OWNER TO "forgetful {database}";
        GRANT USAGE ON SCHEMA smartdiet TO "forgetful {database}";
        GRANT ALL ON ALL TABLES IN SCHEMA smartdiet TO "forgetful {database}";
        REVOKE SELECT ON smartdiet.sync_state FROM "forgetful {database}";
        SET ROLE "forgetful {database}\"""")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        mirror.sync()
    # The connection is not left in a broken transaction: the same one goes on.
    mirror.target.execute("RESET ROLE")
    assert len(mirror.rows("companies", "id")) == 1
    assert mirror.sync()["companies"].window.kind == "incremental"
    assert len(mirror.rows("companies", "id")) == 2
    mirror.target.execute(f"""
        REASSIGN OWNED BY "forgetful {database}" TO CURRENT_USER;
        DROP OWNED BY "forgetful {database}"; DROP ROLE "forgetful {database}\"""")


def test_user_and_password_of_the_mongodb_url_are_used(mirror: OldMirror, tmp_path: Path) -> None:
    """So are its host and port; and a slow answer is waited for by a setting, not a constant."""
    mirror.declare("companies")
    with EmbeddedMongo(tmp_path / "guarded", require_auth=True) as guarded:
        with MongoClient[dict[str, Any]](guarded.uri) as client:
            client.diet.companies.insert_one({"name": "Acme"})
        resource = MongoResource(url=guarded.uri, database="diet", socket_timeout=120)
        mirror.source = resource.open_database()
        mirror.sync()
        assert mirror.rows("companies", "name") == ["Acme"]
        assert resource.client().options.pool_options.socket_timeout == 120
        resource.close()
        refused = MongoResource(url=guarded.uri.replace(guarded.password, "other"), database="diet").check()
        assert "refuses the user or the password" in refused.sentence


def test_no_wait_of_the_source_is_as_short_as_half_a_minute() -> None:
    assert MongoResource().socket_timeout >= 600


def test_rereading_everything_into_an_emptied_table_leaves_what_the_source_holds(mirror: OldMirror) -> None:
    """Documents deleted at the source, with their links; the flags the file has for it."""
    mirror.declare("user_events")
    event = mirror.save("events", 1)
    for number in (1, 2):
        mirror.save("users", number, registered_events=[event])
    mirror.sync()
    mirror.source.users.delete_one({"_id": identify("users", 2)})
    mirror.declare("user_events", users={"force_reimport": True, "truncate_before_import": True})
    mirror.sync()
    assert mirror.rows("users", "id") == mirror.rows("user_events", "user_id") == [str(identify("users", 1))]
