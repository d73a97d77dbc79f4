"""The first load of a table: from documents in memory, from the wire, and by others from the same wire.

The floor copies rows that are ready in PostgreSQL's binary form into a bare table and builds the same keys, indexes
and foreign keys. Over the wire nothing can be faster than reading the documents either: the slower of the two counts.
The others build less: the peers no keys at all, the replaced tool no index beside those of its constraints.

What the parts of a load from memory take is measured beside it: decoding the documents with the driver, turning them
into rows, and the project's own load of rows that are ready for COPY. The last is all that code which made COPY's
bytes of BSON directly, without Python's objects between, could reach.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.extract.mongodb.documents import fetch_window
from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets.transform.batch import build_transformer
from smartdiet_assets_tests.benchmarks.floor import ReadyTable, read_keys, take_table
from smartdiet_assets_tests.benchmarks.loading import (
    BATCH_SIZE,
    decode_batches,
    load_batches,
    load_ready,
    store_batches,
)
from smartdiet_assets_tests.benchmarks.logbooks import OLD_FILE, OLD_TABLES, TABLE, Logbooks, build_logbooks
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.peers import Source, list_peers
from smartdiet_assets_tests.benchmarks.peers.contents import FIELDS, OURS, sum_up_logbooks
from smartdiet_assets_tests.benchmarks.peers.contents import REPLACED as REPLACED_COLUMNS
from smartdiet_assets_tests.benchmarks.peers.entering import REPLACED, compare_with, enter_peers, enter_replaced
from smartdiet_assets_tests.benchmarks.peers.replaced import ReplacedTool
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers, sum_up
from smartdiet_assets_tests.benchmarks.settings import Settings

FLOOR = "binary COPY, then keys"
READING = "the same query read alone"
FROM_MEMORY, FROM_THE_WIRE = 2.0, 1.2
DECODING, ROWS, READY = "decoding alone", "decoding and rows alone", "the load of rows that are ready for COPY"


def run_full_load(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare both ways of a first load with their floors, and the one from the wire with other tools."""
    return measure_first_load(servers, settings, "full_load", settings.documents, peers=True)


def measure_first_load(
    servers: Servers, settings: Settings, name: str, documents: int, *, peers: bool
) -> Iterator[Comparison]:
    """Compare both ways of a first load of some documents with their floors, and with other tools on demand."""
    logbooks = build_logbooks(documents)
    with servers.open_postgres() as connection, servers.open_mongo() as mongo:
        load_batches(connection, logbooks.schema, logbooks.parents, logbooks.users)
        load_batches(connection, logbooks.schema, logbooks.table, logbooks.batches)
        ready = take_table(connection, TABLE)

        def prepare() -> None:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(TABLE)))
            connection.execute("DELETE FROM smartdiet.sync_state WHERE table_name = %s", [TABLE])
            connection.execute("CHECKPOINT")

        def check() -> Work:
            keys = read_keys(connection, TABLE)
            assert keys == ready.keys
            content = sum_up_logbooks(connection, "public", TABLE, OURS)
            return {**sum_up(connection, TABLE), **content, "keys": len(keys)}

        floor = Contestant(FLOOR, lambda: ready.write(connection), check, prepare)

        def load() -> None:
            load_batches(connection, logbooks.schema, logbooks.table, logbooks.batches)

        contestants = [
            Contestant("load", load, check, prepare),
            floor,
            *_enter_parts(connection, logbooks, ready, check, prepare),
        ]
        rounds = measure(name, "from memory", contestants, settings.pairs, settings.on_round)
        shares = {part: rounds.compare(part, FLOOR, case=f"from memory: {part}") for part in (DECODING, ROWS, READY)}
        yield rounds.compare("load", FLOOR, at_most=FROM_MEMORY, obstacle=_explain(shares))
        yield from shares.values()

        store_batches(mongo, TABLE, logbooks.batches)
        # As the application keeps them; who reads in the order of a date is not made to sort.
        for field in ("creation_date", "update_date"):
            mongo[TABLE].create_index(field)

        def mirror() -> None:
            mirror_table(
                logbooks.schema, logbooks.table, mongo, connection,
                run_id="benchmark", request=WindowRequest("full"),
            )  # fmt: skip

        source = Source(servers.mongo.uri, mongo.name, [TABLE])
        contestants = [
            Contestant("mirror", mirror, check, prepare),
            _enter_reading(mongo, logbooks),
            floor,
            *(_enter_others(servers, connection, source) if peers else ()),
        ]
        rounds = measure(name, "from the wire", contestants, settings.pairs, settings.on_round)
        yield rounds.compare(
            "mirror",
            READING,
            FLOOR,
            at_most=FROM_THE_WIRE,
            obstacle="reading keeps one of two cores busy, making rows and COPY the other; what PostgreSQL does besides"
            " has no core of its own.",
        )
        if peers:
            yield from compare_with(rounds, "mirror", [REPLACED, *(peer.name for peer in list_peers())])


