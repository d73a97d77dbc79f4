"""Columns are added to a file without a change to any character that is there, however it is laid out."""

import pytest

from smartdiet_assets.infer.editing import add_columns, list_columns_in_comments, list_tables_in_comments
from smartdiet_assets.infer.plan import PlannedColumn, PlannedTable

BLOCK = """\
# Ours.
tables:
  users:   # people
    include_base: true
    additional_columns:
      - {name: email, sql_type: VARCHAR}   # aligned
      # - {name: password, sql_type: VARCHAR}

      - name: phone
        sql_type: VARCHAR
        description: |
          As they typed it.

    # the end of users
    group: people

  posts: {include_base: true}
partitions: {every: week}
"""
NEW = "      - {name: age, sql_type: INTEGER}\n"


def plan(table: str) -> PlannedTable:
    return PlannedTable(table, table, "", columns=[PlannedColumn("age", "INTEGER", ("age",))])


def test_after_the_last_column_of_a_list() -> None:
    after = "          As they typed it.\n"
    assert add_columns(BLOCK, [plan("users")]) == BLOCK.replace(after, after + NEW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "tables:\n  a:\n    include_base: true\n  b: {include_base: true}\n",
            "tables:\n  a:\n    include_base: true\n    additional_columns:\n      - {name: age, sql_type: INTEGER}\n"
            "  b: {include_base: true}\n",
        ),
        (
            "a: {include_base: true}  # short\n",
            "a: {include_base: true, additional_columns: [{name: age, sql_type: INTEGER}]}  # short\n",
        ),
        (
            "a:\n  columns: [{name: id, sql_type: TEXT}]\n",
            "a:\n  columns: [{name: id, sql_type: TEXT}, {name: age, sql_type: INTEGER}]\n",
        ),
        (
            "a:\n  columns:\n  - {name: id, sql_type: TEXT}\n  group: b",
            "a:\n  columns:\n  - {name: id, sql_type: TEXT}\n  - {name: age, sql_type: INTEGER}\n  group: b",
        ),
        (
            "a:\n  columns:\n  - {name: id, sql_type: TEXT}",
            "a:\n  columns:\n  - {name: id, sql_type: TEXT}\n  - {name: age, sql_type: INTEGER}\n",
        ),
        (
            "a:\n  include_base: true\n  additional_columns:\n  group: b\n",
            "a:\n  include_base: true\n  additional_columns:\n    - {name: age, sql_type: INTEGER}\n  group: b\n",
        ),
        (
            "a:\n  include_base: true\n  additional_columns: []\n",
            "a:\n  include_base: true\n  additional_columns: [{name: age, sql_type: INTEGER}]\n",
        ),
        (
            "a:\n  columns: &c []\n",
            "a:\n  columns: &c [{name: age, sql_type: INTEGER}]\n",
        ),
        (
            "a: {include_base: True, }\n",
            "a: {include_base: True, additional_columns: [{name: age, sql_type: INTEGER}], }\n",
        ),
        (
            "tables:\n  b: &b {include_base: yes}\n  a: {<<: *b}\n",
            "tables:\n  b: &b {include_base: yes}\n"
            "  a: {<<: *b, additional_columns: [{name: age, sql_type: INTEGER}]}\n",
        ),
        (
            "a:\n  columns: &c\n    # first\n    -\n      name: id\n      sql_type: TEXT\n  group: b\n",
            "a:\n  columns: &c\n    # first\n    -\n      name: id\n      sql_type: TEXT\n"
            "    - {name: age, sql_type: INTEGER}\n  group: b\n",
        ),
        (
            "tables:\n a:\n  include_base: true\n  # Ours.\n\n # Of b.\n b: {include_base: true}\n",
            "tables:\n a:\n  include_base: true\n  # Ours.\n  additional_columns:\n"
            "    - {name: age, sql_type: INTEGER}\n\n # Of b.\n b: {include_base: true}\n",
        ),
    ],
)
def test_each_way_of_writing_a_table(before: str, after: str) -> None:
    assert add_columns(before, [plan("a")]) == after


@pytest.mark.parametrize(
    "text",
    ["a: {columns: [{name: id, sql_type: TEXT}]}\n", "a: {include_base: true}\n", "a:\n  columns: []\n"],
)
def test_between_brackets_there_is_no_room_for_a_column_that_is_left_out(text: str) -> None:
    secret = PlannedColumn("password", "VARCHAR", ("password",), left_out=True)
    assert add_columns(text, [PlannedTable("a", "a", "", columns=[secret])]) == text


def test_a_column_that_is_left_out_makes_no_empty_list() -> None:
    secret = PlannedColumn("password", "VARCHAR", ("password",), left_out=True)
    text = add_columns("a:\n  include_base: true\n", [PlannedTable("a", "a", "", columns=[secret])])
    assert text.splitlines()[2:] == ["  # additional_columns:", "    # - {name: password, sql_type: VARCHAR}"]
    assert list_columns_in_comments(text) == {"a": {"password"}}


def test_several_tables_at_once() -> None:
    both = add_columns(BLOCK, [plan("posts"), plan("users")])
    assert both == add_columns(add_columns(BLOCK, [plan("users")]), [plan("posts")])


def test_what_a_comment_holds_was_decided_against() -> None:
    text = BLOCK + "  # orders_lines:\n  #   columns: []\n"
    assert list_columns_in_comments(text) == {"users": {"password"}, "posts": set()}
    assert list_tables_in_comments(text) == {"orders_lines"}
