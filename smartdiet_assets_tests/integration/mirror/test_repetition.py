"""A run that reads what the last one read stops there, and notices everything that makes a difference all the same."""

from typing import Any

import pytest

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.integration.mirror.test_promises import Story
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.mirrored import Mirrored


@pytest.fixture
def story(mirrored: Mirrored) -> Story:
    """A mirror whose last run read the same as the run before."""
    story = Story(mirrored)
    story.save("teams", 0, name="one", code=1)
    story.save("people", 0, email="a@b", team=reference("teams", 0))
    story.save("people", 1, email="c@d", team=reference("teams", 7))
    story.save("people", 2, email="far too long an address")
    for _ in range(3):
        story.sync()
    return story


#: The tables with documents; one without has no watermark, and its empty collection is read whole.
FILLED = ("teams", "people")


def modes(story: Story, kind: Any = "newest") -> list[str]:
    return [result.load.mode for result in story.mirrored.run(WindowRequest(kind), FILLED).values()]


def test_nothing_is_staged_or_written(story: Story) -> None:
    versions = story.mirrored.versions()
    results = story.mirrored.run()
    assert [results[name].load.mode for name in FILLED] == ["none", "none"]
    assert story.mirrored.versions() == versions
    people = results["people"]
    assert (people.documents_read, people.load.rows, people.load.unchanged) == (3, 2, 1)
    assert (people.load.rejected, people.load.missing_parents_null) == (1, 1)


def test_rejects_and_waits_that_stand_unchanged_are_not_written(story: Story) -> None:
    """By no kind of run, also where all else is staged and compared; not even locked, as an update would."""
    records = ("rejected_rows", "awaited_parents", "missing_parents")
    written = [f"SELECT '{name}', ctid::text, xmin::text, xmax::text FROM smartdiet.{name}" for name in records]
    query = " UNION ALL ".join(written)
    before = sorted(story.mirrored.connection.execute(query).fetchall())
    assert {name for name, *_ in before} == set(records)
    for kind in ("newest", "full", "newest"):
        story.save("people", 9, email=f"{kind}@b")
        assert "none" not in modes(story, kind)[1:]
    assert sorted(story.mirrored.connection.execute(query).fetchall()) == before


def test_a_changed_document_is_seen(story: Story) -> None:
    story.save("people", 0, email="new@b")
    story.sync()
    assert story.rows("people", "email") == ["c@d", "new@b"]


def test_a_document_that_is_edited_without_a_new_date_within_the_overlap_is_seen(story: Story) -> None:
    story.mirrored.mongo["people"].update_many({"email": "c@d"}, {"$set": {"email": "same@d"}})
    assert story.mirrored.run()["people"].load.updated == 1


def test_a_parent_that_comes_fills_the_reference_that_waited_for_it(story: Story) -> None:
    story.save("teams", 7, name="seven", code=7)
    story.sync()
    assert len([team for team in story.rows("people", "team_id") if team]) == 2


def test_a_table_whose_structure_was_changed_by_hand_is_compared_again(story: Story) -> None:
    story.mirrored.connection.execute("ALTER TABLE people ALTER COLUMN role DROP NOT NULL")
    with pytest.raises(Exception, match="people differs from its declaration:\n  column role: live nullable"):
        story.mirrored.run()


def test_a_dropped_index_is_built_again(story: Story) -> None:
    connection = story.mirrored.connection
    index = "SELECT indexname FROM pg_indexes WHERE tablename = 'people' AND indexdef LIKE '%(updated_at)'"
    found = connection.execute(index).fetchone()
    assert found is not None
    connection.execute(f'DROP INDEX "{found[0]}"')
    story.mirrored.run()
    assert connection.execute(index).fetchone() is not None


def test_a_changed_declaration_is_no_repetition(story: Story) -> None:
    people = story.mirrored.schema.tables["people"]
    changed = people.model_copy(update={"diff_threshold": 0.9})
    schema = story.mirrored.schema
    story.mirrored.schema = schema.model_copy(update={"tables": {**schema.tables, "people": changed}})
    assert story.mirrored.run(tables=["people"])["people"].load.mode == "upsert"


def test_a_full_run_is_never_a_repetition(story: Story) -> None:
    assert modes(story, "full") == ["upsert", "upsert"]
    assert modes(story) == ["upsert", "upsert"], "the window is another one than the full run's"
    assert modes(story) == ["none", "none"]
