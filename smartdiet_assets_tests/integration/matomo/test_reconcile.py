"""The reconcile pass over Matomo's tables: the same comparison, with its keys for ids."""

from pathlib import Path

import psycopg

from smartdiet_assets.demo.analytics import write_analytics
from smartdiet_assets.mirror.reconciliation import TableReconciliation, build_source_opener, reconcile_tables
from smartdiet_assets_tests.support.matomo_mirror import VIEW, VISIT, Matomo


def reconcile(matomo: Matomo, *, force: bool = False) -> dict[str, TableReconciliation]:
    info = matomo.postgres.info
    return dict(
        reconcile_tables(
            matomo.schema,
            matomo.schema.tables,
            lambda: psycopg.connect(info.dsn, password=info.password),
            build_source_opener(matomo.schema, {"matomo": matomo.resource}),
            run_id="pass",
            force=force,
        )
    )


def test_what_matomo_purged_is_found_without_a_run_and_within_the_limits(matomo: Matomo, tmp_path: Path) -> None:
    matomo.redeclare(
        tmp_path / "tables.yaml",
        (f"source_table: {VISIT}\n", f"source_table: {VISIT}\n    on_delete: delete\n"),
        (f"source_table: {VIEW}\n", f"source_table: {VIEW}\n    on_delete: delete\n"),
    )
    write_analytics(matomo.source, seed=1, scale=0.0002)
    matomo.run()
    visits = len(matomo.rows(VISIT))
    kept = "idvisit % 5 = 0"
    matomo.execute(f"DELETE FROM {VISIT} WHERE NOT {kept}")
    matomo.execute(f"DELETE FROM {VIEW} WHERE NOT {kept}")
    before = matomo.rows(VISIT), matomo.rows(VIEW)

    refused = reconcile(matomo)
    assert "max_deletions (10%)" in refused[VISIT].error
    assert "max_deletions (10%)" in refused[VIEW].error
    assert (matomo.rows(VISIT), matomo.rows(VIEW)) == before

    results = reconcile(matomo, force=True)
    assert (results[VISIT].counts.removed, results[VISIT].counts.cascaded) == (visits - len(matomo.rows(VISIT)), {})
    assert results[VIEW].counts.removed > 0
    assert results["matomo_log_action"].left_out == "on_delete: keep"
    matomo.assert_mirrored()
