"""What workers need that is not there for everybody. Alone in its module: every other here imports Celery."""

from importlib.util import find_spec

from smartdiet_assets.errors import ConfigurationError


def require_celery() -> None:
    """Require what workers need.

    Raises:
        ConfigurationError: it is not installed.
    """
    if find_spec("dagster_celery") is None:
        raise ConfigurationError(
            "workers need an extra, where they run and where Dagster does: pip install 'smartdiet_assets[celery]'"
        )
