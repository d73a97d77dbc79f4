"""Strategies with bugs that put values of documents into their errors, as a user's own might. Not tests."""

from psycopg import sql

from smartdiet_assets.load.strategies import DeltaCounts, MergeStep, Mode, Strategy
from smartdiet_assets.schema.model import Table

#: In every value and every secret the privacy tests plant.
MARK = "Zq7Planted"


class RaisingStrategy(Strategy):
    """Fails in Python, with a value in the text of the error and of its cause."""

    def choose_mode(self, table: Table, counts: DeltaCounts) -> Mode:
        try:
            raise KeyError(f"{MARK} as a key")
        except KeyError as error:
            raise ValueError(f"cannot merge {MARK}@example.org") from error


class FailingStatementStrategy(Strategy):
    """Fails in PostgreSQL, which quotes the value it could not cast."""

    def compose(self, table: Table, mode: Mode) -> list[MergeStep]:
        return [MergeStep("insert", sql.SQL("SELECT string_agg(email, ',')::integer FROM mirror_staging").format())]
