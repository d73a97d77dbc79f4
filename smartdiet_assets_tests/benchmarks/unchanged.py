"""Every document again though none has changed, as `force_reimport` does: no row may be written.

What has to be paid is reading and decoding the documents, so that is what the run is compared with.
"""

from collections.abc import Iterator

from smartdiet_assets.extract.mongodb.documents import fetch_window
from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets_tests.benchmarks.loading import BATCH_SIZE, decode_batches, load_batches, store_batches
from smartdiet_assets_tests.benchmarks.logbooks import TABLE, build_logbooks
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.servers import Servers, sum_up, sum_up_versions
from smartdiet_assets_tests.benchmarks.settings import Settings

DECODING = "decoding alone"
READING = "the same query read and decoded alone"
AT_MOST = 1.6


def run_unchanged(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare an unchanged re-import with decoding, and over the wire with reading and decoding."""
    logbooks = build_logbooks(settings.documents)
    with servers.open_postgres() as connection, servers.open_mongo() as mongo:
        load_batches(connection, logbooks.schema, logbooks.parents, logbooks.users)
        load_batches(connection, logbooks.schema, logbooks.table, logbooks.batches)
        connection.execute("VACUUM (ANALYZE, FREEZE)")
        versions = sum_up_versions(connection, TABLE)
        result: LoadResult | None = None
        decoded = 0

        def prepare() -> None:
            connection.execute("CHECKPOINT")

        def load() -> None:
            nonlocal result
            result = load_batches(connection, logbooks.schema, logbooks.table, logbooks.batches)

        def mirror() -> None:
            nonlocal result
            result = mirror_table(
                logbooks.schema, logbooks.table, mongo, connection,
                run_id="benchmark", request=WindowRequest("full"),
            ).load  # fmt: skip

        def check() -> Work:
            assert result is not None
            assert sum_up_versions(connection, TABLE) == versions
            written = result.inserted + result.updated + result.deleted
            assert written == 0
            return {"documents": result.unchanged, "written": written, **sum_up(connection, TABLE)}

        def decode() -> None:
            nonlocal decoded
            decoded = decode_batches(logbooks.batches)

        def read() -> None:
            nonlocal decoded
            decoded = decode_batches(fetch_window(mongo, logbooks.table, Window("full"), BATCH_SIZE))

        def check_decoded() -> Work:
            return {"documents": decoded}

        contestants = [Contestant("load", load, check, prepare), Contestant(DECODING, decode, check_decoded)]
        rounds = measure("unchanged", "from memory", contestants, settings.pairs, settings.on_round)
        yield rounds.compare("load", DECODING)

        store_batches(mongo, TABLE, logbooks.batches)
        contestants = [
            Contestant("mirror", mirror, check, prepare),
            Contestant(READING, read, check_decoded),
        ]
        rounds = measure("unchanged", "from the wire", contestants, settings.pairs, settings.on_round)
        yield rounds.compare("mirror", READING, at_most=AT_MOST)
