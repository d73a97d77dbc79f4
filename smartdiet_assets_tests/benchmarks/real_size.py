"""The first load of as many logbooks as there really are: what `full_load` measures, without other tools.

They are left out for the time they take: the replaced one's pages take longer the further on they are.
"""

from collections.abc import Iterator

from smartdiet_assets_tests.benchmarks.full_load import measure_first_load
from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings


def run_real_size(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare both ways of a first load with their floors."""
    return measure_first_load(servers, settings, "real_size", settings.real_documents, peers=False)
