"""Where a run spends its time: what the main thread is doing, looked at every millisecond.

Here: the sampler, and to which part a moment belongs: the innermost call that is of a known part. Not here: what is
run. Shares come out, and no seconds.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType

from smartdiet_assets_tests.benchmarks.results import Listing

_INTERVAL_SECONDS = 0.001
#: A thread that computes gives way no faster than this; much less than the interval, or waiting would count for more.
_SWITCH_SECONDS = 0.0001
_DRIVER = "sqlalchemy.engine.default"
#: The first that fits counts: a module, all below it, or a function of it after a colon.
PARTS = (
    ("SQLite: commits", (f"{_DRIVER}:do_commit", f"{_DRIVER}:do_rollback")),
    ("SQLite: statements", (f"{_DRIVER}:do_execute", f"{_DRIVER}:do_executemany")),
    ("SQLite: opening and closing its files", (f"{_DRIVER}:connect", f"{_DRIVER}:do_close", f"{_DRIVER}:do_terminate")),
    ("SQLAlchemy: engines, pools, composing statements", ("sqlalchemy", "sqlite3", "alembic")),
    ("Dagster: event log and run records", (
        "dagster._core.storage", "dagster._core.instance", "dagster._core.event_api",
    )),
    ("Dagster: turning events into JSON", ("dagster._serdes", "dagster_shared.serdes", "json")),
    ("Dagster: definitions, job and plan", (
        "dagster._core.definitions", "dagster._core.execution.plan.plan", "dagster._core.execution.plan.inputs",
        "dagster._core.snap", "dagster._core.remote_representation", "dagster._core.selector", "dagster._config",
        "dagster._core.execution.build_resources", "dagster._core.asset_graph_view",
    )),
    ("Dagster: records and their checks", ("dagster_shared", "pydantic")),
    ("Dagster: log", ("logging", "dagster._core.log_manager", "dagster._loggers")),
    ("Dagster: executing steps, and the rest", ("dagster",)),
    ("MongoDB's driver", ("pymongo", "bson")),
    ("PostgreSQL's driver, waiting for it included", ("psycopg", "psycopg_binary")),
    ("the project itself", ("smartdiet_assets",)),
)  # fmt: skip
_OTHER = "everything else"


def sample(run: Callable[[], object], times: int) -> Counter[str]:
    """Run something several times and count the moments of each part, the average of the runs in thousandths."""
    counts: Counter[str] = Counter()
    main, done = threading.get_ident(), threading.Event()

    def look() -> None:
        while not done.wait(_INTERVAL_SECONDS):
            counts[name_part(sys._current_frames()[main])] += 1

    watcher = threading.Thread(target=look, daemon=True)
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    watcher.start()
    try:
        for _ in range(times):
            run()
    finally:
        done.set()
        watcher.join()
        sys.setswitchinterval(before)
    return counts


def name_part(frame: FrameType | None) -> str:
    """Name the part that the innermost call of a known module belongs to."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        function = f"{module}:{frame.f_code.co_name}"
        for name, prefixes in PARTS:
            if any(prefix in (module, function) or module.startswith(f"{prefix}.") for prefix in prefixes):
                return name
        frame = frame.f_back
    return _OTHER


def compose_shares(title: str, samples: Mapping[str, Counter[str]], whole: str) -> Listing:
    """Compose a table of the parts as shares of the moments of `whole`, which has 100 % in all."""
    total = max(1, samples[whole].total())
    names = [name for name, _ in PARTS] + [_OTHER]
    rows = [
        [name, *(f"{counts[name] / total:.0%}" for counts in samples.values())]
        for name in names
        if any(counts[name] for counts in samples.values())
    ]
    rows.append(["in all", *(f"{counts.total() / total:.0%}" for counts in samples.values())])
    return Listing(title, ["part", *samples], rows)
