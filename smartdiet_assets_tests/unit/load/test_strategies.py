"""The exact SQL of each strategy, and how a strategy chooses its mode."""

import pytest

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.load.strategies import DeltaCounts, MergeStep, Mode, Strategy, get_strategy
from smartdiet_assets.schema.model import Table
from smartdiet_assets_tests.support.declared import CLINIC, declare

RELATION = CLINIC.replace(
    'item_field: ".", foreign_key: users(id)}',
    "item_field: id, foreign_key: users(id)}\n      - {name: since, sql_type: INTEGER, item_field: since}",
)

INSERT = """\
INSERT INTO "user_friends" ("user_id", "friend_id", "since", "created_at", "updated_at")
SELECT "user_id", "friend_id", "since", "created_at", "updated_at"
FROM "pg_temp"."mirror_delta"
WHERE _op = 'I'"""
UPDATE = """\
UPDATE "user_friends" AS t
SET "since" = d."since"
FROM "pg_temp"."mirror_delta" AS d
WHERE d._op = 'U'
  AND t."user_id" = d."user_id" AND t."friend_id" = d."friend_id\""""
DELETE = """\
DELETE FROM "user_friends" AS t
USING "pg_temp"."mirror_delta" AS d
WHERE d._op = 'D'
  AND t."user_id" = d."user_id" AND t."friend_id" = d."friend_id\""""
REPLACE = """\
WITH changed AS MATERIALIZED (
  SELECT DISTINCT "user_id" FROM "pg_temp"."mirror_delta"
), gone AS (
  DELETE FROM "user_friends" AS t
  USING changed
  WHERE t."user_id" = changed."user_id"
  RETURNING t."user_id", t."friend_id", t."created_at", t."updated_at"
)
INSERT INTO "user_friends" ("user_id", "friend_id", "since", "created_at", "updated_at")
SELECT s."user_id", s."friend_id", s."since", coalesce(gone."created_at", s."created_at"), \
coalesce(gone."updated_at", s."updated_at")
FROM "pg_temp"."mirror_staging" AS s
JOIN changed ON changed."user_id" = s."user_id"
LEFT JOIN gone ON gone."user_id" = s."user_id" AND gone."friend_id" = s."friend_id"
WHERE (SELECT count(*) FROM gone) >= 0"""


def relation() -> Table:
    return declare(RELATION).tables["user_friends"]


def composed(strategy: str, table: Table, mode: Mode) -> list[tuple[str, str]]:
    return [(step.action, step.statement.as_string()) for step in get_strategy(strategy).compose(table, mode)]


def test_direct_writes_the_changed_rows_and_removes_those_no_longer_described() -> None:
    table = declare(CLINIC).tables["companies"]
    assert composed("direct", table, "upsert") == [
        (
            "insert",
            """\
INSERT INTO "companies" ("id", "created_at", "updated_at", "code")
SELECT "id", "created_at", "updated_at", "code"
FROM "pg_temp"."mirror_delta"
WHERE _op = 'I'""",
        ),
        (
            "update",
            """\
UPDATE "companies" AS t
SET "created_at" = d."created_at", "updated_at" = d."updated_at", "code" = d."code"
FROM "pg_temp"."mirror_delta" AS d
WHERE d._op = 'U'
  AND t."id" = d."id\"""",
        ),
        (
            "delete",
            """\
DELETE FROM "companies" AS t
USING "pg_temp"."mirror_delta" AS d
WHERE d._op = 'D'
  AND t."id" = d."id\"""",
        ),
    ]


def test_array_inserts_and_updates() -> None:
    assert composed("array", relation(), "upsert") == [("insert", INSERT), ("update", UPDATE)]


def test_delete_and_insert_replaces_the_changed_documents_rows() -> None:
    assert composed("delete_and_insert", relation(), "replace") == [("replace", REPLACE)]


def test_smart_diff_applies_the_delta() -> None:
    assert composed("smart_diff", relation(), "delta") == [("insert", INSERT), ("update", UPDATE), ("delete", DELETE)]


def test_smart_diff_replaces_above_the_threshold() -> None:
    assert composed("smart_diff", relation(), "replace") == [("replace", REPLACE)]


def test_a_table_without_further_columns_is_never_updated() -> None:
    links = declare(CLINIC).tables["user_friends"]
    assert [action for action, _ in composed("smart_diff", links, "delta")] == ["insert", "delete"]


@pytest.mark.parametrize(
    ("counts", "mode"),
    [
        (DeltaCounts(inserted=5, updated=0, deleted=0, unchanged=0), "delta"),
        (DeltaCounts(inserted=1, updated=1, deleted=1, unchanged=8), "delta"),
        (DeltaCounts(inserted=3, updated=0, deleted=3, unchanged=7), "delta"),
        (DeltaCounts(inserted=3, updated=1, deleted=1, unchanged=8), "replace"),
        (DeltaCounts(inserted=0, updated=0, deleted=4, unchanged=6), "replace"),
        (DeltaCounts(inserted=0, updated=0, deleted=0, unchanged=8), "delta"),
    ],
)
def test_smart_diff_takes_the_delta_up_to_three_changes_in_ten_rows(counts: DeltaCounts, mode: Mode) -> None:
    table = relation()
    assert table.diff_threshold == 0.3
    assert get_strategy("smart_diff").choose_mode(table, counts) == mode


def test_the_ratio_counts_changed_items_over_the_rows_there_were() -> None:
    assert DeltaCounts(inserted=3, updated=1, deleted=2, unchanged=7).change_ratio == 0.4
    assert DeltaCounts(inserted=3, updated=0, deleted=0, unchanged=0).change_ratio is None


class OnlyInserts(Strategy):
    """A strategy of one's own."""

    def compose(self, table: Table, mode: Mode) -> list[MergeStep]:
        return super().compose(table, mode)[:1]


def test_a_strategy_of_ones_own_is_named_by_its_module_and_class() -> None:
    strategy = f"{OnlyInserts.__module__}:OnlyInserts"
    assert [action for action, _ in composed(strategy, relation(), "upsert")] == ["insert"]


@pytest.mark.parametrize("name", ["upsert", "no.such.module:Class", "json:JSONDecoder", "json:Nothing"])
def test_a_strategy_that_does_not_exist_is_a_configuration_error(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name.split(":")[0].split(".")[0]):
        get_strategy(name)
