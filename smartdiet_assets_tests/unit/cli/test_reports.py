"""Tables fit the output they are printed to, whatever they hold: as they are, or as lists that leave nothing out."""

import io
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from smartdiet_assets.cli.reports import build_rejects_grid, build_sync_grid, open_console, print_grid
from smartdiet_assets.load.records.inspection import RejectedRow
from smartdiet_assets.mirror.outcome import SyncOutcome, TableOutcome

WORDS = st.text(st.sampled_from("ab_[]/\\{}%'\"éŁ✓:#.-"), min_size=1, max_size=40)


def print_at(width: int | None, grid: object) -> str:
    file = io.StringIO()
    # A width makes it a terminal of that width.
    print_grid(
        Console(file=file, width=width or 140, force_terminal=width is not None, color_system=None, emoji=False), grid
    )  # type: ignore[arg-type]
    return file.getvalue()


def build_reject(table: str, document: str, column: str) -> RejectedRow:
    seen = datetime(2026, 1, 2, 3, 4, 5)
    return RejectedRow(table, document, column, "wrong_type", "TIMESTAMP(3)", "string", 1234, 2, seen, seen, "run")


@given(st.integers(10, 250) | st.none(), st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=3))
def test_nothing_of_a_table_is_left_out_or_taken_for_a_mark(
    width: int | None, names: list[tuple[str, str, str]]
) -> None:
    rejects = [build_reject(*texts) for texts in names]
    shown = print_at(width, build_rejects_grid(rejects))
    for reject in rejects:
        for text in (reject.table_name, reject.document_id, reject.column_name, reject.reason, reject.expected):
            assert text in shown
    assert shown.count("2026-01-02 03:04:05") == len(rejects)
    assert shown.count("1,234") == len(rejects)


@pytest.mark.parametrize("width", [20, 40, 80, 108, 140, 300])
def test_a_sync_says_everything_at_any_width(width: int) -> None:
    tables = {
        "users_events_notifications": TableOutcome(inserted=1, documents_read=77, mode="incremental", seconds=5.25)
    }
    shown = print_at(width, build_sync_grid(SyncOutcome({**tables, "failed": TableOutcome(error="x")}, seconds=9.75)))
    for text in ("read", "inserted", "updated", "deleted", "unchanged", "rejected", "mode", "seconds"):
        assert text in shown
    for text in ("77", "incremental", "5.25", "9.75", "failed"):
        assert text in shown


def test_lines_of_a_terminal_are_not_wider_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = build_rejects_grid([build_reject("users_quizzs", "5f0000000000000000000001", "created_at")])
    for width in (40, 80, 120, 160, 250):
        assert max(map(len, print_at(width, grid).splitlines())) <= width


def test_a_file_has_lines_as_long_as_the_table_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    line = next(
        line
        for line in print_at(None, build_rejects_grid([build_reject("t" * 90, "d" * 90, "c")])).splitlines()
        if "ttt" in line
    )
    assert "t" * 90 in line
    assert "d" * 90 in line


def test_the_width_that_is_asked_for_holds_for_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert open_console().width == 50
    monkeypatch.delenv("COLUMNS")
    assert open_console().width == 140
