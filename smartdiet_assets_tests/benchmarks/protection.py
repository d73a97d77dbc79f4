"""What protection costs: first loads of two columns of pseudonyms and a year, and beside many forgotten documents."""

from collections.abc import Iterator
from dataclasses import replace

from smartdiet_assets.load.records.forgotten import add_forgotten, find_salt
from smartdiet_assets.schema.model import Column, Schema
from smartdiet_assets.schema.pseudonyms import Protection, build_pseudonyms
from smartdiet_assets_tests.benchmarks.changing import ChangingLogbooks, open_changing
from smartdiet_assets_tests.benchmarks.logbooks import TABLE
from smartdiet_assets_tests.benchmarks.measuring import Comparison, measure
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

PLAIN, PROTECTED, FORGOTTEN = (
    "unprotected",
    "2 columns of pseudonyms, a year of a date",
    "as many forgotten ids as documents",
)
_KEY = "a key of benchmarks alone"
_PROTECTED = {"coaching_id": "pseudonym", "comment": "pseudonym", "day_shown": "year"}


def run_protection(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare first loads with those of the same documents without any of it."""
    with open_changing(servers, *[settings.documents] * 3) as collections:
        contestants = []
        for logbooks, name in zip(collections, (PLAIN, PROTECTED, FORGOTTEN), strict=True):
            schema = _declare(logbooks.logbooks.schema, protected=name == PROTECTED)
            logbooks.logbooks = replace(logbooks.logbooks, schema=schema)
            if name == FORGOTTEN:
                _forget(logbooks)
            contestants.append(logbooks.enter_full(name))
        rounds = measure("protection", "first loads", contestants, settings.pairs, settings.on_round)
        shown = "SELECT count(*) FROM logbooks WHERE day_shown = date_trunc('year', day) AND comment ~ '^[0-9a-f]{32}$'"
        protected = [logbooks.connection.execute(shown).fetchone() for logbooks in collections]
        assert protected == [(0,), (settings.documents,), (0,)], protected
    for name in (PROTECTED, FORGOTTEN):
        yield rounds.compare(name, PLAIN, against=PLAIN, work={"documents": settings.documents}, case=name)


def _declare(schema: Schema, *, protected: bool) -> Schema:
    """Have the table show the day once more, beside the one in its key."""
    table = schema.tables[TABLE]
    columns = [*table.columns, table.column("day").model_copy(update={"name": "day_shown", "nullable": True})]
    if protected:
        columns = [_protect(column) for column in columns]
    return schema.model_copy(update={"tables": {**schema.tables, TABLE: table.with_columns(columns)}})


def _protect(column: Column) -> Column:
    how = _PROTECTED.get(column.name)
    if how is None:
        return column
    return column.model_copy(
        update={"protect": Protection.model_validate({"how": how}), "pseudonyms": build_pseudonyms(_KEY)}
    )


def _forget(logbooks: ChangingLogbooks) -> None:
    """Keep out ids that no document has: every document's is looked for, and all are loaded."""
    salt = find_salt(logbooks.connection)
    digests = {f"{number:064x}": f"{number:064x}" for number in range(logbooks.documents)}
    add_forgotten(logbooks.connection, TABLE, salt, digests)
