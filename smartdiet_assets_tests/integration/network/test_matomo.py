"""The same for the network to Matomo's database: a retried success, or a clear error."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from smartdiet_assets.demo.analytics import create_matomo_tables, write_analytics
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets_tests.support.broken import SHORT_RETRIES, Network
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.matomo_mirror import ACTION, CONFIG, Matomo

pytestmark = pytest.mark.timeout(180)
#: Bytes of answers after which the read is under way.
MID_BATCH = 20_000


@pytest.fixture
def matomo(
    network: Network,
    mariadb_server: EmbeddedMariaDB,
    matomo_database: str,
    matomo_resource: MatomoResource,
    postgres: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Matomo]:
    """A Matomo behind a proxy, and the project's tables of it."""
    with mariadb_server.connect(matomo_database) as source, FaultProxy(mariadb_server.port) as proxy:
        create_matomo_tables(source)
        write_analytics(source, seed=1, scale=0.001)
        network.proxies["matomo"] = proxy
        network.schema_files = (CONFIG,)
        variables = {
            "HOST": proxy.host, "PORT": proxy.port, "DATABASE": matomo_database,
            "USER": mariadb_server.user, "PASSWORD": mariadb_server.password,
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(f"MATOMO_{name}", str(value))
        monkeypatch.setenv("SMARTDIET_SCHEMAS", str(Path(CONFIG)))
        yield Matomo(source, matomo_resource, postgres)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", MID_BATCH),
        Fault("stall", MID_BATCH),
        Fault("stall", MID_BATCH, one_way=True),
        Fault("stall", 1_500, "up", one_way=True),
    ],
    ids=["reset", "stalled", "stalled_towards_us", "stalled_towards_the_server"],
)
def test_a_break_in_mid_batch_is_retried(network: Network, matomo: Matomo, fault: Fault) -> None:
    network.proxies["matomo"].strike(fault)
    sync = network.sync(ACTION)
    assert not sync.errors
    assert fault.struck == 1
    assert list(map(len, sync.retries.values())) == [1]
    assert network.row_counts == [0]
    assert matomo.rows(ACTION) == matomo.expected(ACTION)


@pytest.mark.parametrize("how", ["refused", "reset", "stalled"])
def test_a_server_that_takes_no_connection_is_retried_and_then_a_clear_error(
    network: Network, matomo: Matomo, how: str
) -> None:
    proxy = network.proxies["matomo"]
    if how == "refused":
        proxy.refuse()
    else:
        proxy.strike(Fault("reset" if how == "reset" else "stall", times=None))
    sync = network.sync(ACTION)
    told = sync.errors[ACTION]
    assert told.startswith("connecting to Matomo's database")
    # A reset may come before the driver knows that it is connected.
    said = {"refused": ["no server answers"], "reset": ["the connection was lost", "no server answers"]}
    assert any(words in told for words in said.get(how, ["the connection was lost"]))
    assert len(sync.retries[ACTION]) == SHORT_RETRIES.retries
    proxy.accept()
    proxy.strike(Fault("reset", times=0))
    assert not network.sync(ACTION).errors
    assert matomo.rows(ACTION) == matomo.expected(ACTION)


def test_a_slow_network_is_waited_for(network: Network, matomo: Matomo) -> None:
    network.proxies["matomo"].slow_down(100_000)
    sync = network.sync(ACTION)
    assert not sync.errors
    assert not sync.retries
    assert matomo.rows(ACTION) == matomo.expected(ACTION)
