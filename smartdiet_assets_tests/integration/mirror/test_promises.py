"""The promises of the mirror, one small history each, on the compact schema; the oracle judges every sync."""

from datetime import datetime
from typing import Any

import pytest

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import (
    ABSENT,
    Application,
    local_midnight,
    reference,
)
from smartdiet_assets_tests.support.mirrored import Mirrored


class Story:
    """A mirror and its application, with the words a test needs to tell a history."""

    def __init__(self, mirrored: Mirrored) -> None:
        self.mirrored = mirrored
        self.application = Application(mirrored.mongo)

    def save(
        self, collection: str, number: int, *, undated: bool = False, at_once: bool = False, **fields: Any
    ) -> None:
        birth = compact.birth(collection, number)
        self.application.save(collection, number, birth, fields, undated, at_once)

    def sync(self, kind: Any = "newest") -> None:
        differences = self.mirrored.sync(WindowRequest(kind))
        assert not differences, "\n".join(differences)

    def rows(self, table: str, column: str) -> list[Any]:
        names = [stored.name for stored in self.mirrored.schema.tables[table].stored_columns]
        return sorted(row[names.index(column)] for row in self.mirrored.oracle.expected[table].rows)

    def rejected(self, table: str) -> int:
        return len(self.mirrored.oracle.expected[table].rejected or {})


@pytest.fixture
def story(mirrored: Mirrored) -> Story:
    return Story(mirrored)


def events(*numbers: int) -> list[Any]:
    return [reference("events", number) for number in numbers]


@pytest.mark.parametrize("nothing", [[], None, ABSENT])
def test_the_last_item_of_an_array_takes_its_row_along(story: Story, nothing: Any) -> None:
    story.save("events", 0)
    story.save("people", 0, registered=events(0), liked=events(0), seen=events(0))
    story.sync()
    story.save("people", 0, registered=nothing, liked=nothing, seen=nothing)
    story.sync()
    assert not story.rows("person_events", "event_id")
    assert not story.rows("person_menus", "menu_id")
    assert len(story.rows("person_seen", "event_id")) == 1, "an array table keeps what it saw"


def test_an_event_that_stops_being_a_menu_takes_everything_that_hangs_on_it_along(story: Story) -> None:
    story.save("events", 0)
    story.save("people", 0, liked=events(0))
    story.save("meals", 0)
    story.sync()
    assert len(story.rows("meals", "day")) == len(story.rows("person_menus", "kind")) == 1
    story.save("events", 0, __t="webinar")
    story.sync()
    assert not story.rows("menus", "id")
    assert story.rejected("meals") == story.rejected("person_menus") == 1
    story.save("events", 0, __t="menu")
    story.sync()
    assert len(story.rows("meals", "day")) == len(story.rows("person_menus", "kind")) == 1
    assert story.rejected("meals") == story.rejected("person_menus") == 0


def test_a_parent_that_arrives_later_brings_its_children_in_the_same_run(story: Story) -> None:
    story.save("people", 0, registered=events(1), team=reference("teams", 2), mentor=reference("people", 3))
    story.save("teams", 1, parent=reference("teams", 2))
    story.sync()
    assert story.rejected("person_events") == story.rejected("teams") == 1
    story.save("events", 0)
    story.save("events", 1)
    story.save("teams", 2)
    story.save("people", 3)
    story.sync()
    assert story.rejected("person_events") == story.rejected("teams") == 0


def test_a_cycle_of_self_references_loads_whole(story: Story) -> None:
    story.save("teams", 0, parent=reference("teams", 1))
    story.save("teams", 1, parent=reference("teams", 0))
    story.save("teams", 2, parent=reference("teams", 2))
    story.sync()
    assert len(story.rows("teams", "id")) == 3


def test_a_broken_chain_waits_for_its_first_link(story: Story) -> None:
    story.save("teams", 0, parent=reference("teams", 1))
    story.save("teams", 1, parent=reference("teams", 2))
    story.save("teams", 2, name="nul\0")
    story.sync()
    assert story.rejected("teams") == 3
    story.save("teams", 2, name="red")
    story.sync()
    assert len(story.rows("teams", "id")) == 3


def test_unique_values_can_be_swapped(story: Story) -> None:
    story.save("people", 0, email="a@x")
    story.save("people", 1, email="b@x")
    story.sync()
    story.save("people", 0, email="b@x")
    story.save("people", 1, email="a@x")
    story.sync()
    assert story.rows("people", "email") == ["a@x", "b@x"]


def test_a_taken_unique_value_is_a_reject_until_it_is_free(story: Story) -> None:
    story.save("people", 0, email="a@x")
    story.sync()
    story.save("people", 1, email="a@x")
    story.sync()
    assert story.rejected("people") == 1
    story.save("people", 0, email="b@x")
    story.sync()
    assert story.rows("people", "email") == ["a@x", "b@x"]


