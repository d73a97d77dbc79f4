"""A load that kills its own process at a chosen stage: run as a script by `test_kill`.

Arguments: database URL, stage. Importing it gives the documents of the load.
"""

import os
import signal
import sys

import psycopg

from smartdiet_assets_tests.support.loads import LATE, Batch, club, described, load, oid, reject


def documents() -> Batch:
    """What the killed run reads, and the run after it: document 1 changed, 2 no longer matches, 3 is new."""
    return described(
        (oid(1), [(oid(1), "changed")]), (oid(2), []), (oid(3), [(oid(3), "new")]), rejects=[reject(oid(4))]
    )


def main(database: str, deadly_stage: str) -> None:
    """Load, and die when the stage is over."""

    def die(stage: str) -> None:
        if stage == deadly_stage:
            os.kill(os.getpid(), signal.SIGKILL)

    with psycopg.connect(database, autocommit=True) as connection:
        load(connection, club(), "guests", documents(), watermark=LATE, on_stage=die)


if __name__ == "__main__":
    main(*sys.argv[1:])
