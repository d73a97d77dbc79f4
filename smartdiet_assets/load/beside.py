"""Loads of one process that are open beside each other, one of them of a table that another's foreign key points at.

PostgreSQL lets a transaction wait for another one, but does not see that the other one waits for it in turn outside of
the server: for the batches both take in side by side. So a load asks for nothing that a related one may hold until its
parents have committed, and what it cannot do without is done alone (`ReadsAloneError`).
"""

from typing import Protocol


class ReadsAloneError(Exception):
    """A load that is open beside related ones is to begin again without them, once those of its parents are over."""


class Beside(Protocol):
    """What a load is told of related ones."""

    @property
    def parents(self) -> frozenset[str]:
        """The tables above it whose loads are not over; this one does not end before them."""

    @property
    def related(self) -> frozenset[str]:
        """Those, and the tables below it."""

    def holds(self, table: str) -> bool:
        """Whether a table below has its lock, and does nothing with it until this load is over."""


class Alone:
    """No related load is open in this process."""

    parents: frozenset[str] = frozenset()
    related: frozenset[str] = frozenset()

    def holds(self, table: str) -> bool:
        return False


ALONE = Alone()
