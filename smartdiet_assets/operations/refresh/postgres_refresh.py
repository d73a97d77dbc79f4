"""Refreshing a PostgreSQL database: opening both sides. Not here yet: everything else."""

from contextlib import AbstractContextManager

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.operations.refresh.running import Refresh
from smartdiet_assets.resources.variables import Place


def open_postgres_refresh(*, to: Place) -> AbstractContextManager[Refresh]:
    """Open both sides of a refresh that writes to the PostgreSQL database of a place.

    Raises:
        SmartdietError: a variable of either cannot be used.
    """
    raise ConfigurationError(f"refresh postgres --to {to} is not there yet")