def _enter_reading(mongo: Database[dict[str, Any]], logbooks: Logbooks) -> Contestant:
    """Enter the reading alone."""
    bytes_read = 0

    def read() -> None:
        nonlocal bytes_read
        bytes_read = sum(map(len, fetch_window(mongo, logbooks.table, Window("full"), BATCH_SIZE)))

    def check() -> Work:
        # Every field of the documents is a column, so whole documents are asked for.
        assert bytes_read == sum(map(len, logbooks.batches))
        return {"bytes": bytes_read}

    return Contestant(READING, read, check)


def _enter_others(servers: Servers, connection: Connection, source: Source) -> list[Contestant]:
    """Enter the replaced tool's way, and the tools that are installed."""
    create = [*OLD_TABLES, "INSERT INTO users SELECT id FROM public.users"]
    return [
        *enter_replaced(
            servers, connection, source, ReplacedTool(OLD_FILE, [TABLE]), create,
            lambda schema: sum_up_logbooks(connection, schema, TABLE, REPLACED_COLUMNS),
        ),
        *enter_peers(servers, connection, source, lambda schema: sum_up_logbooks(connection, schema, TABLE, FIELDS)),
    ]  # fmt: skip


def _enter_parts(
    connection: Connection,
    logbooks: Logbooks,
    ready: ReadyTable,
    check: Callable[[], Work],
    prepare: Callable[[], None],
) -> list[Contestant]:
    """Enter what a load from memory consists of: its work on the documents, and all that remains without it."""
    transform = build_transformer(logbooks.table)
    place = [column.name for column in logbooks.table.stored_columns].index(logbooks.table.document_column)
    batches = [transform(raw) for raw in logbooks.batches]
    ids = [row[place] for batch in batches for row in batch.rows]
    newest = max(batch.newest for batch in batches if batch.newest)
    del batches

    def decode() -> None:
        assert decode_batches(logbooks.batches) == len(ids)

    def make_rows() -> None:
        assert sum(len(transform(raw).rows) for raw in logbooks.batches) == len(ids)

    def load_rows() -> None:
        load_ready(connection, logbooks.schema, logbooks.table, ready, ids, newest)

    return [
        Contestant(DECODING, decode, dict),
        Contestant(ROWS, make_rows, dict),
        Contestant(READY, load_rows, check, prepare),
    ]


def _explain(shares: Mapping[str, Comparison]) -> str:
    """Say what of the floor the parts take; PostgreSQL works beside some of it, so they do not add up."""
    return (
        f"decoding the documents with the driver alone takes {shares[DECODING].ratio:.2f} of the floor, with turning"
        f" them into rows {shares[ROWS].ratio:.2f}; the project's own load of ready rows {shares[READY].ratio:.2f},"
        " and code that made COPY's bytes of BSON natively could be no faster than that."
    )
