"""The exact SQL that finds the differences, for each shape of table."""

from smartdiet_assets.load.conflicts.best_of_key import compose_key_scope, compose_winners
from smartdiet_assets.load.diff import compose_delta, compose_read_scope
from smartdiet_assets.load.fragments import WINNERS
from smartdiet_assets_tests.support.declared import CLINIC, declare


def test_documents_of_one_row_each_are_looked_up_by_key() -> None:
    assert (
        compose_delta(declare(CLINIC).tables["companies"], scope=None).as_string()
        == """\
CREATE TEMPORARY TABLE "pg_temp"."mirror_delta" ON COMMIT DROP AS
SELECT
  (CASE WHEN t._here IS NULL THEN 'I' WHEN s._here IS NULL THEN 'D' ELSE 'U' END)::"char" AS _op,
  s."id",
  s."created_at",
  s."updated_at",
  s."code"
FROM (SELECT true AS _here, "id", "created_at", "updated_at", "code" FROM "pg_temp"."mirror_staging") AS s
LEFT JOIN (SELECT true AS _here, "id", "created_at", "updated_at", "code" FROM "companies" AS t) AS t
  ON s."id" = t."id"
WHERE t._here IS NULL
  OR (s."created_at", s."updated_at", s."code") IS DISTINCT FROM (t."created_at", t."updated_at", t."code")"""
    )


def test_items_are_joined_in_full_with_all_rows_of_the_read_documents() -> None:
    table = declare(CLINIC).tables["user_friends"]
    assert (
        compose_delta(table, scope=compose_read_scope(table)).as_string()
        == """\
CREATE TEMPORARY TABLE "pg_temp"."mirror_delta" ON COMMIT DROP AS
SELECT
  (CASE WHEN t._here IS NULL THEN 'I' WHEN s._here IS NULL THEN 'D' ELSE 'U' END)::"char" AS _op,
  coalesce(s."user_id", t."user_id") AS "user_id",
  coalesce(s."friend_id", t."friend_id") AS "friend_id",
  s."created_at",
  s."updated_at"
FROM (SELECT true AS _here, "user_id", "friend_id", "created_at", "updated_at" FROM "pg_temp"."mirror_staging") AS s
FULL JOIN (SELECT true AS _here, "user_id", "friend_id", "created_at", "updated_at" FROM "user_friends" AS t \
WHERE t."user_id" IN (SELECT document FROM "pg_temp"."mirror_documents")) AS t
  ON s."user_id" = t."user_id" AND s."friend_id" = t."friend_id"
WHERE t._here IS NULL
  OR s._here IS NULL"""
    )


def test_a_strategy_that_never_removes_finds_no_rows_to_remove() -> None:
    table = declare(CLINIC).tables["user_friends"]
    statement = compose_delta(table, scope=compose_read_scope(table), deletes=False).as_string()
    assert statement.endswith("\nWHERE t._here IS NULL")


def test_winners_are_joined_in_full_with_the_rows_of_the_touched_keys() -> None:
    table = declare(CLINIC).tables["diary"]
    statement = compose_delta(table, rows=WINNERS, scope=compose_key_scope(table)).as_string()
    assert (
        statement.partition("FROM (")[2]
        == """\
SELECT true AS _here, "user_id", "day", "created_at", "updated_at", "document_id" FROM "pg_temp"."mirror_winners") AS s
FULL JOIN (SELECT true AS _here, "user_id", "day", "created_at", "updated_at", "document_id" FROM "diary" AS t \
WHERE EXISTS (SELECT FROM "pg_temp"."mirror_keys" AS k WHERE k."user_id" = t."user_id" AND k."day" = t."day")) AS t
  ON s."user_id" = t."user_id" AND s."day" = t."day"
WHERE t._here IS NULL
  OR s._here IS NULL
  OR (s."created_at", s."updated_at", s."document_id") IS DISTINCT FROM \
(t."created_at", t."updated_at", t."document_id")"""
    )


def test_the_winner_is_the_first_in_the_declared_order() -> None:
    assert (
        compose_winners(declare(CLINIC).tables["diary"]).as_string()
        == """\
CREATE TEMPORARY TABLE "pg_temp"."mirror_winners" ON COMMIT DROP AS
SELECT DISTINCT ON ("user_id", "day") "user_id", "day", "created_at", "updated_at", "document_id"
FROM "pg_temp"."mirror_staging"
ORDER BY "user_id", "day", "updated_at" DESC NULLS LAST, "document_id" COLLATE "C" DESC NULLS LAST"""
    )