def test_a_freed_value_that_is_not_given_up_after_all_stays_with_its_row(story: Story) -> None:
    """Both want to move on; as the second cannot, its last good row keeps the value that the first wants."""
    story.save("people", 0, email="a@x")
    story.save("people", 1, email="b@x")
    story.save("people", 2, email="c@x")
    story.sync()
    story.save("people", 0, email="b@x")
    story.save("people", 1, email="c@x")
    story.sync()
    assert story.rows("people", "email") == ["a@x", "b@x", "c@x"]
    assert story.rejected("people") == 2


def test_the_next_best_document_shows_when_the_winner_moves_away(story: Story) -> None:
    story.save("events", 0)
    story.save("meals", 0, plates=1)
    story.save("meals", 1, plates=2)
    story.sync()
    assert story.rows("meals", "plates") == [2]
    story.save("meals", 1, day=local_midnight(12, 1))
    story.sync()
    assert story.rows("meals", "plates") == [1, 2]


def test_the_next_best_document_shows_when_the_winner_is_cancelled_or_gets_worse(story: Story) -> None:
    story.save("events", 0)
    for number in (0, 1, 2):
        story.save("meals", number, plates=number)
    story.sync()
    story.save("meals", 2, cancelled=True)
    story.sync()
    assert story.rows("meals", "plates") == [1]
    story.save("meals", 1, plates=-1)
    story.sync()
    assert story.rows("meals", "plates") == [0]


def test_the_last_good_row_of_a_bad_document_shows_when_the_winner_goes(story: Story) -> None:
    story.save("events", 0, __t="menu")
    for number in range(2):
        story.save("meals", number, plates=number)
    assert not story.sync()
    story.save("meals", 0, menu=None)
    assert not story.sync()
    story.save("meals", 1, cancelled=True)
    assert not story.sync()
    assert story.rows("meals", "plates") == [0]
    assert story.rejected("meals") == 1


def test_a_bad_document_keeps_its_last_good_row_and_loads_when_repaired(story: Story) -> None:
    story.save("events", 0, price=1)
    story.sync()
    story.save("events", 0, price=True)
    story.sync()
    assert story.rejected("events") == 1
    assert len(story.rows("events", "id")) == 1
    story.save("events", 0, price=2)
    story.sync()
    assert story.rejected("events") == 0


def test_one_bad_item_does_not_keep_the_others_out(story: Story) -> None:
    story.save("events", 0)
    story.save("events", 1)
    story.save("people", 0, registered=[{"event": reference("events", 1), "date": "soon"}, *events(0)])
    story.sync()
    assert len(story.rows("person_events", "event_id")) == 1
    assert story.rejected("person_events") == 1


def test_an_item_that_turns_bad_loses_its_row(story: Story) -> None:
    story.save("events", 0)
    story.save("people", 0, registered=events(0))
    story.sync()
    story.save("people", 0, registered=[{"event": reference("events", 0), "date": "soon"}])
    story.sync()
    assert story.rejected("person_events") == 1


def test_items_that_stay_keep_the_dates_of_their_first_sync(story: Story) -> None:
    story.save("events", 0)
    story.save("events", 1)
    story.save("people", 0, registered=events(0))
    story.sync()
    story.save("people", 0, registered=[{"event": reference("events", 0), "date": datetime(2024, 1, 1)}, *events(1)])
    story.sync()
    first, second = story.rows("person_events", "updated_at")
    assert first < second


def test_documents_without_dates_are_found_by_the_time_in_their_id(story: Story) -> None:
    story.save("teams", 0)
    story.sync()
    story.save("teams", 1, undated=True)
    story.sync()
    assert len(story.rows("teams", "id")) == 2


def test_a_save_in_the_millisecond_of_the_last_one_mirrored_is_seen(story: Story) -> None:
    story.save("teams", 0)
    story.sync()
    story.save("teams", 1, at_once=True)
    story.save("teams", 0, at_once=True, name="blue")
    story.sync()
    assert story.rows("teams", "name") == ["blue", "red"]


def test_a_document_from_the_far_future_does_not_stop_the_mirror(story: Story) -> None:
    story.save("teams", 0, update_date=datetime(2999, 1, 1))
    story.sync()
    story.save("teams", 1)
    story.sync()
    assert len(story.rows("teams", "id")) == 2


@pytest.mark.parametrize("kind", ["newest", "full"])
def test_reading_unchanged_data_again_writes_no_row(story: Story, kind: str) -> None:
    story.save("events", 0, extra={"a": [1.0, 2]}, price=2.005)
    story.save("people", 0, liked=events(0), seen=events(0), ratio=float("nan"), mentor=reference("people", 3))
    story.save("people", 1, email="0@x")
    story.save("meals", 0)
    story.save("notes", 0)
    story.sync()
    before = story.mirrored.versions()
    story.sync(kind)
    assert story.mirrored.versions() == before
