"""No value of a document and no secret is in what the doctor says, whatever it finds."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartdiet_assets.doctor.run import examine_all
from smartdiet_assets_tests.support.checked import Checked

MARK = "MARK"


def test_no_value_of_a_document_is_in_a_finding(healthy: Checked, postgres: psycopg.Connection[Any]) -> None:
    healthy.save("people", 0, email=MARK, role=MARK)
    healthy.save("teams", 0, name=MARK)
    healthy.source.notes.insert_one({"_id": MARK, "person": MARK, "text": MARK * 9})
    healthy.sync()
    healthy.source.meals.drop()
    healthy.source.people.drop_indexes()
    postgres.execute("ALTER TABLE teams ALTER COLUMN code TYPE TEXT USING name || id; DROP INDEX people_team_id_idx")
    postgres.execute("UPDATE smartdiet.sync_state SET table_name = 'gone' WHERE table_name = 'menus'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        postgres.execute("CREATE UNIQUE INDEX CONCURRENTLY once ON people ((1))")
    found = list(examine_all())
    checks = {(one.part, one.check) for one in found if one.status != "passed"}
    assert checks >= {
        ("mongodb", "collections"), ("mongodb", "indexes"), ("postgres", "tables"), ("postgres", "indexes"),
        ("postgres", "invalid indexes"), ("postgres", "old bookkeeping"),
    }  # fmt: skip
    assert MARK not in str(found)
    assert str(healthy.application.id_of("people", 0)) not in str(found)


@pytest.mark.parametrize("port", ["1", "", MARK])
def test_no_secret_is_in_a_finding(healthy: Checked, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path("dagster")).mkdir()
    (Path("dagster") / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: {{{MARK}: {MARK}}}}}}}")
    Path(".env").write_text(f"MATOMO_PASSWRD={MARK}\nBATCH_SIZE={MARK}\nSMARTDIET_SCHEDULE={MARK}\n")
    for name in ("POSTGRES_PASSWORD", "MATOMO_PASSWORD"):
        monkeypatch.setenv(name, MARK)
    monkeypatch.setenv("MONGODB_URL", f"mongodb://reader:{MARK}@127.0.0.1:{port or 1}/?authSource=admin")
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", f"postgresql://dagster:{MARK}@127.0.0.1:{port}/dagster")
    monkeypatch.setenv("POSTGRES_PORT", port)
    monkeypatch.setenv("CONNECT_TIMEOUT", "2")
    found = list(examine_all())
    assert {one.part for one in found if one.failed} >= {"settings", "dagster", "mongodb"}
    assert MARK not in str(found)
