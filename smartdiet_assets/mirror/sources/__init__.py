"""Where a table's rows come from: a module for each kind of source, behind one interface."""

from importlib import import_module
from typing import TYPE_CHECKING

from smartdiet_assets.schema.sources import MATOMO, MONGODB, SourceKind

if TYPE_CHECKING:
    from smartdiet_assets.mirror.sources.interface import SourceOpener

#: The module of each kind, by its name. A driver takes as long as half of Dagster: it is imported where it is needed.
MODULES = {
    MONGODB.name: "smartdiet_assets.mirror.sources.mongodb",
    MATOMO.name: "smartdiet_assets.mirror.sources.matomo",
}


def find_opener(kind: SourceKind) -> "SourceOpener":
    """Find what opens the sources of a kind: the `OPENER` of its module."""
    opener: SourceOpener = import_module(MODULES[kind.name]).OPENER
    return opener
