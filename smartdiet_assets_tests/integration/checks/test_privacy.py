"""No value of a document is in what a check says: outcomes are kept in Dagster for ever."""

from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.checked import Checked, now

MARK = "MARK"


def test_no_value_of_a_document_is_in_an_outcome(empty: Checked) -> None:
    empty.save("teams", 0, name=MARK)
    empty.save("teams", 1, name=MARK * 5)
    empty.save("events", 0, name=MARK, extra={MARK: MARK})
    empty.save("people", 0, email=MARK, answer=MARK, registered=[reference("events", 0), {"event": MARK}])
    empty.source.notes.insert_one({"_id": MARK, "person": MARK, "text": MARK})
    empty.save("notes", 0, text=MARK)
    empty.sync()
    empty.execute("UPDATE events SET name = %s", [MARK * 2])
    empty.execute("UPDATE people SET email = %s, role = %s", [MARK * 2, MARK * 2])
    empty.execute("ALTER TABLE notes DROP CONSTRAINT notes_person_id_fkey")
    empty.execute("UPDATE notes SET person_id = %s", [MARK * 2])
    empty.execute("ALTER TABLE teams ALTER COLUMN code TYPE TEXT USING name")
    empty.source.people.update_one({}, {"$set": {"role": MARK, "creation_date": now(), "birthday": MARK}})
    failures = empty.failures()
    assert {kind for _, kind in failures} >= {"content_matches", "no_rejects", "no_orphans", "structure_matches"}
    assert MARK not in str(list(failures.values()))
    assert str(empty.application.id_of("people", 0)) not in str(list(failures.values()))
