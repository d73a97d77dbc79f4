"""Refreshing a MongoDB database: opening both sides. Not here yet: everything else."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.operations.refresh.plan import Place
from smartdiet_assets.operations.refresh.running import Refresh
from smartdiet_assets.schema.model import Schema


def open_mongo_refresh(
    schema: Schema,
    *,
    to: Place,
    includes: Sequence[str] = (),
    excludes: Sequence[str] = (),
    sample: float | None = None,
) -> AbstractContextManager[Refresh]:
    """Open both sides of a refresh that writes to the MongoDB database of a place.

    Raises:
        SmartdietError: a variable of either cannot be used.
    """
    raise ConfigurationError(f"refresh mongo --to {to} is not there yet")
