"""The broker: what Celery is told of it, by those who hand steps out and by those who carry them out."""

from dataclasses import dataclass
from typing import Any

from celery import Celery

from smartdiet_assets.assets.workers.dagster_celery_names import make_app

#: The task that carries out one step of a run.
EXECUTE_STEP = "smartdiet.execute_step"
#: Seconds after which Redis gives what a worker took, and did not begin, to another; it begins at once what it takes.
_SECONDS_TO_BEGIN = 60
_A_DAY = 86_400


@dataclass(frozen=True)
class _Settings:
    """Celery's own settings; it takes them as an object's attributes."""

    broker_transport_options: dict[str, object]
    # Who took a step is known: a step of a worker that is gone is given to another.
    task_track_started: bool = True
    # A worker takes what it can begin at once; the others have the rest.
    worker_prefetch_multiplier: int = 1
    worker_disable_prefetch: bool = True
    task_default_queue: str = "dagster"
    task_default_priority: int = 5
    result_expires: int = _A_DAY
    broker_connection_retry_on_startup: bool = True
    # Its own would print what a step prints once more.
    worker_redirect_stdouts: bool = False


def compose_app_arguments(url: str) -> dict[str, Any]:
    """Compose what Celery is told: Redis keeps results beside the tasks, RabbitMQ answers with them."""
    is_redis = url.startswith("redis")
    options: dict[str, object] = {"visibility_timeout": _SECONDS_TO_BEGIN} if is_redis else {}
    return {"broker": url, "backend": url if is_redis else "rpc://", "config_source": _Settings(options)}


def build_app(url: str) -> Celery:
    """Build what Celery runs, or is asked with; nothing is connected yet."""
    return make_app(compose_app_arguments(url))
