"""Reading a test's own database where the product reads through a resource."""

from collections.abc import Callable
from typing import Any, TypeVar

from pymongo.database import Database

from smartdiet_assets.resources.mongo_reading import MongoDatabase, Read

Result = TypeVar("Result")


def read_once(database: Database[Any]) -> Read:
    """Build the reads of a database: what fails is not tried again."""

    def read(attempt: Callable[[MongoDatabase], Result], /) -> Result:
        return attempt(database)

    return read
