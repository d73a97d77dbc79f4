"""What the processes of tables are forked from (SMARTDIET_EXECUTOR=multiprocess): loads what each of them needs."""

import gc
from contextlib import suppress

import dagster as dg

import smartdiet_assets.mirror.sources.matomo
import smartdiet_assets.mirror.sources.mongodb
import smartdiet_assets.mirror.table_run
import smartdiet_assets.resources.mongo_hello
import smartdiet_assets.resources.postgres_session
import smartdiet_assets.resources.postgres_watch  # noqa: F401 - as all of these, for who is forked
from smartdiet_assets.definitions import preload

# What goes wrong here goes wrong in each process too, which says so in its run; this one has nobody to tell.
with suppress(Exception):
    with dg.DagsterInstance.get() as instance:
        # Its modules are imported when they are used first.
        assert instance.compute_log_manager
    preload()
# What is never collected is not written to either, and stays shared.
gc.freeze()
