"""Every check passes on a fresh mirror, and fails, alone and with the right numbers, when its fault is planted."""

from datetime import timedelta
from typing import Any

import pytest

from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.checked import Checked, now


def test_every_check_passes_on_a_fresh_mirror(checked: Checked) -> None:
    found = checked.evaluate()
    assert set(found) == checked.asked
    assert not {key: outcome.sentence for key, outcome in found.items() if not outcome.passed}
    assert found["people", "content_matches"].numbers["documents_compared"] == 3
    assert found["person_events", "rows_match_source"].numbers["expected"] == 6


def test_a_row_that_was_deleted_by_hand_is_missed_by_count_and_by_content(checked: Checked) -> None:
    checked.pass_a_second()
    checked.execute("DELETE FROM notes WHERE person_id = %s", [str(checked.application.id_of("people", 1))])
    failures = checked.failures()
    assert set(failures) == {("notes", "rows_match_source"), ("notes", "content_matches")}
    assert failures["notes", "rows_match_source"].is_error
    assert failures["notes", "rows_match_source"].numbers["missing"] == 1
    assert failures["notes", "content_matches"].numbers["rows_missing"] == 1
    assert "smartdiet sync notes --full" in failures["notes", "rows_match_source"].sentence


@pytest.mark.parametrize("table", ["person_events", "person_menus", "person_seen"])
def test_an_item_that_was_deleted_by_hand_is_missed(checked: Checked, table: str) -> None:
    assert (
        checked.execute(f"DELETE FROM {table} WHERE person_id = %s", [str(checked.application.id_of("people", 1))]) == 2
    )
    failures = checked.failures()
    assert set(failures) == {(table, "rows_match_source"), (table, "content_matches")}
    assert failures[table, "rows_match_source"].numbers["missing"] == 2
    assert failures[table, "content_matches"].numbers["documents_different"] == 1


def test_an_item_that_was_added_by_hand_is_too_much(checked: Checked) -> None:
    checked.execute(
        "INSERT INTO person_events (person_id, event_id, created_at, updated_at) VALUES (%s, %s, now(), now())",
        [str(checked.application.id_of("people", 0)), str(checked.application.id_of("events", 2))],
    )
    failures = checked.failures()
    assert set(failures) == {("person_events", "content_matches")}, "kept rows of deleted documents look the same"
    assert failures["person_events", "content_matches"].numbers["rows_extra"] == 1


def test_a_row_that_was_altered_by_hand_is_counted_by_column(checked: Checked) -> None:
    checked.execute("UPDATE events SET places = 11, day = day + 1 WHERE name = 'run'")
    failures = checked.failures()
    assert set(failures) == {("events", "content_matches")}
    numbers = failures["events", "content_matches"].numbers
    assert (numbers["documents_different"], numbers["rows_different"]) == (3, 3)
    assert numbers["columns"] == {"day": 3, "places": 3}


def test_a_document_waiting_behind_a_winner_is_counted_and_compared(checked: Checked) -> None:
    assert checked.execute('UPDATE smartdiet."public.meals_candidates" SET plates = 9') == 2
    assert set(checked.failures()) == {("meals", "content_matches")}
    assert checked.execute('DELETE FROM smartdiet."public.meals_candidates"') == 2
    failures = checked.failures()
    assert set(failures) == {("meals", "content_matches"), ("meals", "rows_match_source")}
    assert failures["meals", "rows_match_source"].numbers["missing"] == 2


def test_a_foreign_key_that_was_dropped_is_a_difference_and_no_orphan_yet(checked: Checked) -> None:
    checked.execute("ALTER TABLE notes DROP CONSTRAINT notes_person_id_fkey")
    failures = checked.failures()
    assert set(failures) == {("notes", "structure_matches")}
    assert failures["notes", "structure_matches"].is_error
    assert "ADD CONSTRAINT" in str(failures["notes", "structure_matches"].numbers["statements"])
    checked.execute("UPDATE notes SET person_id = 'nobody' WHERE person_id = %s", [_person(checked, 2)])
    failures = checked.failures()
    assert failures["notes", "no_orphans"].is_error
    assert failures["notes", "no_orphans"].numbers["columns"] == {"person_id": 1}


