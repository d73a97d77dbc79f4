"""Where a step of a load or of a reconcile pass writes to, and on whose account."""

from dataclasses import dataclass, field

from smartdiet_assets.load.beside import ALONE, Beside
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.schema.model import Schema, Table


@dataclass(frozen=True, slots=True)
class Target:
    """One table on a connection.

    Attributes:
        schema: the declared tables, those that point at the table among them.
        table: with the name of its companion, where it has one.
        run_id: stored with what is noted.
        beside: the related loads that are open in this process.
    """

    connection: Connection
    schema: Schema
    table: Table
    run_id: str
    beside: Beside = field(default=ALONE, kw_only=True)
