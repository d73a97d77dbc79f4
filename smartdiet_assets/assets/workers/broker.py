"""The broker: what Celery is told of it, by those who hand steps out and by those who carry them out."""

from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError

from smartdiet_assets.assets.workers.dagster_celery_names import make_app

#: The task that carries out one step of a run.
EXECUTE_STEP = "smartdiet.execute_step"
#: Seconds after which Redis gives what a worker took, and did not begin, to another; it begins at once what it takes.
_SECONDS_TO_BEGIN = 60
#: After which a connection counts as lost, or is asked about.
_SECONDS_UNANSWERED = 30.0
#: A step is handed out a minute later, at most, where the broker is away.
_PATIENT = {"max_retries": 60, "interval_start": 1, "interval_step": 0, "interval_max": 1}
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
    # A worker whose network is away for long is there again afterwards, and what it did is not lost.
    broker_connection_max_retries: int | None = None
    # RabbitMQ gives what it sent to a worker that is cut off to another after two of them.
    broker_heartbeat: float = _SECONDS_UNANSWERED
    result_backend_always_retry: bool = True
    task_publish_retry_policy: dict[str, float] = field(default_factory=lambda: dict(_PATIENT))
    redis_socket_timeout: float = _SECONDS_UNANSWERED
    redis_socket_keepalive: bool = True
    # Its own would print what a step prints once more.
    worker_redirect_stdouts: bool = False


def compose_app_arguments(url: str) -> dict[str, Any]:
    """Compose what Celery is told: Redis keeps results beside the tasks, RabbitMQ answers with them."""
    options: dict[str, object] = {}
    if is_redis := url.startswith("redis"):
        options = {
            "visibility_timeout": _SECONDS_TO_BEGIN,
            "socket_timeout": _SECONDS_UNANSWERED,
            "socket_keepalive": True,
        }
    return {
        "broker": url,
        "backend": url if is_redis else "rpc://",
        "config_source": _Settings(options),
    }


def build_app(url: str) -> Celery:
    """Build what Celery runs, or is asked with; nothing is connected yet."""
    return make_app(compose_app_arguments(url))


def find_outages(app: Celery) -> tuple[type[Exception], ...]:
    """Find what is raised where the broker is away; its client's own errors are neither kombu's nor the system's."""
    return (KombuError, OSError, *app.connection_for_write().connection_errors)
