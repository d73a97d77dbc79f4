"""An interrupted refresh leaves the old data whole, or a swap that the next refresh ends."""

import signal
import subprocess
import sys

import pytest
from bson import ObjectId

from smartdiet_assets.errors import RefreshError, SmartdietError, TransientError
from smartdiet_assets.refresh.mongo.lock import hold_lock
from smartdiet_assets.refresh.mongo.swap import BOOKKEEPING, end_swap, has_swap
from smartdiet_assets_tests.integration.refresh import killed_refresh
from smartdiet_assets_tests.support.refreshed import Pair, find_leftovers, read_bytes, read_indexes

#: Where the process is killed: before the n-th command of a kind. Of the renames the first is a trial.
COPYING = [("create", 1), ("create", 4), ("insert", 1), ("insert", 3), ("createIndexes", 4), ("createIndexes", 6)]
SWAPPING = [("renameCollection", 2), ("renameCollection", 3), ("renameCollection", 4), ("drop", 5), ("delete", 1)]


def kill_refresh(pair: Pair, command: str, number: int, with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Run a refresh in a process of its own, and end it before it sends a command."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            killed_refresh.__name__,
            pair.server.uri,
            pair.source.name,
            pair.target.name,
            command,
            str(number),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(with_signal)
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def read_all(pair: Pair) -> dict[str, bytes]:
    """Read the target as its users see it."""
    return {name: data for name, data in read_bytes(pair.target).items() if not name.startswith(BOOKKEEPING)}


@pytest.mark.parametrize(("command", "number"), COPYING)
def test_killed_while_it_copies_it_leaves_the_old_data_whole(filled: Pair, command: str, number: int) -> None:
    before = read_all(filled), read_indexes(filled.target)
    kill_refresh(filled, command, number)
    assert (read_all(filled), read_indexes(filled.target)) == before
    assert not has_swap(filled.target)
    filled.refresh()
    assert read_bytes(filled.target) == read_bytes(filled.source)
    assert find_leftovers(filled.target) == []


@pytest.mark.parametrize(("command", "number"), SWAPPING)
def test_killed_while_it_swaps_it_is_ended_by_the_next(filled: Pair, command: str, number: int) -> None:
    old, new = read_all(filled), read_bytes(filled.source)
    indexes = read_indexes(filled.source)
    kill_refresh(filled, command, number)
    assert has_swap(filled.target)
    between = read_all(filled)
    for name in old:
        assert between.get(name) in (old[name], new.get(name)), "each collection is whole, old or new"
    # The next refresh, of something else, ends it first.
    filled.source["fourth"].insert_one({"_id": ObjectId()})
    filled.source["first"].update_many({}, {"$set": {"later": True}})
    dry = filled.refresh(includes=["fourth"], dry_run=True)
    assert "An earlier refresh was interrupted" in " ".join(dry.plan.notes)
    filled.refresh(includes=["fourth"])
    assert {name: data for name, data in read_bytes(filled.target).items() if name != "fourth"} == new
    assert {name: found for name, found in read_indexes(filled.target).items() if name != "fourth"} == indexes
    assert find_leftovers(filled.target) == []


def test_ending_a_swap_again_changes_nothing(filled: Pair) -> None:
    kill_refresh(filled, "renameCollection", 3)
    kept = filled.target[BOOKKEEPING].find_one({"_id": "swap"})
    assert kept is not None
    end_swap(filled.target)
    # Somebody makes a collection of a name that went.
    filled.target["own"].insert_one({"of": "new"})
    after = read_all(filled)
    filled.target[BOOKKEEPING].insert_one(kept)
    end_swap(filled.target)
    assert read_all(filled) == after


def test_what_goes_wrong_leaves_the_old_data_whole_and_says_so(filled: Pair) -> None:
    before = read_bytes(filled.target)

    def fail(line: str) -> None:
        if "copied" in line:
            raise RefreshError("first: the server refused a document (MongoDB error 2)")

    filled.say = fail  # type: ignore[method-assign]
    with pytest.raises(RefreshError, match=r"refused a document \(MongoDB error 2\); the target is as it was"):
        filled.refresh()
    assert read_bytes(filled.target) == before


def test_two_refreshes_of_one_database_do_not_run_at_once(filled: Pair) -> None:
    with (
        hold_lock(filled.target, lambda attempt: attempt()),
        pytest.raises(TransientError, match="another refresh of this database is running"),
    ):
        filled.refresh()
    filled.refresh()
    assert read_bytes(filled.target) == read_bytes(filled.source)


def test_a_refresh_that_lost_its_turn_does_not_swap(filled: Pair) -> None:
    before = read_all(filled)

    def lose_turn(line: str) -> None:
        if "copied" in line:
            filled.target[BOOKKEEPING].update_one({"_id": "lock"}, {"$set": {"token": "another's"}})

    filled.say = lose_turn  # type: ignore[method-assign]
    with pytest.raises(SmartdietError, match="another refresh of this database began meanwhile"):
        filled.refresh()
    assert read_all(filled) == before


@pytest.mark.parametrize(("command", "number"), [("insert", 2), ("createIndexes", 5)])
def test_ctrl_c_while_it_copies_leaves_the_old_data_and_no_leftovers(filled: Pair, command: str, number: int) -> None:
    before = read_bytes(filled.target)
    kill_refresh(filled, command, number, signal.SIGINT)
    assert read_bytes(filled.target) == before
    assert find_leftovers(filled.target) == []


def test_ctrl_c_while_it_swaps_ends_the_swap(filled: Pair) -> None:
    kill_refresh(filled, "renameCollection", 3, signal.SIGINT)
    assert read_bytes(filled.target) == read_bytes(filled.source)
    assert find_leftovers(filled.target) == []
