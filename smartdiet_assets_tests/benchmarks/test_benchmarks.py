"""The benchmarks at a tiny size: that everybody does the same work. Never how long it takes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from smartdiet_assets.demo.mariadb_server import has_mariadb
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.benchmarks.cores import ONE_AFTER_ANOTHER
from smartdiet_assets_tests.benchmarks.logbooks import build_logbooks
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, UnequalWorkError, measure
from smartdiet_assets_tests.benchmarks.operations import CHANGES
from smartdiet_assets_tests.benchmarks.peers.entering import NOT_INSTALLED, REPLACED
from smartdiet_assets_tests.benchmarks.plot import write_plot
from smartdiet_assets_tests.benchmarks.projection import Costs, Site, forecast, list_forecasts
from smartdiet_assets_tests.benchmarks.protection import PLAIN
from smartdiet_assets_tests.benchmarks.report import compose_cells, compose_markdown
from smartdiet_assets_tests.benchmarks.results import (
    Growth,
    Listing,
    Part,
    Result,
    fit_exponent,
    read_parts,
    write_parts,
)
from smartdiet_assets_tests.benchmarks.sampling import name_part
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.benchmarks.suite import BENCHMARKS
from smartdiet_assets_tests.benchmarks.whole import POSTGRES, run_whole
from smartdiet_assets_tests.conftest import skip_or_fail

TINY = Settings(
    documents=1_200, parents=50, scale=0.0001, pairs=1, real_documents=6_000, rows=(500,), wide_documents=300
)


@pytest.fixture
def servers(postgres_server: EmbeddedPostgres, mongo_server: EmbeddedMongo) -> Servers:
    return Servers(postgres_server, mongo_server)


def run(name: str, servers: Servers) -> list[Comparison]:
    comparisons = [result for result in BENCHMARKS[name](servers, TINY) if isinstance(result, Comparison)]
    assert all(comparison.benchmark == name for comparison in comparisons)
    return [comparison for comparison in comparisons if comparison.note != NOT_INSTALLED]


def test_full_load_and_its_floor_end_in_the_same_table(servers: Servers) -> None:
    for comparison in run("full_load", servers):
        assert comparison.work["rows"] == TINY.documents
        # Primary key, unique key, foreign key, and the indexes on day and updated_at.
        assert comparison.work["keys"] == 5
        assert len(comparison.ratios) == TINY.pairs


def test_the_real_size_is_loaded_whole_and_without_other_tools(servers: Servers) -> None:
    found = run("real_size", servers)
    assert {comparison.work["rows"] for comparison in found} == {6_000}
    assert {comparison.case.partition(":")[0] for comparison in found} == {"from memory", "from the wire"}


def test_every_way_of_loading_a_company_ends_with_the_same_documents(servers: Servers) -> None:
    for comparison in BENCHMARKS["company"](servers, TINY):
        if isinstance(comparison, Listing):
            assert sum(int(share.rstrip("%")) for _, share in comparison.rows) == pytest.approx(100, abs=4)
            continue
        assert isinstance(comparison, Comparison)
        if comparison.case == "from the wire" and comparison.ratios:
            assert comparison.work["tables"] == 31
            assert comparison.work["documents"]
            assert comparison.work["items"]


def test_wide_documents_are_loaded_by_every_command(servers: Servers) -> None:
    found = run("wide", servers)
    assert {comparison.work["documents"] for comparison in found} == {300}
    assert all(comparison.ratios for comparison in found)


def test_runs_that_look_for_undeclared_fields_do_the_same_as_those_that_do_not(servers: Servers) -> None:
    assert [comparison.against for comparison in run("protection", servers)] == [PLAIN, PLAIN]
    assert [comparison.case for comparison in run("drift", servers)] == ["first load", "1% changed", "10% changed"]


def test_incremental_runs_read_and_update_what_changed_and_nothing_else(servers: Servers) -> None:
    found = run("incremental", servers)
    changed = {comparison.case: comparison.work["changed"] for comparison in found}
    assert changed["0.1% changed, table 1x"] == 1
    assert changed["1.0% changed, table 8x"] == 24
    assert changed["10.0% changed, table 8x"] == 240
    assert changed["30 changes, table 8x"] == changed["30 changes, table 8x, reading alone"] == 30


def test_growth_is_measured_over_three_decades(servers: Servers) -> None:
    growths = list(BENCHMARKS["growth"](servers, TINY))
    assert len(growths) == 3
    for growth in growths:
        assert isinstance(growth, Growth)
        assert growth.rows == (10, 100, 1_000, 10_000)


def test_memory_is_that_of_a_sync_in_a_process_of_its_own(servers: Servers) -> None:
    for comparison in run("memory", servers):
        assert isinstance(comparison.work["MB"], int)
        assert 50 < comparison.work["MB"] < 500


def test_every_way_of_using_the_cores_ends_in_the_same_tables(servers: Servers) -> None:
    comparison, listing = BENCHMARKS["cores"](servers, TINY)
    assert isinstance(comparison, Comparison)
    assert comparison.work["tables"] == 31
    assert isinstance(listing, Listing)
    assert [row[0] for row in listing.rows] == [
        ONE_AFTER_ANOTHER,
        "a sync, two tables at a time in threads",
    ]


def test_a_moment_belongs_to_the_innermost_known_part() -> None:
    assert name_part(sys._getframe()) == "everything else"
    frames = []
    json.loads("[1]", parse_int=lambda text: frames.append(sys._getframe()))
    assert name_part(frames[0]) == "Dagster: turning events into JSON"


def test_an_unchanged_reimport_writes_nothing(servers: Servers) -> None:
    for comparison in run("unchanged", servers):
        assert comparison.work["documents"] == comparison.work["rows"] == TINY.documents
        assert comparison.work["written"] == 0


def test_smart_diff_touches_the_true_delta_and_nothing_else(servers: Servers) -> None:
    found = run("smart_diff", servers)
    assert {comparison.case.partition(" ")[0] for comparison in found} == {"0%", "2%", "30%", "100%", "all"}
    for comparison in found:
        parents = comparison.work["parents"]
        assert isinstance(parents, int)
        assert comparison.work["items"] == 15 * parents
        if comparison.case.startswith("all"):
            assert comparison.work["touched"] == 2 * 15 * parents
            assert comparison.work["mode"] == "replace"
        else:
            assert comparison.work["touched"] == (0 if comparison.case.startswith("0%") else 2 * parents)
            assert comparison.work["touched by the replaced way"] == 2 * 15 * parents
            assert comparison.work["mode"] == "delta"


def test_operations_are_the_delta_up_to_the_threshold_and_a_replacement_above(servers: Servers) -> None:
    assert [comparison.work["operations"] for comparison in run("operations", servers)] == [0, 2, 30, 15, 100, 100]
    assert [change.mode for change in CHANGES] == ["delta"] * 4 + ["replace"] * 2


def test_matomo_and_its_floor_end_in_the_same_table(servers: Servers) -> None:
    if not has_mariadb():
        skip_or_fail("this machine has no MariaDB")
    views, visits = run("matomo", servers)
    assert (visits.work["rows"], views.work["rows"]) == (TINY.documents, 2 * TINY.documents)


def test_a_refreshed_database_is_the_one_that_its_client_programs_make(servers: Servers) -> None:
    for comparison in run("refresh_postgres", servers):
        assert comparison.work["rows"] == TINY.documents
        assert comparison.work["keys"] == 5


def test_an_idle_run_has_as_many_assets_as_its_floor(servers: Servers) -> None:
    assert [comparison.work["assets"] for comparison in run("idle", servers)] == [31]


@pytest.mark.timeout(1200)
def test_whole_commands_leave_what_the_replaced_tool_leaves(servers: Servers) -> None:
    found = list(run_whole(servers, TINY, tables=("user_events",), storages=(POSTGRES,)))
    loads = [one for one in found if isinstance(one, Comparison) and one.against == REPLACED]
    assert {one.case.rpartition(", ")[2] for one in loads} == {"records in PostgreSQL", "until Dagit shows it"}
    waited_for = ("first load", "first load, shown", "nothing changed", "nothing changed, shown", "1 % changed")
    assert len(loads) == len((*waited_for, "started in Dagit"))
    assert all(one.work["rows"] for one in loads)
    assert {one.work["changed"] for one in loads if "1 % changed" in one.case} != {0}
    assert [one.case for one in found if one not in loads] == [
        "the code location",
        "smartdiet status",
        "smartdiet status, CPU time",
        "smartdiet check",
    ]


def test_documents_are_the_same_in_every_run_and_of_the_size_of_real_ones() -> None:
    first, second = build_logbooks(1_000), build_logbooks(1_000)
    assert first.batches == second.batches
    assert 250 <= sum(map(len, first.batches)) / 1_000 <= 280
    assert len(first.table.columns) == 12


def test_unequal_work_is_not_compared() -> None:
    contestants = [
        Contestant("all", lambda: None, lambda: {"rows": 2}),
        Contestant("half", lambda: None, lambda: {"rows": 1}),
    ]
    with pytest.raises(UnequalWorkError, match="half has rows 1, others have 2"):
        measure("any", "case", contestants, 1, lambda what, number, total: None)


def test_the_contestants_take_turns() -> None:
    turns: list[str] = []
    contestants = [Contestant(name, lambda name=name: turns.append(name), dict) for name in ("subject", "floor")]  # type: ignore[misc]
    measure("any", "case", contestants, 3, lambda what, number, total: None)
    assert turns == ["subject", "floor"] * 3


def test_who_fails_tries_again_and_is_left_out_at_last() -> None:
    calls: list[str] = []

    def fail(name: str, *successes: int) -> None:
        calls.append(name)
        if calls.count(name) not in successes:
            raise OSError

    contestants = [
        Contestant("never", lambda: fail("never"), dict, attempts=2),
        Contestant("late", lambda: fail("late", 2, 4), dict, attempts=2),
    ]
    rounds = measure("any", "case", contestants, 2, lambda what, number, total: None)
    assert (list(rounds.failures), calls.count("never")) == (["never"], 2)
    assert len(rounds.seconds["late"]) == 2
    assert "never" not in rounds.seconds


COMPARISON = Comparison(
    "full_load", "from memory", "floor", (3.0, 1.5, 2.0), {"rows": 1200}, (1.5, 1.4, 1.6), 1.6, obstacle="a slow door."
)
GROWTH = Growth("full load", (10, 1_000), (1.0, 10.0))


def compose(*results: Result, part: str = "full_load") -> str:
    return compose_markdown([Part(part, TINY.describe(), "2 cores.", results)])


def test_results_are_the_median_ratio_and_its_spread() -> None:
    cells = ["full_load", "from memory", "floor", "2.00", "1.50..3.00", "1.50", "≤ 1.60 ✗"]
    assert compose_cells(COMPARISON) == cells
    report = compose(COMPARISON)
    assert f"| {' | '.join(cells[1:])} |" in report
    assert "| full_load, from memory | floor | 2.00 | ≤ 1.60 ✗ |" in report
    assert "- from memory: rows 1,200" in report


def test_a_missed_aim_comes_with_what_stands_in_its_way() -> None:
    assert "- from memory: a slow door." in compose(COMPARISON)
    assert "a slow door" not in compose(replace(COMPARISON, at_most=2.0))


def test_an_aim_that_has_no_ratio_says_why() -> None:
    absent = Comparison("full_load", "from the wire", "Sling", (), at_most=2 / 3, note=NOT_INSTALLED)
    assert "| full_load, from the wire | Sling | not installed | ≤ 0.67 |" in compose(absent)


def test_what_was_measured_can_be_read_again(tmp_path: Path) -> None:
    parts = [
        Part("full_load", TINY.describe(), "2 cores.", [COMPARISON]),
        Part("growth", TINY.describe(), "2 cores.", [GROWTH, Listing("Title", ("a", "b"), [("1", "2")])]),
    ]
    write_parts(parts, tmp_path / "kept.json")
    assert compose_markdown(read_parts(tmp_path / "kept.json")) == compose_markdown(parts)
    assert read_parts(tmp_path / "nothing.json") == []


def test_a_tool_that_is_missing_has_a_row_that_says_so() -> None:
    comparison = Comparison("full_load", "from the wire", "Sling", (), at_most=2 / 3, note=NOT_INSTALLED)
    assert compose_cells(comparison) == [
        "full_load", "from the wire", "Sling", "not installed", "", "", "≤ 0.67",
    ]  # fmt: skip


def test_a_pipe_in_a_name_does_not_end_its_cell() -> None:
    comparison = Comparison("refresh", "all", "pg_dump | pg_restore", (1.0,))
    assert r"| pg_dump \| pg_restore |" in compose(comparison)


def test_growth_is_an_exponent() -> None:
    assert fit_exponent([10, 100, 1000], [1, 10, 100]) == pytest.approx(1)
    assert fit_exponent([10, 100, 1000], [3, 3, 3]) == pytest.approx(0)
    assert "| full load | 10 | 1,000 | 10.0 | 0.50 | 0.50 |" in compose(GROWTH, part="growth")


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it comes with the extra `benchmark`")
    rival = replace(COMPARISON, case="from the wire", against="Sling")
    wait = replace(COMPARISON, benchmark="whole", against=REPLACED)
    write_plot([wait, COMPARISON, rival, GROWTH], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_names_every_benchmark() -> None:
    command = [sys.executable, "-m", "smartdiet_assets_tests.benchmarks", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ", ".join(BENCHMARKS) in " ".join(text.split())


def test_on_paper_more_workers_help_until_something_is_used_up() -> None:
    costs = Costs(
        document=1e-4, wait=0.0, worker=8e-5, source=1e-5, postgres=4e-5, wire=1_000, wal=500, shard=0.1, step=2.0,
        index=1e-7, publish=1e-6,
    )  # fmt: skip
    one, four = (forecast(costs, Site(), 10**8, workers) for workers in (1, 4))
    assert one.copy == pytest.approx(10**8 * 1e-4 + 200 * 0.1 + 16 * 2)
    assert 3.5 < one.copy / four.copy <= 4
    narrow = forecast(costs, Site(network=25e6), 10**8, 16)
    assert narrow.copy > 10**8 * 1_000 / 25e6
    assert max(narrow.used, key=lambda name: narrow.used[name]) == "network"
    assert 0.9 < narrow.used["network"] <= 1
    assert len(list_forecasts(costs).rows) == 6
