"""Other ways of loading the same documents, from the same server into the same PostgreSQL, to compare with.

Here: what a peer is, and which are installed. Not here: measuring, or the checks of what they loaded (`contents`).
Each loads into a schema of its own, so that none meets another's tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Source:
    """Collections of a MongoDB database, whole; `has_arrays` where documents hold some."""

    uri: str
    database: str
    collections: Sequence[str]
    has_arrays: bool = False


#: Given the source, the URL of the target database and the schema to write to.
Load = Callable[[Source, str, str], None]


@dataclass(frozen=True)
class Peer:
    """A way of loading collections as they are.

    Attributes:
        modules: what must be installed; all of it comes with the `benchmark` extra.
        load: loads collections; their tables have the collections' names.
        loads_arrays: whether it can load documents that hold arrays.
    """

    name: str
    modules: Sequence[str]
    load: Load
    loads_arrays: bool = True

    @property
    def is_installed(self) -> bool:
        return all(find_spec(module) is not None for module in self.modules)


def list_peers() -> list[Peer]:
    """List the peers that load collections as they are, installed or not; importing them imports nothing of theirs."""
    from smartdiet_assets_tests.benchmarks.peers.dlt_pipeline import load_arrow, load_dictionaries
    from smartdiet_assets_tests.benchmarks.peers.sling import load_with_sling

    return [
        Peer("dlt, dictionaries", ("dlt", "psycopg2"), load_dictionaries),
        Peer("dlt, arrow", ("dlt", "psycopg2", "pymongoarrow", "pyarrow"), load_arrow, loads_arrays=False),
        Peer("Sling", ("sling_linux_amd64",), load_with_sling),
    ]
