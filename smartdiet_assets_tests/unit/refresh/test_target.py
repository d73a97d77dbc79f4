"""What must be typed before a refresh writes, and what is shown."""

import pytest

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.refresh.description import describe_plan
from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.refresh.mongo.side import build_identities, find_unfit_target
from smartdiet_assets.refresh.patterns import choose_names, split_names
from smartdiet_assets.refresh.plan import PlannedItem, RefreshPlan, Side
from smartdiet_assets.refresh.target import (
    check_sides,
    check_target,
    is_this_machine,
    needs_name,
    other_place,
)


def describe(place: str = "local", host: str = "localhost", database: str = "dev", identity: str = "") -> Side:
    return Side(place, f"MongoDB at {host}", (host,), database, frozenset([identity or f"{place}/{host}/{database}"]))  # type: ignore[arg-type]


def build_plan(target: Side, *items: PlannedItem, notes: tuple[str, ...] = ()) -> RefreshPlan:
    return RefreshPlan(
        describe(other_place(target.place), database="prod"), target, "collection", "documents", items, notes
    )


@pytest.mark.parametrize(
    ("host", "this"),
    [
        ("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True),
        ("[::1]", True), ("/var/run/postgresql", True), ("", True), ("mongo", False), ("10.0.0.1", False),
        ("db.example.org", False), ("localhost.example.org", False), ("0.0.0.0", False),
    ],
)  # fmt: skip
def test_only_the_loopback_address_is_this_machine(host: str, this: bool) -> None:
    assert is_this_machine(host) is this


@pytest.mark.parametrize(
    ("target", "needed"),
    [
        (describe("local"), False),
        (describe("remote"), True),
        (describe("local", "db.example.org"), True),
        (Side("local", "", ("localhost", "10.0.0.2"), "dev", frozenset()), True),
    ],
)
def test_a_target_that_may_be_somebody_elses_asks_for_its_name(target: Side, needed: bool) -> None:
    assert needs_name(target) is needed


def test_the_name_must_be_the_targets() -> None:
    check_target(build_plan(describe("local")), None)
    check_target(build_plan(describe("local")), "dev")
    check_target(build_plan(describe("remote")), "dev")
    for target, name in ((describe("remote"), None), (describe("remote"), "Dev"), (describe("local"), "prod")):
        with pytest.raises(ConfigurationError, match="--target-name dev") as caught:
            check_target(build_plan(target), name)
        assert "\n" not in str(caught.value)


def test_one_database_is_not_both_sides() -> None:
    plan = RefreshPlan(describe("remote", identity="x"), describe("local", identity="x"), "table", "rows", ())
    with pytest.raises(ConfigurationError, match="same database"):
        check_sides(plan)
    check_sides(build_plan(describe("local")))


def test_the_target_is_shown_first_with_what_is_there_what_comes_and_what_goes() -> None:
    lines = describe_plan(
        build_plan(
            describe("remote"),
            PlannedItem("a", "replace", 10, 5),
            PlannedItem("b", "create", 3, None),
            PlannedItem("c", "remove", None, 7),
            notes=("Something.",),
        )
    )
    assert lines == [
        "Target: database dev of MongoDB at localhost (remote); there now: 2 collections, 12 documents",
        "Source: database prod of MongoDB at localhost (local)",
        "Will be written: 2 collections, swapped in at the end",
        "Will be REMOVED from the target, as the source has no such collection: c",
        "Asks for: --target-name dev",
        "Something.",
    ]


def test_lists_hold_names_and_patterns() -> None:
    assert split_names(["a, b", "c,"]) == ("a", "b", "c")
    with pytest.raises(ConfigurationError, match="leave the option out"):
        split_names(["a", " ,"])
    names = ["users", "users_quizzs", "messages"]
    assert choose_names(names, (), (), "table") == names
    assert choose_names(names, ("users*",), ("*_quizzs",), "table") == ["users"]
    assert choose_names(names, (), ("own",), "table", also=["own"]) == names
    with pytest.raises(ConfigurationError, match="there is no table user, massages"):
        choose_names(names, ("user",), ("massages",), "table")


def test_two_members_of_one_set_are_one_database_and_two_sets_of_one_name_are_not() -> None:
    def identify(process: str, host: str, uuid: bytes, database: str = "prod") -> frozenset[str]:
        hello = {"topologyVersion": {"processId": process}, "setName": "rs0", "hosts": [host, f"{host}:2"]}
        return build_identities(database, hello, [CollectionSpec("users", "collection", uuid=uuid)])

    one = identify("p1", "db1", b"1")
    assert one & identify("p1", "db1", b"2"), "the same process"
    assert one & identify("p2", "db1", b"1"), "another member of its set"
    assert not one & identify("p2", "db1", b"2"), "a set of the same name and addresses elsewhere"
    assert not one & identify("p2", "db2", b"1"), "a copy of its files, elsewhere"
    assert not one & identify("p1", "db1", b"2", database="dev"), "another database of the server"


def test_a_sharded_cluster_and_mongodbs_own_databases_are_no_targets() -> None:
    assert "sharded cluster" in find_unfit_target("prod", {"msg": "isdbgrid"})
    assert "admin" in find_unfit_target("admin", {})
    assert find_unfit_target("prod", {}) == ""
