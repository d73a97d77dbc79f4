"""A process that mirrors the visits of a Matomo, and says when a page is read: its parent kills it then.

Arguments: the fields of the MatomoResource as JSON, the URL of the PostgreSQL database, the rows of a page.
"""

import json
import logging
import sys

import psycopg

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror import reading
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.sources.matomo import MatomoSource
from smartdiet_assets.mirror.table_run import mirror_source
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.matomo_mirror import CONFIG, VISIT


class Announcer(logging.Handler):
    """Prints a line for every record of progress, and waits for one."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), flush=True)
        sys.stdin.readline()


def main() -> None:
    reading._SECONDS_BETWEEN_REPORTS = 0.0
    progress_log.addHandler(Announcer())
    progress_log.setLevel(logging.INFO)
    schema = load_schema(CONFIG)
    resource = MatomoResource(**json.loads(sys.argv[1]))
    with resource.connect() as source, psycopg.connect(sys.argv[2], autocommit=True) as connection:
        mirror_source(
            MatomoSource(schema, schema.tables[VISIT], source, int(sys.argv[3])),
            connection,
            run_id="killed",
            request=WindowRequest("newest"),
        )


if __name__ == "__main__":
    main()
