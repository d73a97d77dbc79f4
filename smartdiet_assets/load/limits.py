"""What holds for a load unless somebody says otherwise; apart, so that it can be known without importing the load."""

from dataclasses import dataclass

#: Seconds a run waits for another one of the same table, or for anybody else's lock.
LOCK_TIMEOUT = 60.0
#: How many documents tried before one run tries again.
RETRY_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class Bulk:
    """When the keys of a table that is there and empty are taken away, and built again after the rows.

    Attributes:
        rows: of a first batch, from which on that is worth its locks on the parents.
        pause: seconds between two attempts to get those.
    """

    rows: int = 1_000
    pause: float = 0.2


BULK = Bulk()