def test_a_foreign_key_that_was_never_validated_is_searched_for_orphans(checked: Checked) -> None:
    checked.execute("ALTER TABLE notes DROP CONSTRAINT notes_person_id_fkey")
    checked.execute("UPDATE notes SET person_id = 'nobody' WHERE person_id = %s", [_person(checked, 2)])
    checked.execute("ALTER TABLE notes ADD FOREIGN KEY (person_id) REFERENCES people (id) NOT VALID")
    assert checked.failures()["notes", "no_orphans"].numbers["orphans"] == 1


def test_duplicates_after_a_unique_constraint_was_dropped(checked: Checked) -> None:
    checked.execute("ALTER TABLE people DROP CONSTRAINT people_email_key")
    assert set(checked.failures()) == {("people", "structure_matches")}
    checked.execute("UPDATE people SET email = 'same'")
    failures = checked.failures()
    assert failures["people", "unique_keys"].is_error
    assert failures["people", "unique_keys"].numbers["duplicates"] == 2


def test_a_column_of_another_type_is_a_difference_and_is_not_compared(checked: Checked) -> None:
    checked.execute("ALTER TABLE notes ALTER COLUMN text TYPE TEXT")
    failures = checked.failures()
    assert set(failures) == {("notes", "structure_matches"), ("notes", "content_matches")}
    assert failures["notes", "structure_matches"].numbers["differences"] == 1
    assert "settle structure_matches first" in failures["notes", "content_matches"].sentence


def test_what_the_next_run_adds_is_a_warning(checked: Checked) -> None:
    checked.execute("DROP INDEX notes_person_id_idx")
    failures = checked.failures()
    assert set(failures) == {("notes", "structure_matches")}
    assert failures["notes", "structure_matches"].severity == "WARN"


def test_a_table_that_is_gone_says_so_in_every_check(checked: Checked) -> None:
    checked.execute("DROP TABLE notes")
    failures = checked.failures()
    assert set(failures) == {("notes", kind) for kind in KINDS}
    assert {outcome.sentence for outcome in failures.values()} == {
        "notes is not in PostgreSQL: run `smartdiet sync notes`."
    }


def test_nothing_is_mirrored_yet(empty: Checked) -> None:
    found = empty.failures()
    assert set(found) == empty.asked


def test_a_reject_is_a_warning_and_more_than_the_limit_an_error(checked: Checked) -> None:
    checked.save("notes", 0, text="far too long for it")
    checked.sync()
    failures = checked.failures()
    assert set(failures) == {("notes", "no_rejects")}
    assert failures["notes", "no_rejects"].severity == "WARN"
    assert failures["notes", "no_rejects"].numbers == {"rejected": 1, "reasons": {"too_long": 1}}
    checked.save("notes", 3, text="far too long for it")
    checked.execute(
        "INSERT INTO smartdiet.rejected_rows (table_name, document_id, column_name, reason, expected, received)"
        " VALUES ('notes', %s, 'text', 'too_long', '', '')",
        [str(checked.application.id_of("notes", 3))],
    )
    failures = checked.failures()
    assert failures["notes", "rejects_under_limit"].is_error
    assert failures["notes", "rejects_under_limit"].numbers == {"rejected": 2, "max_rejects": "1"}


def test_a_reject_that_is_forgotten_is_missed_by_count_and_by_content(checked: Checked) -> None:
    checked.save("notes", 3, text="far too long for it")
    checked.save("notes", 4, person=reference("people", 1))
    checked.sync()
    checked.pass_a_second()
    assert set(checked.failures()) == {("notes", "no_rejects")}
    checked.execute("DELETE FROM smartdiet.rejected_rows")
    failures = checked.failures()
    assert set(failures) == {("notes", "rows_match_source"), ("notes", "content_matches")}
    assert failures["notes", "rows_match_source"].numbers["missing"] == 1
    assert failures["notes", "content_matches"].numbers["rejects_missing"] == 1


