"""The shards of several tables of a collection: which have the same ranges, and one read once for all of them.

Each table has a plan, shards and a publication of its own, so one that fails takes nothing from the others. One of them
copies for all that wait meanwhile (`shared_reading`); what these are left without, or fail with, their own runs see to.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Unpack

from smartdiet_assets.errors import SmartdietError, TransientError
from smartdiet_assets.mirror.failures import describe_error, translate_error
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.schema.model import Table

if TYPE_CHECKING:
    from psycopg import Connection

    from smartdiet_assets.load.records.shards import Shard, ShardPlan
    from smartdiet_assets.mirror.attempt import Servers, TableRun
    from smartdiet_assets.mirror.run_options import RunOptions
    from smartdiet_assets.mirror.shared_reading import Member

#: Beside the one that copies: each has a connection in every process.
_MOST_BESIDE = 5


@dataclass(frozen=True, slots=True)
class Failed:
    """What a shard ended with: one of our errors, taken apart, for not all of them can be sent as they are.

    Attributes:
        refused: PostgreSQL's code for what it did not take for its values; "" for other errors.
    """

    kind: type[Exception]
    arguments: tuple[object, ...] = ()
    refused: str = ""

    @classmethod
    def of(cls, error: Exception, table: Table) -> "Failed":
        from psycopg import Error as PostgresError

        from smartdiet_assets.load.conflicts.refusal import is_refusal

        if isinstance(error, PostgresError) and is_refusal(error):
            return cls(SmartdietError, refused=error.sqlstate or "")
        translated = translate_error(error, table)
        kind = TransientError if isinstance(translated, TransientError) else SmartdietError
        # What takes its text as it is stays what it is: a server that is away is waited for.
        plain = isinstance(translated, SmartdietError) and type(translated).__init__ is Exception.__init__
        return cls(type(translated) if plain else kind, (describe_error(translated, table),))

    def build(self) -> Exception:
        from psycopg import DataError, errors

        if not self.refused:
            return self.kind(*self.arguments)
        try:
            return errors.lookup(self.refused)()
        except KeyError:
            # An application's own, as of a trigger.
            refused = DataError()
            refused.sqlstate = self.refused
            return refused


#: How many documents of a shard were read, and by table what those failed with that did.
CameTo = tuple[int, dict[str, Failed]]


def plan_beside(
    run: "TableRun", servers: "Servers", together: "Member", plan: "ShardPlan", **options: Unpack["RunOptions"]
) -> "dict[str, ShardPlan]":
    """Plan the first loads of tables that wait for this one in the same ranges; give the plans that are in these."""
    from psycopg import Error as PostgresError
    from pymongo.errors import PyMongoError

    from smartdiet_assets.load.beside import ReadsAloneError
    from smartdiet_assets.mirror.attempt import with_source
    from smartdiet_assets.mirror.shards import plan_in_shards

    plans: dict[str, ShardPlan] = {}
    for member in together.list_waiting():
        if len(plans) == _MOST_BESIDE:
            break
        other = replace(run, table=run.schema.tables[member.name])
        # What keeps it from being planned, its own run will say.
        with (
            suppress(SmartdietError, ReadsAloneError, PostgresError, PyMongoError),
            servers.postgres.borrow() as connection,
        ):
            act = partial(plan_in_shards, connection=connection, like=plan, beside=member, **options)
            found = with_source(other, servers, act)
            if found is not None and found.plan_id == plan.plan_id:
                plans[member.name] = found
    return plans


class Copying:
    """How far the tables are whose shards are copied, and which are still fed.

    Attributes:
        plan: without its shards, as it is sent with each.
        shards: those that any table misses.
        failed: by table, the first error. No more is read for it; for no table, where this run's is tried again.
    """

    def __init__(self, run: "TableRun", plans: "Mapping[str, ShardPlan]") -> None:
        from smartdiet_assets.mirror.shard_copy import ShardProgress

        self._leader = run.table.name
        # Whichever copies, they take their turns, and the first of them looks at the fields, in the one order.
        plans = {name: plans[name] for name in run.schema.tables if name in plans}
        self._missing = {name: {shard.number for shard in plan.missing} for name, plan in plans.items()}
        self._progress = {name: ShardProgress(name, plan) for name, plan in plans.items()}
        plan = plans[self._leader]
        self.plan = replace(plan, shards=())
        missing = set[int]().union(*self._missing.values())
        self.shards = {shard.number: shard for shard in plan.shards if shard.number in missing}
        self.failed: dict[str, Exception] = {}

    def list_fed(self, number: int) -> list[str]:
        """List the tables that a shard is to be read for."""
        if isinstance(self.failed.get(self._leader), TransientError):
            # It is tried again, with the others.
            return []
        return [name for name, missing in self._missing.items() if number in missing and name not in self.failed]

    def note(self, number: int, names: Sequence[str], read: int) -> None:
        """Note how many documents of a shard were read."""
        for name in names:
            self._progress[name].note(number, read)

    def take(self, number: int, names: Sequence[str], came_to: "CameTo | Exception") -> None:
        """Take what a shard came to."""
        failed: Mapping[str, Failed | Exception]
        read, failed = (0, dict.fromkeys(names, came_to)) if isinstance(came_to, Exception) else came_to
        for name in names:
            if (error := failed.get(name)) is not None:
                self.failed.setdefault(name, error.build() if isinstance(error, Failed) else error)
            else:
                self._progress[name].note(number, read)
                self._progress[name].end()


def copy_for_all(
    servers: "Servers",
    run: "TableRun",
    names: Sequence[str],
    plan: "ShardPlan",
    shard: "Shard",
    report: Callable[[int], None],
) -> "CameTo":
    """Copy a shard for some tables, each with a connection and a source of its own."""
    from smartdiet_assets.mirror.attempt import build_options, with_source
    from smartdiet_assets.mirror.shard_copy import copy_together

    documents = 0

    def count(read: int) -> None:
        nonlocal documents
        documents = max(documents, read)
        report(read)

    def take(before: "Sequence[tuple[Source, Connection]]", source: Source) -> dict[str, Exception]:
        with servers.postgres.borrow() as connection:
            # Begun again, as where a server is to be asked in another way, those of the try before are closed.
            takers = [*before, (source, connection)]
            if len(takers) == len(names):
                return copy_together(takers, plan, shard, report=count, **build_options(run))
            following = replace(run, table=run.schema.tables[names[len(takers)]])
            return with_source(following, servers, partial(take, takers))

    try:
        failed = with_source(replace(run, table=run.schema.tables[names[0]]), servers, partial(take, ()))
    except Exception as error:  # noqa: BLE001 - the process that asked decides what becomes of it
        failed = dict.fromkeys(names, error)
    return documents, {name: Failed.of(error, run.schema.tables[name]) for name, error in failed.items()}
