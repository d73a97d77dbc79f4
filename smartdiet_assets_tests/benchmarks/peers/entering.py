"""Entering other tools into a measurement: their names, their aims, a schema of its own for each, what is missing.

Not here: how they load, or what their tables must hold (`contents`).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec

from psycopg import sql

from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Rounds, Work
from smartdiet_assets_tests.benchmarks.peers import Source, list_peers
from smartdiet_assets_tests.benchmarks.peers.replaced import ReplacedTool
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers

REPLACED = "the replaced tool's way"
#: What a first load may take of the time of each: a fifth, a quarter, two thirds.
AIMS = {REPLACED: 1 / 5, "dlt, dictionaries": 1 / 4, "Sling": 1 / 1.5}
#: What stands in the way where an aim is missed.
_OBSTACLES = {
    REPLACED: "most of the tables are small, and each is a transaction of its own here.",
    "dlt, dictionaries": "each table has a transaction and keys of its own here; dlt builds no keys.",
    "Sling": "each table has a transaction and keys of its own here; Sling builds no keys.",
}
#: Sling gives up where the server does not answer within five seconds, as it may on a busy machine.
_ATTEMPTS = 3
_NOTE_LENGTH = 70
NOT_INSTALLED = "not installed"
CANNOT_LOAD_ARRAYS = "cannot load arrays"
REPLACED_SCHEMA = "replaced"


def enter_peers(
    servers: Servers, connection: Connection, source: Source, check: Callable[[str], Work]
) -> list[Contestant]:
    """Enter the peers that are installed; `check` is given the schema of one."""

    def enter(number: int, name: str, load: Callable[[Source, str, str], None]) -> Contestant:
        schema = f"peer_{number}"
        return Contestant(
            name,
            lambda: load(source, servers.postgres.dsn(connection.info.dbname), schema),
            lambda: check(schema),
            lambda: clear_schema(connection, schema),
            _ATTEMPTS,
        )

    installed = [peer for peer in list_peers() if peer.is_installed and (peer.loads_arrays or not source.has_arrays)]
    for module in {module for peer in installed for module in peer.modules}:
        # Nobody is timed while importing.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            import_module(module)
    return [enter(number, peer.name, peer.load) for number, peer in enumerate(installed, 1)]


def enter_replaced(
    servers: Servers,
    connection: Connection,
    source: Source,
    tool: ReplacedTool,
    prepare: Sequence[str],
    check: Callable[[str], Work],
) -> list[Contestant]:
    """Enter the replaced tool, where its driver is installed; `prepare` creates its tables."""

    def run() -> None:
        tool.load(source, servers.postgres.dsn(connection.info.dbname), REPLACED_SCHEMA)

    if find_spec("psycopg2") is None:
        return []
    return [
        Contestant(REPLACED, run, lambda: check(REPLACED_SCHEMA), lambda: create_replaced_tables(connection, prepare))
    ]


def create_replaced_tables(connection: Connection, statements: Sequence[str]) -> None:
    """Leave the tables of the replaced tool, empty, in a schema of their own."""
    clear_schema(connection, REPLACED_SCHEMA)
    with connection.transaction():
        connection.execute("SELECT set_config('search_path', %s, true)", [f"{REPLACED_SCHEMA},public"])
        for statement in statements:
            connection.execute(sql.SQL(statement))
    connection.execute("CHECKPOINT")


def clear_schema(connection: Connection, schema: str) -> None:
    """Leave a schema of this name, with nothing in it."""
    name = sql.Identifier(schema)
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    connection.execute("CHECKPOINT")


def compare_with(rounds: Rounds, subject: str, names: Sequence[str], work: Work | None = None) -> Iterator[Comparison]:
    """Compare the subject with each of these that took part; say why the others did not."""
    unable = {peer.name for peer in list_peers() if peer.is_installed and not peer.loads_arrays}
    for name in names:
        if name in rounds.seconds:
            yield rounds.compare(
                subject, name, at_most=AIMS.get(name), work=work, obstacle=f"{name}: {_OBSTACLES.get(name, '')}"
            )
        else:
            note = CANNOT_LOAD_ARRAYS if name in unable else NOT_INSTALLED
            if name in rounds.failures:
                note = f"failed: {str(rounds.failures[name]).partition(chr(10))[0][:_NOTE_LENGTH]}"
            yield Comparison(rounds.benchmark, rounds.case, name, (), at_most=AIMS.get(name), note=note)
