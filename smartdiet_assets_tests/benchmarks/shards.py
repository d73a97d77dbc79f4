"""A large first load in shards against one in one piece: whole syncs, each a process of its own, at three distances.

Here also what one more shard costs, what share of the load its publication is, and what follows from it for loads that
nobody measured (`projection`). The source answers from memory
(`memory_server`), without delay or after one as of a network; PostgreSQL is the embedded one.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from math import log2
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import bson
import psutil
from bson import ObjectId

from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure, read_cpu_seconds
from smartdiet_assets_tests.benchmarks.memory_server import serve
from smartdiet_assets_tests.benchmarks.projection import Costs, Site, forecast, list_forecasts
from smartdiet_assets_tests.benchmarks.results import Listing, Result
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers, sum_up
from smartdiet_assets_tests.benchmarks.settings import Settings

TABLE = "measures"
DEFAULT, ONE, TWO = "shards, as by default", "shards, one process", "shards, two processes"
PIECE = "in one piece"
#: Documents for each of `Settings`: a load that takes a while.
_TIMES = 10
_FIELDS = 12
#: Of a worker for a step of Dagster's: handed out, begun, its events written, its result fetched; 22 s of three workers
#: for the 31 tables of a small company.
SECONDS_A_STEP = 2.0
_OBSTACLE = (
    "one reader and PostgreSQL keep both cores busy, also at a distance: the next batch is read while one is copied."
)
#: Milliseconds each way, and what two processes may take of one reader's time.
_AT_MOST: Mapping[int, float | None] = {0: 1.05, 5: None, 20: 1 / 1.6}
_COLUMNS = "\n".join(
    f"      - {{name: text_{number}, sql_type: VARCHAR(40)}}\n      - {{name: number_{number}, sql_type: INTEGER}}"
    for number in range(_FIELDS)
)
_SCHEMA = f"""
defaults: {{shard_documents: %d}}
tables:
  {TABLE}:
    include_base: true
    additional_columns:
{_COLUMNS}
    indexes: [[number_0], [text_1]]
"""
#: Also run here: a sync with as many processes for one table, and as many shards, as it is told.
_SYNC = """
import json, sys
from smartdiet_assets.mirror import shard_workers, shards
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
path, processes, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shard_workers._PROCESSES = processes or shard_workers._PROCESSES
shards._FEWEST_SHARDS = count
from smartdiet_assets.mirror import sync
taken = {}
take = sync._take
def keep(name, future):
    came_to = take(name, future)
    taken.update(getattr(came_to, "seconds", {}), elapsed=getattr(came_to, "elapsed", 0.0))
    return came_to
