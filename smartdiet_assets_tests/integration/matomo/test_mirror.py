"""What the tables hold after a run, whatever happened in Matomo before it."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smartdiet_assets.demo.analytics import apply_day_of_visits, write_analytics
from smartdiet_assets.demo.company import DEMO_DAY
from smartdiet_assets.errors import SourceTableError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.support.matomo_mirror import ACTION, FULL, NOON, VIEW, VISIT, Matomo

ROOT = Path(__file__).parents[3]
SECOND = timedelta(seconds=1)


def test_the_first_load_holds_every_row_with_every_value(matomo: Matomo) -> None:
    counts = write_analytics(matomo.source, seed=1, scale=0.002)
    results = matomo.run()
    assert {name: result.load.inserted for name, result in results.items()} == counts
    matomo.assert_mirrored()
    assert all(result.load.rejected == 0 for result in results.values())


def test_a_second_run_writes_nothing(matomo: Matomo) -> None:
    write_analytics(matomo.source, seed=1, scale=0.0005)
    matomo.run()
    for result in matomo.run().values():
        assert (result.load.inserted, result.load.updated, result.load.deleted) == (0, 0, 0)
        assert result.window.kind == "incremental"


def test_a_day_of_visits_is_mirrored_by_reading_that_day(matomo: Matomo) -> None:
    write_analytics(matomo.source, seed=1, scale=0.002)
    matomo.run()
    day = apply_day_of_visits(matomo.source, 1, DEMO_DAY)
    results = matomo.run()
    matomo.assert_mirrored()
    assert results[VISIT].load.inserted == day.visits
    assert results[VISIT].load.updated == day.visits_continued
    assert results[VIEW].load.inserted == day.views
    assert results[ACTION].load.inserted == day.actions
    assert results[VIEW].documents_read < day.views + 20


@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
def test_pages_lose_and_repeat_no_row_where_many_share_a_second_and_sites_take_turns(
    matomo: Matomo, page_size: int
) -> None:
    for number in range(1, 24):
        matomo.add_visit(number, NOON + SECOND * (number // 8), idsite=number % 3)
    matomo.run(page_size=page_size)
    matomo.execute(f"UPDATE {VISIT} SET visit_total_time = 9")
    result = matomo.run(VISIT, page_size=page_size)[VISIT]
    assert (result.documents_read, result.load.updated) == (23, 23)
    matomo.assert_mirrored()


def test_a_table_without_an_index_on_the_time_is_read_in_one_answer(matomo: Matomo) -> None:
    for number in range(1, 8):
        matomo.add_visit(number, NOON + SECOND * number)
    matomo.run()
    for index in ("config_datetime", "datetime", "idvisitor_time"):
        matomo.execute(f"ALTER TABLE {VISIT} DROP INDEX index_idsite_{index}")
    matomo.execute(f"UPDATE {VISIT} SET user_id = 'known'")
    assert matomo.run(VISIT, page_size=2)[VISIT].load.updated == 7


def test_the_lower_bound_is_inclusive_and_moved_back_by_the_overlap(matomo: Matomo) -> None:
    """An update that commits late carries a time before the watermark: half an hour later it must still be seen."""
    matomo.add_visit(1, NOON - timedelta(minutes=30))
    matomo.add_visit(2, NOON)
    matomo.run()
    matomo.execute(
        f"UPDATE {VISIT} SET visit_total_actions = 7, visit_last_action_time = %s WHERE idvisit = 1",
        [NOON - timedelta(minutes=29)],
    )
    matomo.add_visit(3, NOON)
    result = matomo.run(VISIT)[VISIT]
    assert (result.load.inserted, result.load.updated) == (1, 1)
    matomo.assert_mirrored()


def test_a_transaction_that_commits_after_the_run_is_caught_by_the_next(
    matomo: Matomo, mariadb_server, matomo_database: str
) -> None:
    matomo.add_visit(1, NOON - SECOND)
    with mariadb_server.connect(matomo_database, autocommit=False) as slow, slow.cursor() as cursor:
        cursor.execute(f"UPDATE {VISIT} SET visit_total_actions = 7 WHERE idvisit = 1")
        cursor.execute(f"INSERT INTO {ACTION} (name, hash, type) VALUES ('slow', 1, 1)")
        matomo.add(ACTION, name="fast")
        matomo.add_visit(2, NOON)
        matomo.run()
        slow.commit()
    results = matomo.run()
    assert results[VISIT].load.updated == 1
    # Its key was given out before one that is mirrored.
    assert results[ACTION].load.inserted == 1
    matomo.assert_mirrored()


def test_a_row_dated_in_the_future_does_not_stop_the_mirror(matomo: Matomo) -> None:
    matomo.add_visit(1, datetime(2999, 1, 1))
    watermark = matomo.run()[VISIT].watermark
    assert watermark is not None
    assert watermark < datetime(2900, 1, 1)


def test_texts_are_read_by_key_and_only_the_new_ones_are_inserted(matomo: Matomo) -> None:
    for number in (1, 2, 50_000):
        matomo.add(ACTION, idaction=number, name=f"page {number}")
    assert matomo.run(ACTION)[ACTION].documents_read == 3
    matomo.add(ACTION, idaction=50_001, name="page")
    result = matomo.run(ACTION)[ACTION]
    # From a margin below the newest key on.
    assert (result.documents_read, result.load.inserted, result.load.rows) == (2, 1, 4)
    assert matomo.run(ACTION, request=FULL)[ACTION].documents_read == 4


def test_a_missing_text_is_null_with_a_count_and_filled_when_it_arrives(matomo: Matomo) -> None:
    matomo.add_visit(1, visit_entry_idaction_url=5)
    matomo.add_view(1, 1, idaction_url=5, idaction_name=6)
    results = matomo.run()
    assert results[VISIT].load.missing_parents_null == 1
    assert results[VIEW].load.missing_parents_null == 2
    assert results[VIEW].load.rejected == 0
    assert matomo.rows(VIEW)[0][:4] == (1, 1, b"\x00visitor", 1)
    # Long after, so that no window reaches back to the visit.
    matomo.add_visit(2, NOON + timedelta(days=40))
    matomo.add(ACTION, idaction=5)
    matomo.add(ACTION, idaction=6)
    matomo.run()
    matomo.assert_mirrored()


def test_zero_means_no_text_and_nothing_waits_for_it(matomo: Matomo) -> None:
    matomo.add_visit(1, visit_exit_idaction_url=0)
    matomo.add_view(1, 1, idaction_url_ref=0)
    results = matomo.run()
    assert [results[table].load.missing_parents_null for table in (VISIT, VIEW)] == [0, 0]
    assert matomo.postgres.execute("SELECT count(*) FROM smartdiet.awaited_parents").fetchone() == (0,)
    matomo.assert_mirrored()


def test_a_page_view_whose_visit_is_not_there_waits_for_it_and_fetches_it_by_key(matomo: Matomo) -> None:
    old = NOON - timedelta(days=300)
    matomo.add_visit(8, NOON)
    matomo.add_view(1, 7)
    assert matomo.run()[VIEW].load.rejected == 1
    assert matomo.rejects(VIEW) == [('"1"', "idvisit", "missing_parent", "a row in matomo_log_visit(idvisit)", "")]
    # Older than any window of the next run.
    matomo.add_visit(7, old)
    matomo.run()
    matomo.assert_mirrored()
    assert matomo.rejects(VIEW) == []


def test_partitions_read_their_own_time_and_never_move_the_watermark(matomo: Matomo) -> None:
    march, april = datetime(2025, 3, 1), datetime(2025, 4, 1)
    for number, time in enumerate((march - SECOND, march, april - SECOND, april), start=1):
        matomo.add_visit(number, time)
    before = matomo.run()[VISIT].watermark
    matomo.execute(f"UPDATE {VISIT} SET visit_total_time = 5")
    result = matomo.run(VISIT, request=WindowRequest("range", march, april))[VISIT]
    assert (result.documents_read, result.load.updated, result.watermark) == (2, 2, before)
    rerun = matomo.run(VISIT, request=WindowRequest("range", march, to_newest=True))[VISIT]
    assert (rerun.documents_read, rerun.load.updated) == (3, 1)


def test_rows_that_matomo_purged_are_kept(matomo: Matomo) -> None:
    write_analytics(matomo.source, seed=1, scale=0.0002)
    matomo.run()
    before = matomo.rows(VISIT)
    matomo.execute(f"DELETE FROM {VISIT} WHERE idvisit <= 10")
    assert matomo.run(request=FULL)[VISIT].load.deleted == 0
    assert matomo.rows(VISIT) == before


def test_on_delete_delete_removes_what_matomo_purged_and_what_hangs_on_it(matomo: Matomo, tmp_path: Path) -> None:
    matomo.redeclare(
        tmp_path / "tables.yaml",
        (f"source_table: {VISIT}\n", f"source_table: {VISIT}\n    on_delete: delete\n"),
        (f"source_table: {VIEW}\n", f"source_table: {VIEW}\n    on_delete: delete\n"),
    )
    write_analytics(matomo.source, seed=1, scale=0.0002)
    matomo.run()
    matomo.execute(f"DELETE FROM {VISIT} WHERE idvisit <= 10")
    matomo.execute(f"DELETE FROM {VIEW} WHERE idvisit <= 10")
    results = matomo.run()
    assert results[VISIT].load.deleted == 10
    # They went with their visits, and their own run has nothing left to wait for.
    assert results[VISIT].load.cascaded[VIEW] > 0
    matomo.assert_mirrored()
    assert matomo.rejects(VIEW) == []


def test_on_delete_works_on_a_first_load_and_on_an_emptied_source(matomo: Matomo, tmp_path: Path) -> None:
    matomo.redeclare(
        tmp_path / "tables.yaml", (f"source_table: {ACTION}\n", f"source_table: {ACTION}\n    on_delete: delete\n")
    )
    matomo.add(ACTION, idaction=1)
    matomo.add_visit(1, visit_entry_idaction_url=1)
    assert matomo.run()[ACTION].load.deleted == 0
    matomo.execute(f"DELETE FROM {ACTION}")
    assert matomo.run()[ACTION].load.deleted == 1
    assert matomo.rows(VISIT)[0][matomo.schema.tables[VISIT].columns.index(
        matomo.schema.tables[VISIT].column("visit_entry_idaction_url"))] is None  # fmt: skip


def test_the_replaced_tools_file_loads_and_mirrors_unchanged(matomo: Matomo, tmp_path: Path) -> None:
    old = (Path(__file__).parents[2] / "fixtures/schemas/valid/replaced_matomo.yaml").read_text()
    matomo.declare(tmp_path / "matomo_schemas.yaml", old)
    assert [len(table.columns) for table in matomo.schema.tables.values()] == [60, 41, 5]
    # Its columns say NOT NULL where Matomo's may be NULL: what the generator leaves out is given here.
    write_analytics(matomo.source, seed=1, scale=0.0002)
    plugins = ("flash", "java", "pdf", "quicktime", "realplayer", "silverlight", "windowsmedia")
    matomo.execute(f"UPDATE {VISIT} SET {', '.join(f'config_{name} = 0' for name in plugins)}")
    matomo.run()
    matomo.assert_mirrored()


def test_a_table_the_replaced_tool_filled_goes_on_from_its_newest_time(matomo: Matomo) -> None:
    matomo.add_visit(1, NOON - timedelta(days=9))
    matomo.add_visit(2, NOON)
    matomo.run()
    matomo.postgres.execute("DELETE FROM smartdiet.sync_state")
    matomo.add_visit(3, NOON)
    result = matomo.run(VISIT)[VISIT]
    assert (result.documents_read, result.load.inserted) == (2, 1)


def test_a_column_matomo_lacks_is_an_error_that_names_it_and_nothing_is_written(matomo: Matomo) -> None:
    matomo.add_visit(1)
    matomo.execute(f"ALTER TABLE {VISIT} DROP COLUMN custom_dimension_5, DROP COLUMN config_flash")
    with pytest.raises(SourceTableError, match="has no columns custom_dimension_5, config_flash;"):
        matomo.run(VISIT)
    assert matomo.postgres.execute("SELECT to_regclass('matomo_log_visit')").fetchone() == (None,)


def test_columns_that_are_not_mirrored_are_reported(matomo: Matomo) -> None:
    matomo.execute(f"ALTER TABLE {VISIT} ADD COLUMN plugin_score INT UNSIGNED, ADD COLUMN custom_dimension_6 TEXT")
    assert matomo.run()[VISIT].unmirrored_columns == ("plugin_score", "custom_dimension_6")


def test_matomo_columns_all_mirrors_whatever_matomo_has(matomo: Matomo, tmp_path: Path) -> None:
    matomo.redeclare(
        tmp_path / "tables.yaml", (f"source_table: {VISIT}\n", f"source_table: {VISIT}\n    matomo_columns: all\n")
    )
    matomo.add_visit(1)
    matomo.run()
    matomo.execute(f"ALTER TABLE {VISIT} ADD COLUMN plugin_score INT UNSIGNED DEFAULT 4294967295, ADD COLUMN raw BLOB")
    matomo.execute(f"UPDATE {VISIT} SET raw = 'x'")
    # An added column is filled by reading the table whole.
    result = matomo.run()[VISIT]
    assert (result.window.kind, result.unmirrored_columns) == ("full", ())
    assert matomo.postgres.execute("SELECT plugin_score, raw FROM matomo_log_visit").fetchall() == [(4294967295, b"x")]
    assert matomo.run()[VISIT].window.kind == "incremental"
    # The page views' run looks at the visits too, and knows nothing of the new columns.
    matomo.add_view(1, 1)
    assert matomo.run(VIEW)[VIEW].load.inserted == 1


def test_another_prefix_leads_to_the_same_tables(matomo: Matomo) -> None:
    for table in (ACTION, VISIT, VIEW):
        matomo.execute(f"RENAME TABLE {table} TO {table.replace('matomo_', 'pwk_')}")
    matomo.resource = matomo.resource.model_copy(update={"table_prefix": "pwk_"})
    assert matomo.resource.check().ok
    assert matomo.run()[VISIT].load.rows == 0


def test_columns_of_any_name_are_mirrored_but_for_those_that_postgresql_cannot_have(
    matomo: Matomo, tmp_path: Path
) -> None:
    matomo.redeclare(
        tmp_path / "tables.yaml", (f"source_table: {VISIT}\n", f"source_table: {VISIT}\n    matomo_columns: all\n")
    )
    names = ["rate %", "%s", 'a"b', "{}", "a``b", "Upper", "select", "é"]
    for name in (*names, "xmin", "ctid", "_op"):
        matomo.execute(f"ALTER TABLE {VISIT} ADD COLUMN `{name}` INT DEFAULT 7")
    matomo.add_visit(1)
    matomo.run()
    matomo.add_visit(2)
    result = matomo.run()[VISIT]
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    found = {row[0] for row in matomo.postgres.execute(columns, [VISIT])}
    assert {name.replace("``", "`") for name in names} <= found
    assert set(result.unmirrored_columns) == {"xmin", "ctid", "_op"}
