"""`smartdiet worker`."""

import os

import click


@click.command(short_help="Carry out steps of runs, on this machine or another.")
@click.option("--processes", type=click.IntRange(1), help="Steps at a time.  [default: one a processor core]")
def worker(processes: int | None) -> None:
    """Carry out steps of the runs that any machine starts with SMARTDIET_EXECUTOR=celery, until it is ended.

    It needs the variables of this mirror, SMARTDIET_BROKER_URL and SMARTDIET_DAGSTER_POSTGRES_URL, and the same schema
    files as the other machines.
    """
    from smartdiet_assets.assets.workers.extra import require_celery

    require_celery()
    from smartdiet_assets.assets.workers.worker import run_worker
    from smartdiet_assets.definitions import preload
    from smartdiet_assets.resources.environment import read_environment

    # Whatever the .env here says: its steps are of such runs.
    os.environ["SMARTDIET_EXECUTOR"] = "celery"
    run_worker(read_environment(), preload, processes or os.cpu_count() or 1)
