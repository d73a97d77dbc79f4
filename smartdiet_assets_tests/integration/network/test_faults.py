"""Whatever the network does to a sync, it ends: with the right tables after a retry, or with a clear error."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from smartdiet_assets.cli.reports import show_progress
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets_tests.support.broken import (
    DOCUMENTS,
    MONGO_TABLES,
    SCHEMA,
    SHORT_RETRIES,
    Network,
)
from smartdiet_assets_tests.support.fault_proxy import Fault

pytestmark = pytest.mark.timeout(180)

NAMES = {"mongo": "MongoDB", "postgres": "PostgreSQL"}
#: Bytes after which a load is under way: the answers of Mongo, the rows on their way to PostgreSQL.
MID_BATCH = {"mongo": ("down", 25_000), "postgres": ("up", 60_000)}
BREAKS = {
    "reset": Fault("reset"),
    "stalled_towards_the_server": Fault("stall", one_way=True, direction="up"),
    "stalled_towards_us": Fault("stall", one_way=True, direction="down"),
}
SERVERS = ("mongo", "postgres")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("how", BREAKS)
def test_a_break_in_mid_batch_is_retried(network: Network, server: str, how: str) -> None:
    direction, after = MID_BATCH[server]
    if not BREAKS[how].one_way:
        fault = replace(BREAKS[how], direction=direction, after=after)
    elif direction == BREAKS[how].direction:
        fault = replace(BREAKS[how], after=after)
    else:
        # The small direction: questions to Mongo, answers of PostgreSQL.
        fault = replace(BREAKS[how], after=1_600 if server == "mongo" else 4_000)
    network.proxies[server].strike(fault)
    sync = network.sync(*MONGO_TABLES)
    assert not sync.errors
    assert fault.struck == 1
    assert sum(map(len, sync.retries.values())) == 1
    assert network.row_counts == [0]
    network.assert_mirrored()


@pytest.mark.parametrize(
    ("server", "how"), [("mongo", "refused"), ("mongo", "stalled"), ("postgres", "refused"), ("postgres", "reset")]
)
def test_a_server_that_takes_no_connection_is_retried(network: Network, server: str, how: str) -> None:
    proxy = network.proxies[server]
    if how == "refused":
        proxy.refuse()
    else:
        proxy.strike(Fault("reset" if how == "reset" else "stall", times=None))

    def heal() -> None:
        proxy.accept()
        proxy.strike(Fault("reset", times=0))

    network.on_failure = heal
    sync = network.sync(*MONGO_TABLES)
    assert not sync.errors
    assert list(sync.retries) == ["companies"]
    network.assert_mirrored()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("how", ["refused", "stalled"])
def test_a_server_that_never_comes_back_is_a_clear_error(network: Network, server: str, how: str) -> None:
    direction, after = MID_BATCH[server]
    proxy = network.proxies[server]
    if how == "refused":
        proxy.refuse()
    else:
        proxy.strike(Fault("stall", after, direction, times=None))
    sync = network.sync("companies")
    told = sync.errors["companies"]
    assert "\n" not in told
    assert told.startswith(("companies: ", "reading companies", "connecting to PostgreSQL database"))
    reasons = {
        ("mongo", "refused"): "no server answers; check it and MONGODB_URL",
        ("mongo", "stalled"): "no answer came in time",
        ("postgres", "refused"): "no server answers; check it, POSTGRES_HOST and POSTGRES_PORT",
        ("postgres", "stalled"): "no byte came through any more",
    }
    assert reasons[server, how] in told
    waits = sync.retries["companies"]
    assert len(waits) == SHORT_RETRIES.retries, "tried again as often as the policy says"
    assert waits == sorted(waits)
    assert waits[0] < waits[-1], "and waited longer each time"
    assert told.endswith("the next run goes on where the last one ended")
    assert network.row_counts == [0] * SHORT_RETRIES.retries
    assert network.count("companies") == 0


@pytest.mark.parametrize("server", SERVERS)
def test_the_tables_of_a_run_wait_once_for_a_server_that_is_away(network: Network, server: str) -> None:
    lonely = [f"lonely_{n}" for n in range(6)]
    network.schema_files[0].write_text(SCHEMA + "".join(f"  {name}:\n    include_base: true\n" for name in lonely))
    network.proxies[server].refuse()
    printed = StringIO()
    with show_progress(Console(file=printed, width=1_000)):
        sync = network.sync(*MONGO_TABLES, *lonely)
    assert sync.errors.keys() == {*MONGO_TABLES, *lonely}
    assert sum(map(len, sync.retries.values())) == SHORT_RETRIES.retries
    untried = {name for name, error in sync.errors.items() if f"{name}: not tried, as " in error}
    assert len(untried & set(lonely)) >= len(lonely) - SHORT_RETRIES.retries
    assert sync.shown == {name: error for name, error in sync.errors.items() if name != "users"}
    assert all(failure.startswith("StepFailure: ") for failure in sync.failures)
    assert not any("Exceeded max_retries" in failure for failure in sync.failures)
    # What a table in another process of the run would learn with its first try.
    assert {name for name, sentence in sync.given_up.items() if "In vain after 3 tries" in sentence} == {NAMES[server]}
    # In Dagster they stand with the tables that said them, in the order of the tables.
    warnings = sorted(sync.warnings, key=lambda line: line.partition(" was in vain")[0][-len("try 1 of 3") :])
    for lines in (printed.getvalue().splitlines(), warnings):
        waits = [line for line in lines if "All tables of the run wait for" in line]
        assert [
            f"try {number} of 3 was in vain, the next one is in" in line for number, line in enumerate(waits, 1)
        ] == [True] * SHORT_RETRIES.retries


@pytest.mark.parametrize("server", SERVERS)
def test_a_slow_network_is_waited_for(network: Network, server: str) -> None:
    network.proxies[server].slow_down(100_000)
    sync = network.sync(*MONGO_TABLES)
    assert not sync.errors
    assert not sync.retries
    network.assert_mirrored()


@pytest.mark.parametrize("how", ["reset", "stall"])
@pytest.mark.parametrize("commit", ["unsent", "unanswered"])
def test_a_connection_cut_while_committing_ends_in_the_same_tables(network: Network, how: str, commit: str) -> None:
    # A first run commits the mirror's own tables before it begins; the commit to cut is the one of the rows.
    apply_bookkeeping(network.postgres)
    fault = network.proxies["postgres"].strike(Fault(how, commit=commit))
    sync = network.sync(*MONGO_TABLES)
    assert not sync.errors
    assert fault.struck == 1
    assert list(map(len, sync.retries.values())) == [1]
    # What was committed without our knowing is found by the next try, which has nothing to write.
    assert network.row_counts == [DOCUMENTS if commit == "unanswered" else 0]
    written = sync.outcome.tables["companies"].inserted
    assert written == (0 if commit == "unanswered" else DOCUMENTS)
    network.assert_mirrored()
