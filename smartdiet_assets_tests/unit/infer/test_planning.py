"""From documents to tables: paths, dates, ids, arrays, references, and what is left out."""

from datetime import datetime
from typing import Any

import pytest
from bson import MinKey, ObjectId, Timestamp

from smartdiet_assets.infer.references import Parent, Reference
from smartdiet_assets_tests.unit.infer.observed import column, plan

DAY = datetime(2024, 3, 6, 12, 30, 1)
DATES = {"creation_date": DAY, "update_date": DAY}


def ids(count: int) -> list[ObjectId]:
    return [ObjectId(f"{number + 1:024x}") for number in range(count)]


def documents(**fields: Any) -> list[dict[str, Any]]:
    """Two documents with the same fields."""
    return [{"_id": identity, **fields, **DATES} for identity in ids(2)]


def found(found: bool = True, share: str = "100% of 2 ids are in users") -> Reference:
    return Reference(Parent("users", "id", "users", group="users"), True, found, share)


# --- fields


def test_sub_documents_become_columns_of_their_paths() -> None:
    planned = plan(documents(address={"street": "a", "geo": {"lat": 1.5}}))
    assert [(c.name, c.paths, c.sql_type) for c in planned.main.columns] == [
        ("address_street", ("address.street",), "VARCHAR"),
        ("address_geo_lat", ("address.geo.lat",), "DOUBLE PRECISION"),
    ]


@pytest.mark.parametrize(
    "keys",
    [
        [f"{number:024x}" for number in range(3)],
        [f"k{number}" for number in range(41)],
        ["a.b"],
        ["2024-03-06"],
        ["$a"],
    ],
)
def test_a_map_whose_keys_are_data_stays_whole_and_its_keys_are_not_told(keys: list[str]) -> None:
    planned = plan(documents(scores=dict.fromkeys(keys, 1)))
    scores = column(planned, "scores")
    assert scores.sql_type == "JSONB"
    assert not any(key in " ".join(scores.remarks) for key in keys)


def test_a_map_with_other_keys_in_each_document_stays_whole() -> None:
    planned = plan([{"_id": identity, "notes": {f"word{n}": 1}, **DATES} for n, identity in enumerate(ids(20))])
    assert column(planned, "notes").sql_type == "JSONB"


def test_what_has_no_type_or_no_path_is_named_in_a_comment() -> None:
    planned = plan(documents(**{"a.b": 1, "$c": 1, "empty": None, "none": {}, "tags": [], "__v": 0, "42": 1}))
    remarks = "\n".join(planned.main.remarks)
    assert planned.main.columns == []
    assert "'a.b' has a dot in its name" in remarks
    assert "'$c' begins with $" in remarks
    assert "never anything but null or {}: 'empty', 'none'" in remarks
    assert "never anything but an empty array: 'tags'" in remarks
    assert "__v is left out" in remarks
    assert "left out, as their names look like values (ids, dates, numbers): 1 of the fields" in remarks
    assert "42" not in remarks


def test_a_secret_is_a_comment() -> None:
    planned = plan(documents(password="x", tokens=["a"]))
    assert [(c.name, c.left_out) for c in planned.main.columns] == [("password", True), ("tokens", True)]
    assert planned.links == []


def test_a_rare_field_says_how_rare_it_is() -> None:
    planned = plan([*documents(name="a") * 100, {"_id": ids(3)[2], "name": "b", "odd": "x", **DATES}])
    assert column(planned, "odd").remarks == ["in 0.5% of the documents"]
    assert "in every document seen, which is no promise, so may be NULL: name" in planned.main.remarks


def test_a_discriminator_is_a_column_and_its_use_a_comment() -> None:
    kind = column(plan(documents(__t="webinar")), "__t")
    assert kind.name == "type"
    assert "filter: {__t: …}" in kind.remarks[0]
    assert "webinar" not in "".join(kind.remarks)


