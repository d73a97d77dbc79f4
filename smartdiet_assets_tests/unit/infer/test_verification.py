"""A plan is tried on its documents: what they show is mended, and what cannot be mended is said."""

from typing import Any

import bson
from bson import MinKey, ObjectId

from smartdiet_assets.infer.composing import compose_entry
from smartdiet_assets.infer.plan import Plan
from smartdiet_assets.infer.verification import Rejects, count_rejects, describe_rejects, mend_plan
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.unit.infer.observed import column, plan


def try_plan(planned: Plan, documents: list[dict[str, Any]]) -> Rejects:
    schema = declare("tables:\n" + compose_entry(planned))
    tables = [schema.tables[table.name] for table in planned if not table.left_out]
    return count_rejects(tables, [bson.encode(document) for document in documents])


def test_json_that_postgresql_cannot_store_becomes_null_and_is_counted() -> None:
    documents = [{"_id": ObjectId(), "map": {f"a{n}@x": "a\0"}} for n in range(3)]
    planned = plan(documents)
    rejects = try_plan(planned, documents)
    assert sum(rejects.values()) == 3
    assert mend_plan(planned, rejects)
    assert not try_plan(planned, documents)
    mended = column(planned, "map")
    assert (mended.on_invalid, mended.remarks[-1]) == ("null", "3 do not fit (nul_character): NULL")


def test_items_that_cannot_be_rows_stay_an_array() -> None:
    planned = plan([{"_id": ObjectId(), "tags": ["a", "b"]}])
    assert mend_plan(planned, try_plan(planned, [{"_id": ObjectId(), "tags": ["a", {"b": 1}]}]))
    assert planned.links == []
    tags = planned.main.column("tags")
    assert tags is not None
    assert (tags.sql_type, tags.paths) == ("JSONB", ("tags",))


def test_dates_that_are_none_may_be_missing() -> None:
    planned = plan([{"_id": ObjectId()}])
    assert planned.main.base
    odd = [{"_id": ObjectId(), "creation_date": "hier"}]
    assert mend_plan(planned, try_plan(planned, odd))
    assert not planned.main.base
    assert not try_plan(planned, odd)


def test_a_reference_too_long_for_an_index_is_a_column_without_one() -> None:
    planned = plan([{"_id": ObjectId(), "parent": "a"}])
    parent = column(planned, "parent")
    parent.foreign_key, parent.on_missing_parent = "things(id)", "null"
    long = [{"_id": ObjectId(), "parent": "x" * 2_000}]
    assert mend_plan(planned, try_plan(planned, long))
    assert parent.foreign_key == ""
    assert not try_plan(planned, long)


def test_what_cannot_be_mended_is_said_in_the_entry() -> None:
    documents = [{"_id": MinKey()}, {"_id": "a"}]
    planned = plan(documents)
    rejects = try_plan(planned, documents)
    assert not mend_plan(planned, rejects)
    describe_rejects(planned, rejects)
    assert "1 will be rejected: invalid_type in id" in planned.main.remarks
