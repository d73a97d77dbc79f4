"""A process that refreshes one MongoDB database from another, and halts before a command: its parent kills it there.

Arguments: the server's URL, the databases of source and target, the command's name, and which one of its kind.
"""

import signal
import sys
import threading
from typing import Any

from pymongo import monitoring

from smartdiet_assets.refresh.mongo.refresh import MongoRefresh
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.refresh.running import prepare_refresh, run_refresh
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.refreshed import CONFIG


class Halt(monitoring.CommandListener):
    """Halts for ever before a command that writes is sent."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._left = number

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == self._name:
            self._left -= 1
            if self._left == 0:
                print("there", flush=True)
                threading.Event().wait()

    def succeeded(self, event: Any) -> None:
        """Nothing to do."""

    def failed(self, event: Any) -> None:
        """Nothing to do."""


def main() -> None:
    # A test run that a shell started in its background would have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    url, source, target, name, number = sys.argv[1:]
    monitoring.register(Halt(name, int(number)))
    refresh = MongoRefresh(
        load_schema(CONFIG),
        MongoResource(url=url, database=source),
        MongoResource(url=url, database=target),
        to="local",
    )
    plan = prepare_refresh(refresh, lambda plan: None, target_name=None, dry_run=False)
    run_refresh(refresh, plan, LineProgress(lambda line: None), dry_run=False)
    print("done", flush=True)


if __name__ == "__main__":
    main()
