"""MongoDB documents mirrored into typed, foreign-keyed PostgreSQL tables, as a Dagster asset graph.

The door for other projects: what may be imported, each from its place when it is first asked for. Importing the package
alone does not import Dagster, which the commands would wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartdiet_assets.assets.alerts.sensor import Alerts
    from smartdiet_assets.assets.build import build_mirror
    from smartdiet_assets.assets.component import MongoMirrorComponent
    from smartdiet_assets.assets.pruning import Retention
    from smartdiet_assets.assets.tables import MirrorSettings
    from smartdiet_assets.assets.translator import MirrorTranslator
    from smartdiet_assets.resources.access import RemoteAccess
    from smartdiet_assets.resources.matomo import MatomoResource
    from smartdiet_assets.resources.mongo import MongoResource
    from smartdiet_assets.resources.postgres import PostgresResource
    from smartdiet_assets.schema.loading import load_schema

__all__ = [
    "Alerts",
    "MatomoResource",
    "MirrorSettings",
    "MirrorTranslator",
    "MongoMirrorComponent",
    "MongoResource",
    "PostgresResource",
    "RemoteAccess",
    "Retention",
    "build_mirror",
    "load_schema",
]
#: The module of each public name; as those above, which are for type checkers.
_PLACES = {
    "Alerts": "assets.alerts.sensor",
    "MatomoResource": "resources.matomo",
    "MirrorSettings": "assets.tables",
    "MirrorTranslator": "assets.translator",
    "MongoMirrorComponent": "assets.component",
    "MongoResource": "resources.mongo",
    "PostgresResource": "resources.postgres",
    "RemoteAccess": "resources.access",
    "Retention": "assets.pruning",
    "build_mirror": "assets.build",
    "load_schema": "schema.loading",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
