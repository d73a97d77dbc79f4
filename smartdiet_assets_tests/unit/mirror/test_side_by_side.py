"""Tables are run side by side, parents before their children, and one that is killed keeps back its children alone."""

import os
import signal
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import pytest

from smartdiet_assets.mirror.side_by_side import Processes, Threads, Workers, run_in_order

PARENTS: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": (), "d": ("c",)}


def prepare() -> None:
    """A process needs nothing."""


def work(name: str, killed: str) -> str:
    if name == killed:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def run(workers: Workers, killed: str = "") -> dict[str, bool]:
    """Run the tables; whether each that ran went well, in the order in which they ended."""
    ended: dict[str, bool] = {}

    def end(name: str, future: "Future[Any]") -> bool:
        ended[name] = future.exception() is None
        return ended[name]

    with closing(workers):
        groups = [(name,) for name in PARENTS]
        run_in_order(groups, PARENTS, workers, lambda names: {n: workers.submit(work, n, killed) for n in names}, end)
    return ended


@pytest.mark.parametrize("most", [1, 2])
def test_parents_come_first(most: int) -> None:
    ended = run(Threads(most))
    assert ended == dict.fromkeys(PARENTS, True)
    assert list(ended).index("a") < list(ended).index("b")


def test_a_process_that_is_killed_ends_its_table_and_not_the_run() -> None:
    """As by a kernel that is out of memory."""
    assert run(Processes(1, prepare), killed="a") == {"a": False, "c": True, "d": True}
