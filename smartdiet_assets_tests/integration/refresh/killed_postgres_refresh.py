"""A process that refreshes one PostgreSQL database from another, and halts after a step: its parent kills it there.

Arguments: host, port, user, password, the databases of source and target, the step.
"""

import sys
import threading

from smartdiet_assets.refresh.postgres.refresh import PostgresRefresh
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.refresh.running import prepare_refresh, run_refresh
from smartdiet_assets.resources.postgres import PostgresResource


def main() -> None:
    host, port, user, password, source, target, deadly_step = sys.argv[1:]

    def halt(step: str) -> None:
        if step == deadly_step:
            print("there", flush=True)
            threading.Event().wait()

    sides = (
        PostgresResource(host=host, port=int(port), user=user, password=password, database=database)
        for database in (source, target)
    )
    refresh = PostgresRefresh(*sides, "local", on_step=halt)
    plan = prepare_refresh(refresh, lambda plan: None, target_name=None, dry_run=False)
    run_refresh(refresh, plan, LineProgress(lambda line: None), dry_run=False)
    print("done", flush=True)


if __name__ == "__main__":
    main()
