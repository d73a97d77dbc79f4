"""Tables of Matomo: the project's file, the replaced tool's, and how they stand beside the other tables."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.matomo import compose_source_name
from smartdiet_assets.schema.types import parse_sql_type
from smartdiet_assets_tests.unit.schema.schema_files import FOLDER, load_text

CONFIG = Path(__file__).parents[3] / "config"
OURS = CONFIG / "matomo_schemas.yaml"
REPLACED = FOLDER / "valid" / "replaced_matomo.yaml"
ACTION, VISIT, VIEW = "matomo_log_action", "matomo_log_visit", "matomo_log_link_visit_action"


def test_the_replaced_tools_file_means_what_it_meant() -> None:
    tables = load_schema(REPLACED).tables
    assert {name: (len(table.columns), table.time_column) for name, table in tables.items()} == {
        VISIT: (60, "visit_last_action_time"),
        VIEW: (41, "server_time"),
        ACTION: (5, ""),
    }
    for table in tables.values():
        assert (table.source, table.shape, table.import_strategy) == ("matomo", "one_row", "direct")
        assert table.source_table == table.name
        assert table.primary_key == table.key == (table.document_column,)
        assert (table.on_delete, table.overlap) == ("keep", timedelta(hours=2))
        assert all(column.source_column == column.name for column in table.columns)
    assert [tables[name].incremental for name in (VISIT, VIEW, ACTION)] == ["dates", "dates", "key"]


def test_our_file_keeps_the_replaced_tools_columns_in_types_that_hold_what_matomo_can() -> None:
    """An INTEGER UNSIGNED does not fit an INTEGER, and a custom dimension has 255 characters."""
    wider = {
        "integer": {"integer", "bigint"},
        "character varying(200)": {"character varying(200)", "character varying(255)"},
    }
    ours, replaced = load_schema(OURS).tables, yaml.safe_load(REPLACED.read_text())
    for name, table in replaced.items():
        found = {column.name: column.type.sql for column in ours[name].columns}
        declared = {column["name"]: parse_sql_type(column["sql_type"]).sql for column in table["columns"]}
        assert set(found) == set(declared)
        assert all(found[column] in wider.get(sql_type, {sql_type}) for column, sql_type in declared.items())
    assert ours[VISIT].column("idsite").type.sql == ours[ACTION].column("idaction").type.sql == "bigint"
    assert ours[VIEW].column("custom_dimension_5").type.sql == "character varying(255)"


def test_every_number_of_a_text_points_at_it_and_none_can_keep_a_row_out() -> None:
    for table in load_schema(OURS).tables.values():
        for column in table.columns:
            if "idaction" in column.name and table.name != ACTION:
                assert column.foreign_key is not None, column.name
                assert (column.foreign_key.table, column.foreign_key.on_missing_parent) == (ACTION, "null")
    visit = load_schema(OURS).tables[VIEW].column("idvisit").foreign_key
    assert visit is not None
    # The page view waits for its visit: without it, it would belong to nobody.
    assert (visit.table, visit.on_missing_parent) == (VISIT, "reject")


def test_both_files_are_one_schema() -> None:
    schema = load_schema(CONFIG / "schemas.yaml", OURS)
    assert len(schema.tables) == 31 + 3
    assert list(schema.tables)[-3:] == [ACTION, VISIT, VIEW]
    assert schema.path == f"{CONFIG / 'schemas.yaml'} and {OURS}"
    assert schema.partitions == load_schema(CONFIG / "schemas.yaml").partitions


def test_foreign_keys_lead_from_file_to_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("a:\n  columns:\n  - {name: id, sql_type: VARCHAR, primary_key: true}\n")
    second.write_text(
        "b:\n  source_table: b\n  columns:\n  - {name: id, sql_type: BIGINT, primary_key: true}\n"
        "  - {name: a, sql_type: VARCHAR, foreign_key: a(id)}\n"
    )
    assert load_schema(second, first).tables["b"].parents == ("a",)
    with pytest.raises(SchemaFileError, match="the foreign key points at 'a', which is no table"):
        load_schema(second)


def test_the_problems_of_all_files_are_reported_at_once_each_below_its_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("a:\n  columns: []\n")
    second.write_text("a:\n  include_base: true\nb:\n  colums: []\n  columns: []\n")
    with pytest.raises(SchemaFileError) as caught:
        load_schema(first, second)
    assert str(caught.value).splitlines() == [
        f"{first}: 1 problem",
        "  line 1: a: the table has no columns",
        f"{second}: 3 problems",
        f"  line 1: a: the table is declared in {first} too",
        "  line 3: b: the table has no columns",
        "  line 4: b: unknown key 'colums'; did you mean 'columns'?",
    ]


def test_a_table_may_say_everything_itself(tmp_path: Path) -> None:
    schema = load_text(
        tmp_path,
        """
        visits:
          source_table: log_visit
          time_column: seen_at
          overlap: 1h
          matomo_columns: all
          on_delete: delete
          force_reimport: true
          columns:
            - {name: visit_id, sql_type: BIGINT, primary_key: true, source_column: idvisit}
            - {name: seen_at, sql_type: TIMESTAMP, nullable: false, source_column: visit_last_action_time}
        """,
    )
    table = schema.tables["visits"]
    assert (table.matomo_columns, table.on_delete, table.overlap) == ("all", "delete", timedelta(hours=1))
    assert [column.source_column for column in table.columns] == ["idvisit", "visit_last_action_time"]
    assert table.indexes == (("seen_at",),)


def test_a_known_table_can_be_read_by_key_all_the_same(tmp_path: Path) -> None:
    text = (
        "v:\n  source_table: log_visit\n  time_column: null\n"
        "  columns:\n  - {name: idvisit, sql_type: BIGINT, primary_key: true}\n"
    )
    assert load_text(tmp_path, text).tables["v"].incremental == "key"


@pytest.mark.parametrize(
    ("declared", "prefix", "name"),
    [
        ("log_visit", "matomo_", "matomo_log_visit"),
        ("matomo_log_visit", "matomo_", "matomo_log_visit"),
        ("matomo_log_visit", "piwik_", "piwik_log_visit"),
        ("piwik_log_visit", "piwik_", "piwik_log_visit"),
        ("log_visit", "", "log_visit"),
        ("matomo_log_visit", "", "log_visit"),
    ],
)
def test_a_table_has_the_servers_prefix_whichever_it_is_declared_with(declared: str, prefix: str, name: str) -> None:
    assert compose_source_name(declared, prefix) == name
