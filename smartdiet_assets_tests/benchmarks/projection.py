"""What a first load in shards of very many documents takes, on paper: reckoned from the costs that `shards` measures.

Pure: workers take steps of shards and share the source, the network and PostgreSQL; then one of them builds keys and
indexes. Not here: measuring (`shards`). An index that outgrows the memory of its build takes longer than said.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log2
from random import Random

from smartdiet_assets_tests.benchmarks.results import Listing

#: As the project cuts a load: shards at least, documents of one at most, steps of Dagster at most.
_SHARDS, _SHARD_DOCUMENTS, _STEPS = 48, 500_000, 16
#: By how much steps differ in size: their bounds are a sample's.
_SPREAD = 0.1
_WORKERS = (1, 4, 16)
_DOCUMENTS = (10**8, 10**9)


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes of one document, unless said otherwise.

    Attributes:
        document: from the source to the table, by one worker alone and near.
        wait: what it takes longer by the network's delay.
        worker, source, postgres: of their cores meanwhile.
        wire, wal: bytes.
        shard, step: beside the documents, of one shard, and of one of Dagster's steps with its events.
        index: of all keys and indexes, for each doubling of the rows.
        publish: of the rest of the publication.
    """

    document: float
    wait: float
    worker: float
    source: float
    postgres: float
    wire: float
    wal: float
    shard: float
    step: float
    index: float
    publish: float


@dataclass(frozen=True)
class Site:
    """What all workers share: cores, and bytes a second; `cores` where all is one machine."""

    source: float = 8
    postgres: float = 8
    network: float = 125e6
    wal: float = 200e6
    cores: float | None = None

    def find_limits(self, costs: Costs) -> Mapping[str, float]:
        """Find how many documents a second each of them allows."""
        if self.cores is not None:
            return {"cores": self.cores / (costs.worker + costs.source + costs.postgres)}
        return {
            "source": self.source / costs.source,
            "network": self.network / costs.wire,
            "PostgreSQL's cores": self.postgres / costs.postgres,
            "PostgreSQL's WAL": self.wal / costs.wal,
        }


@dataclass(frozen=True)
class Forecast:
    """Seconds of the parts of a load, and how much of each shared thing is used while documents are copied."""

    copy: float
    index: float
    publish: float
    used: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return self.copy + self.index + self.publish


def forecast(costs: Costs, site: Site, documents: int, workers: int) -> Forecast:
    """Reckon one load."""
    chance, limits = Random(1), site.find_limits(costs)
    shares = [1 + _SPREAD * chance.uniform(-1, 1) for _ in range(_STEPS)]
    alone, shards = costs.document + costs.wait, max(_SHARDS, documents // _SHARD_DOCUMENTS)
    work = [share / sum(shares) * (documents * alone + shards * costs.shard) + costs.step for share in shares]
    waiting, active, copy = deque(work), list[float](), 0.0
    while waiting or active:
        while waiting and len(active) < workers:
            active.append(waiting.popleft())
        pace = min(1.0, min(limits.values()) * alone / len(active))
        least = min(active)
        copy += least / pace
        active = [left - least for left in active if left > least]
    used = {name: documents / copy / limit for name, limit in limits.items()}
    return Forecast(copy, costs.index * documents * log2(documents), costs.publish * documents, used)


def list_forecasts(costs: Costs, site: Site | None = None) -> Listing:
    """List what large loads take, each worker on a machine of its own, and what is used most."""
    rows = []
    for documents in _DOCUMENTS:
        for workers in _WORKERS:
            found = forecast(costs, site or Site(), documents, workers)
            steps = forecast(replace(costs, step=0.0), site or Site(), documents, workers).seconds
            parts = [found.copy / found.seconds, found.index / found.seconds, 1 - steps / found.seconds]
            most = max(found.used, key=lambda name: found.used[name])
            hours = f"{found.seconds / 3600:.1f}"
            shares = [f"{part:.0%}" for part in parts]
            rows.append([f"{documents:,}", str(workers), hours, *shares, f"{most}, {found.used[most]:.0%}"])
    headers = ["documents", "workers", "hours", "copying", "keys and indexes", "Dagster", "used most in copying"]
    return Listing("Shards on paper: a source and a PostgreSQL of 8 cores, 1 Gbit/s, 200 MB/s of WAL", headers, rows)
