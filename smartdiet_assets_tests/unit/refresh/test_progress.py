"""Progress of a refresh: bars on a terminal, lines elsewhere."""

import io

from rich.console import Console

from smartdiet_assets.refresh.progress import LineProgress, show_refresh


def test_lines_tell_each_finished_item_and_now_and_then_a_long_one() -> None:
    clock = iter([0.0, 5.0, 11.0, 12.0, 20.0])
    lines: list[str] = []
    progress = LineProgress(lines.append, lambda: next(clock))
    progress.begin("users", 1_000)
    progress.advance("users", 400, 1_000_000)
    progress.advance("users", 400, 1_000_000)
    progress.advance("users", 100, 500_000)
    progress.finish("users", "read later than the others")
    progress.say("swapping in 1 collections")
    assert lines == [
        "users: 800 of 1,000, 2.0 MB",
        "users: 900 copied, 2.5 MB, 20.0 s; read later than the others",
        "swapping in 1 collections",
    ]


def test_a_terminal_shows_bars_and_names_with_brackets_as_they_are() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with show_refresh(console) as progress:
        progress.begin("log[red]", None)
        progress.advance("log[red]", 5, 1_000_000)
        progress.finish("log[red]")
        progress.say("swapping [in]")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "log[red]" in shown
    assert "swapping [in]" in shown
    assert "1.0 MB" in shown


def test_a_file_gets_lines() -> None:
    console = Console(file=io.StringIO(), width=120)
    with show_refresh(console) as progress:
        progress.begin("users", 1)
        progress.finish("users")
    assert console.file.getvalue().startswith("users: 0 copied")  # type: ignore[attr-defined]