def test_a_watermark_that_stays_behind_is_an_error_by_the_age_of_the_oldest_change(checked: Checked) -> None:
    old = now() - timedelta(days=3)
    checked.source.teams.update_many({}, {"$set": {"creation_date": old, "update_date": old}})
    checked.source.teams.update_one({"name": "red"}, {"$set": {"update_date": now()}})
    checked.execute(
        "UPDATE smartdiet.sync_state SET watermark = %s WHERE table_name = 'teams'", [old - timedelta(days=1)]
    )
    failures = checked.failures()
    assert set(failures) == {("teams", "data_is_fresh")}
    numbers: Any = failures["teams", "data_is_fresh"].numbers
    assert failures["teams", "data_is_fresh"].is_error
    assert numbers["changed_since"] == 3
    assert timedelta(seconds=numbers["delay_seconds"]) >= timedelta(days=3)
    assert "3.0 days; max_delay is 60.0 minutes" in failures["teams", "data_is_fresh"].sentence


def test_an_edit_that_did_not_move_its_date_differs(checked: Checked) -> None:
    checked.source.teams.update_one({}, {"$set": {"name": "edited"}})
    failures = checked.failures()
    assert set(failures) == {("teams", "content_matches")}
    assert failures["teams", "content_matches"].numbers["columns"] == {"name": 1}


def test_what_changed_since_the_last_run_is_no_fault(checked: Checked) -> None:
    checked.save("teams", 7)
    checked.save("people", 0, registered=[], liked=[reference("events", 2)], seen=[])
    checked.save("people", 5)
    checked.save("events", 1, __t="webinar")
    checked.save("meals", 1, cancelled=True)
    checked.save("notes", 6, text="far too long for it")
    checked.source.teams.insert_one({"name": "undated"})
    found = checked.evaluate()
    assert not {key: outcome.sentence for key, outcome in found.items() if not outcome.passed}
    assert found["teams", "data_is_fresh"].numbers["changed_since"] == 2


def test_documents_without_dates_or_parents_are_no_fault(checked: Checked) -> None:
    checked.source.teams.insert_one({"name": "undated"})
    checked.save("people", 3, team=reference("teams", 99), mentor=reference("people", 98))
    checked.sync()
    assert not checked.failures()


def test_rows_of_deleted_documents_are_kept_or_a_warning_as_declared(checked: Checked) -> None:
    checked.source.notes.delete_one({})
    found = checked.evaluate()
    assert found["notes", "rows_match_source"].passed
    assert found["notes", "rows_match_source"].numbers["extra"] == 1
    notes = checked.mirrored.schema.tables["notes"].model_copy(update={"on_delete": "delete"})
    tables = {**checked.mirrored.schema.tables, "notes": notes}
    checked.mirrored.schema = checked.mirrored.schema.model_copy(update={"tables": tables})
    failures = checked.failures()
    assert set(failures) == {("notes", "rows_match_source")}
    assert failures["notes", "rows_match_source"].severity == "WARN"
    assert "smartdiet reconcile notes" in failures["notes", "rows_match_source"].sentence


def test_documents_from_before_the_limit_of_the_first_load_may_be_missing(empty: Checked) -> None:
    old = now() - timedelta(days=90)
    empty.source.teams.insert_one({"name": "old", "creation_date": old, "update_date": old})
    empty.save_company()
    empty.sync()
    empty.execute("DELETE FROM teams WHERE name = 'old'")
    assert set(empty.failures()) == {("teams", "rows_match_source"), ("teams", "content_matches")}
    assert not empty.failures(global_date_threshold=(now() - timedelta(days=30)).date())


def _person(checked: Checked, number: int) -> str:
    return str(checked.application.id_of("people", number))