def test_two_fields_of_one_spelling_are_two_columns() -> None:
    planned = plan(documents(userName="a", user_name="b"))
    assert [c.name for c in planned.main.columns] == ["user_name", "user_name_2"]


# --- ids and dates


@pytest.mark.parametrize(
    ("identities", "sql_type"),
    [([1, 2], "BIGINT"), (["a", "b"], "VARCHAR"), ([1, "a"], "VARCHAR"), ([1.5, 2.5], "VARCHAR")],
)
def test_an_id_that_is_no_object_id(identities: list[Any], sql_type: str) -> None:
    main = plan([{"_id": identity} for identity in identities]).main
    (key,) = main.columns
    assert (main.base, key.name, key.sql_type, key.primary_key, key.nullable) == (False, "id", sql_type, True, False)
    assert main.settings == {"incremental": "none"}


def test_ids_that_no_column_holds_are_counted() -> None:
    main = plan([{"_id": MinKey()}, {"_id": "a"}]).main
    assert "1 documents have an _id that no column can hold; they will be rejected" in main.remarks


def test_the_parts_of_an_id_are_columns() -> None:
    main = plan([{"_id": {"user": number, "day": "d"}, "note": "x"} for number in range(3)]).main
    assert "_id: 100% object, kept as its extended JSON" in main.remarks
    assert [(c.name, c.sql_type, c.paths) for c in main.columns if c.name.startswith("id_")] == [
        ("id_user", "INTEGER", ("_id.user",)), ("id_day", "VARCHAR", ("_id.day",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "base", "settings"),
    [
        ({"creation_date": DAY, "update_date": DAY}, True, {}),
        ({"createdAt": DAY, "updatedAt": DAY}, True, {"created_field": "createdAt", "updated_field": "updatedAt"}),
        ({"update_date": DAY}, True, {}),
        ({"createdAt": DAY}, True, {"created_field": "createdAt", "incremental": "none"}),
        ({}, True, {"incremental": "none"}),
        ({"createdAt": "2024-03-06", "updatedAt": "2024-03-06"}, True, {"incremental": "none"}),
        ({"creation_date": "hier", "update_date": DAY}, False, {}),
        ({"creation_date": DAY, "update_date": "2024-03-06T12:30:01Z"}, False, {"incremental": "none"}),
        ({"creation_date": DAY, "update_date": 1_709_728_201_000}, False, {"incremental": "none"}),
        ({"creation_date": DAY, "update_date": Timestamp(1_709_728_201, 1)}, True, {"incremental": "none"}),
        ({"creation_date": DAY, "update_date": [DAY]}, False, {"incremental": "none"}),
    ],
)
def test_the_dates_a_collection_is_read_by(fields: dict[str, Any], base: bool, settings: dict[str, str]) -> None:
    main = plan([{"_id": identity, **fields} for identity in ids(3)]).main
    assert (main.base, main.settings) == (base, settings)


@pytest.mark.parametrize(
    ("dates", "incremental", "remark"),
    [
        ([DAY, DAY, "2024-03-06"], "dates", "'update_date' is no Date in 1 of 3 documents (100% string)"),
        ([DAY, 1, "2024-03-06"], "none", "'update_date' is no Date in 2 of 3 documents (50% int, 50% string)"),
        ([Timestamp(1, 1)] * 3, "none", "'update_date' is no Date in 3 of 3 documents (100% timestamp)"),
        ([DAY, DAY, None], "dates", None),
    ],
)
def test_what_is_no_date_is_counted_and_most_of_it_makes_a_collection_read_whole(
    dates: list[Any], incremental: str, remark: str | None
) -> None:
    pairs = zip(ids(3), dates, strict=True)
    main = plan([{"_id": identity, "creation_date": DAY, "update_date": at} for identity, at in pairs]).main
    assert main.settings.get("incremental", "dates") == incremental
    remarks = [text for text in main.remarks if "no Date in" in text]
    advice = ": every run reads those again; make them Dates"
    assert remarks == ([f"{remark}{advice}"] if remark else [])


def test_dates_that_the_file_gives_for_all_tables_are_not_repeated_and_others_are() -> None:
    fields = [{"_id": identity, "createdAt": DAY, "updatedAt": DAY} for identity in ids(2)]
    assert plan(fields, created_field="createdAt", updated_field="updatedAt").main.settings == {}
    theirs = plan(documents(), created_field="createdAt", updated_field="updatedAt").main.settings
    assert theirs == {"created_field": "creation_date", "updated_field": "update_date"}


def test_dates_that_are_not_everywhere_may_be_missing() -> None:
    documents = [{"_id": "a", **DATES}, {"_id": "b", **DATES}, {"_id": "c"}]
    main = plan(documents).main
    dates = [(c.name, c.nullable, c.on_invalid) for c in main.columns[1:]]
    assert dates == [("created_at", True, "null"), ("updated_at", True, "null")]


def test_nothing_but_ids_and_dates_is_not_null() -> None:
    planned = plan(documents(name="a", tags=["a", "b"]))
    assert planned.main.base
    assert all(c.nullable for c in planned.main.columns)
    assert [c.name for c in planned.links[0].columns if not c.nullable] == [
        "thing_id",
        "tag",
        "created_at",
        "updated_at",
    ]


# --- arrays


def test_an_array_of_texts_is_a_table_with_a_row_per_item() -> None:
    (link,) = plan(documents(tags=["a", "b"])).links
    assert (link.name, link.array, link.unique) == ("things_tags", "tags", ["thing_id", "tag"])
    parent, item = link.columns[:2]
    assert (parent.foreign_key, parent.paths, parent.in_items) == ("things(id)", ("_id",), False)
    assert (item.paths, item.in_items, item.sql_type) == ((".",), True, "VARCHAR")


def test_an_array_of_sub_documents_is_keyed_by_the_reference_that_tells_them_apart() -> None:
    items = [{"_id": identity, "event": identity, "date": DAY} for identity in ids(2)]
    (link,) = plan(documents(registered_events=items)).links
    assert link.unique == ["thing_id", "event_id"]
    assert [(c.name, c.paths) for c in link.columns if c.in_items] == [
        ("event_id", ("event",)), ("position", ("$position",)), ("item_id", ("_id",)), ("date", ("date",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "key", "offered"),
    [
        ([{"product": "a", "quantity": 1}, {"product": "b", "quantity": 1}], "product", True),
        ([{"zip": "75001", "street": "x"}, {"zip": "75002", "street": "x"}], "zip", True),
        ([{"_id": 1, "price": 2.5}, {"_id": 2, "price": 2.5}], "tag_id", False),
        ([{"product": "a"}, {"product": "b"}], "product", False),
        (["a", "b"], "tag", False),
    ],
)
def test_every_key_says_that_it_is_one_and_what_could_be_instead(items: list[Any], key: str, offered: bool) -> None:
    (link,) = plan(documents(tags=items)).links
    assert link.unique == ["thing_id", key]
    assert any(remark.startswith("the key: ") for remark in link.columns[1].remarks)
    offers = [column for column in link.columns if column.paths == ("$position",)]
    assert [(column.left_out, column.remarks) for column in offers] == [
        (
            True,
            [f"the key where a document may hold two items of one {key}: unique_constraints: [[thing_id, position]]"],
        )
    ] * offered


def test_a_value_beside_arrays_of_the_same_is_an_array_of_one() -> None:
    first, second = ids(2)
    several = [{"_id": first, "reasons": [first, second], **DATES}, {"_id": second, "reasons": second, **DATES}]
    (link,) = plan(several, references={"reasons[]": found(), "reasons": found()}).links
    (other,) = plan(several, references={"reasons[]": found(), "reasons": found(False)}).links
    assert (link.columns[1].foreign_key, other.columns[1].foreign_key) == ("users(id)", "")
    assert "50% array, 50% objectId: a value without an array is an array of one" in link.columns[1].remarks
    mixed = plan([{"_id": first, "reasons": [first]}, {"_id": second, "reasons": 1}])
    assert column(mixed, "reasons").sql_type == "JSONB"


def test_bare_ids_among_sub_documents_are_taken_for_their_reference() -> None:
    first, second = ids(2)
    (link,) = plan(documents(events=[first, {"event": second, "date": DAY}])).links
    assert (link.columns[1].name, link.columns[1].paths) == ("event_id", (".", "event"))


@pytest.mark.parametrize(
    ("array", "remark"),
    [
        ([1.5, 2.5], "the items are 100% double"),
        (["a", "a"], "2 arrays repeat an item"),
        ([[1]], "arrays in arrays"),
        (["a", 1], "mixed kinds"),
        ([{"a": "x"}, "b", 1], "mixed shape"),
        ([{"n": "a"}, {"n": "a", "m": 1}], "no field of the items"),
        ([{"n": "a"}, {"m": "b"}], "no field of the items"),
        (["x" * 500], "too long to be in an index"),
    ],
)
def test_an_array_whose_items_cannot_be_rows_stays_whole(array: list[Any], remark: str) -> None:
    planned = plan(documents(items=array))
    items = column(planned, "items")
    assert items.sql_type == "JSONB"
    assert remark in items.remarks[0]
    assert planned.links == []


def test_a_table_that_would_reject_a_few_items_is_offered_as_a_comment() -> None:
    many = ids(200)
    items = [{"event": identity} for identity in many] + [{"event": {"a": 1}}]
    planned = plan(documents(events=items))
    assert column(planned, "events").sql_type == "JSONB"
    (link,) = planned.links
    assert (link.left_out, link.unique) == (True, ["thing_id", "event_id"])
    assert "2 of 402 items have no 'event' that can be a key" in link.remarks[0]


def test_an_id_twice_in_an_array_is_one_row_and_said() -> None:
    (link,) = plan(documents(users=ids(1) * 2)).links
    assert "2 arrays repeat an item: one row" in link.columns[1].remarks


def test_arrays_below_a_sub_document_and_inside_items() -> None:
    planned = plan(documents(profile={"tags": ["a"]}, meals=[{"_id": ids(1)[0], "foods": ["a"]}]))
    below, items = planned.links
    assert (below.name, below.array) == ("things_profile_tags", "profile.tags")
    assert next(c for c in items.columns if c.paths == ("foods",)).sql_type == "JSONB"


# --- references


def test_a_reference_is_a_foreign_key_that_loads_without_its_parent() -> None:
    planned = plan(documents(user=ids(1)[0]), references={"user": found()})
    user = column(planned, "user")
    assert (user.name, user.foreign_key, user.on_missing_parent) == ("user_id", "users(id)", "null")
    assert user.remarks == ["100% of 2 ids are in users"]
    assert planned.main.group == "users"


def test_items_refer_only_where_none_dangles() -> None:
    whole = plan(documents(users=ids(2)), references={"users[]": found()}).links[0].columns[1]
    dangling = plan(documents(users=ids(2)), references={"users[]": found(False)}).links[0].columns[1]
    assert (whole.foreign_key, dangling.foreign_key) == ("users(id)", "")
    assert "no foreign key, which would reject the items whose parent is missing" in dangling.remarks


def test_bare_ids_and_those_of_sub_documents_refer_only_together() -> None:
    first, second = ids(2)
    fields = documents(events=[first, {"event": second}])
    both = plan(fields, references={"events[]": found(), "events[].event": found()}).links[0].columns[1]
    one = plan(fields, references={"events[].event": found()}).links[0].columns[1]
    dangling = plan(fields, references={"events[]": found(False), "events[].event": found()}).links[0].columns[1]
    assert (both.foreign_key, one.foreign_key, dangling.foreign_key) == ("users(id)", "", "")


def test_names_of_other_tables_are_left_to_them() -> None:
    planned = plan(documents(tags=["a"]), tables=("things", "things_2_tags"))
    assert [table.name for table in planned] == ["things_2", "things_2_tags_2"]