sync._take = keep
outcome = run_sync(load_schema(path), read_environment(), tables=["measures"])
assert not outcome.errors, outcome.errors
print(json.dumps(taken))
"""


def run_shards(servers: Servers, settings: Settings) -> Iterator[Result]:
    """Compare loads in shards with one in one piece, near and far."""
    documents, ids = _build_documents(_TIMES * settings.documents)
    loads: dict[int, _Load] = {}
    with servers.open_postgres() as connection, TemporaryDirectory(prefix="smartdiet-shards-") as folder:
        for delay, at_most in _AT_MOST.items():
            with serve(TABLE, documents, ids, delay / 1_000) as url:
                loads[delay] = _Load(servers, connection, Path(folder), url)
                yield from loads[delay].compare(delay, at_most, settings)
        with serve(TABLE, documents, ids, 0.0) as url:
            parts = _Load(servers, connection, Path(folder), url)
            yield parts.list_costs(settings)
        quarter = len(documents) // 4
        with serve(TABLE, documents[:quarter], ids[:quarter], 0.0) as url:
            less = _Load(servers, connection, Path(folder), url)
            for _ in range(settings.pairs):
                less.reload(1_000, 1)
    wire = sum(map(len, documents)) / len(documents)
    yield from _reckon(loads, parts, less, len(documents), wire)


class _Load:
    def __init__(self, servers: Servers, connection: Connection, folder: Path, url: str) -> None:
        self._connection = connection
        self._folder = folder
        postgres = servers.postgres
        self._variables = {name: value for name, value in os.environ.items() if name not in VARIABLES} | {
            "MONGODB_URL": url,
            "MONGODB_DATABASE": "b",
            "POSTGRES_HOST": postgres.host,
            "POSTGRES_PORT": str(postgres.port),
            "POSTGRES_DATABASE": connection.info.dbname,
            "POSTGRES_USER": postgres.user,
            "POSTGRES_PASSWORD": postgres.password,
        }
        self.took: dict[str, float] = {}
        self._takes: dict[tuple[int, int], list[dict[str, float]]] = {}

    def find(self, processes: int, what: str, count: int = 48) -> float:
        """Find the median of what loads in so many shards by so many processes took of something."""
        return median(take[what] for take in self._takes[processes, count])

    def compare(self, delay: int, at_most: float | None, settings: Settings) -> Iterator[Comparison]:
        """Compare at one distance."""
        ways = {PIECE: (0, 0), DEFAULT: (1_000, 0), ONE: (1_000, 1), TWO: (1_000, 2)}
        contestants = [
            Contestant(name, lambda way=way: self.sync(*way), self._check, self._prepare)  # type: ignore[misc]
            for name, way in ways.items()
        ]
        rounds = measure("shards", f"{delay} ms each way", contestants, settings.pairs, settings.on_round)
        for way, aim in {DEFAULT: at_most, TWO: at_most, ONE: None}.items():
            yield rounds.compare(way, PIECE, case=f"{way}, {delay} ms each way", at_most=aim, obstacle=_OBSTACLE)

    def list_costs(self, settings: Settings) -> Listing:
        """List what one more shard costs, and what the parts of a load are, without delay."""
        for _ in range(settings.pairs):
            for count in (48, 480):
                self.reload(1_000, 2, count)
        elapsed = {count: self.find(2, "elapsed", count) for count in (48, 480)}
        shares = {
            part: median(sum(take.get(stage, 0.0) for stage in stages) / take["elapsed"] for take in self._takes[2, 48])
            for part, stages in {
                "planned and copied": ["shards"],
                "keys and indexes": ["index"],
                "the rest of the publication": ["copy", "settle", "compare", "merge", "state", "remove"],
            }.items()
        }
        cost = (elapsed[480] - elapsed[48]) / (480 - 48) / elapsed[48]
        rows = [["one more shard", f"{cost:.2%}"], *([part, f"{share:.0%}"] for part, share in shares.items())]
        return Listing("Shards: shares of a load in 48 of them, two processes, no delay", ["what", "share"], rows)

    def reload(self, shard_documents: int, processes: int, count: int = 48) -> None:
        """Run a sync of the empty table."""
        self._prepare()
        self.sync(shard_documents, processes, count)

    def sync(self, shard_documents: int, processes: int, count: int = 48) -> None:
        """Run a sync in a process of its own."""
        before = self._read_use()
        path = self._folder / "schemas.yaml"
        path.write_text(_SCHEMA % shard_documents)
        command = [sys.executable, "-c", _SYNC, str(path), str(processes), str(count)]
        done = subprocess.run(command, env=self._variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2_000:])
        use = {name: used - before[name] for name, used in self._read_use().items()}
        self.took = json.loads(done.stdout.splitlines()[-1]) | use
        if shard_documents:
            self._takes.setdefault((processes, count), []).append(self.took)

    def _read_use(self) -> dict[str, float]:
        """Read what was used so far: seconds of cores, by whom, and bytes of WAL."""
        worker = resource.getrusage(resource.RUSAGE_CHILDREN)
        servers = [process for process in psutil.Process().children(recursive=True) if process.name() == "postgres"]
        times = [process.cpu_times() for process in servers]
        written = self._connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8").fetchone()
        assert written is not None
        return {
            "all": read_cpu_seconds(),
            "worker": worker.ru_utime + worker.ru_stime,
            "postgres": sum(sum(of[:4]) for of in times),
            "wal": written[0],
        }

    def _prepare(self) -> None:
        self._connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        self._connection.execute("DROP SCHEMA IF EXISTS smartdiet CASCADE")
        self._connection.execute("CHECKPOINT")

    def _check(self) -> Work:
        return sum_up(self._connection, TABLE)


def _reckon(loads: Mapping[int, _Load], parts: _Load, less: _Load, documents: int, wire: float) -> Iterator[Listing]:
    """Reckon loads of many documents from what was measured, and of those that were measured."""
    near, far = loads[0], max(loads)
    # Two at a time pay for two shards in the time of one.
    shard = max(0.0, 2 * (parts.find(2, "elapsed", 480) - parts.find(2, "elapsed", 48)) / (480 - 48))
    worker, postgres = near.find(1, "worker"), near.find(1, "postgres")
    costs = Costs(
        document=(near.find(1, "shards") - 48 * shard) / documents,
        wait=0.0,
        worker=worker / documents,
        source=max(1e-7, (near.find(1, "all") - worker - postgres) / documents),
        postgres=postgres / documents,
        wire=wire,
        wal=near.find(1, "wal") / documents,
        shard=shard,
        step=SECONDS_A_STEP,
        index=near.find(1, "index") / documents / log2(documents),
        publish=(near.find(1, "elapsed") - near.find(1, "shards") - near.find(1, "index")) / documents,
    )
    yield list_forecasts(costs)
    here, rows = Site(cores=os.cpu_count()), list[list[str]]()
    for name, load, count, workers, delay in (
        ("a quarter of the documents, one worker", less, documents // 4, 1, 0),
        ("two workers", near, documents, 2, 0),
        (f"two workers, {far} ms each way", loads[far], documents, 2, far),
    ):
        wait = (loads[delay].find(1, "shards") - near.find(1, "shards")) / documents
        said = forecast(replace(costs, wait=max(0.0, wait), step=0.0), here, count, workers).seconds
        rows.append([name, f"{said / load.find(workers, 'elapsed'):.2f}"])
    yield Listing("Shards on paper, for loads that were measured", ["load", "reckoned over measured"], rows)


def _build_documents(count: int) -> tuple[list[bytes], list[ObjectId]]:
    begin = datetime(2020, 1, 1)
    ids = [ObjectId(f"{number:024x}") for number in range(count)]
    documents = [
        bson.encode(
            {
                "_id": id_,
                "creation_date": begin + timedelta(seconds=number),
                "update_date": begin + timedelta(seconds=number),
                **{f"text_{field}": f"value {number * 7 % 1_000_003} of {field}" for field in range(_FIELDS)},
                **{f"number_{field}": number * (field + 1) % 1_000_003 for field in range(_FIELDS)},
            }
        )
        for number, id_ in enumerate(ids)
    ]
    return documents, ids
