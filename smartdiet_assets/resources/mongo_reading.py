"""What reads MongoDB: the database as the driver has it, and a way of reading it. Not here: the server (`mongo`)."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pymongo.database import Database

MongoDatabase = Database[dict[str, Any]]
Result = TypeVar("Result")


class Read(Protocol):
    """Reads of the database, tried again where that may help: `MongoResource.read`, or a test's way to its own."""

    def __call__(self, attempt: Callable[[MongoDatabase], Result], /) -> Result:
        """Run an attempt, from its beginning each time; raises what the last one raised."""
