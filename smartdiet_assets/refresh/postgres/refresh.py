"""Refreshing a PostgreSQL database from another one: the plan that is shown, and the steps of the refresh.

What is copied, of all schemas or those the filters choose: tables with columns, defaults, generated and identity
columns, storage settings, partitions and inheritance, unlogged ones too; sequences and their values; keys, checks,
exclusions, foreign keys, indexes, extended statistics; views, materialized views; enumerations, domains, composite and
range types, collations, functions and procedures in any language the target has; triggers, rules, policies, comments;
the extensions these need. Owners and grants are not the source's: what is replaced keeps the target's.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.refresh.plan import CopiedItem, RefreshOutcome, RefreshPlan
from smartdiet_assets.refresh.postgres.build import (
    Work,
    check_remade,
    complete_tables,
    copy_tables,
    make_tables,
    open_schemas,
)
from smartdiet_assets.refresh.postgres.catalog import Catalog, CatalogObject, read_catalog
from smartdiet_assets.refresh.postgres.database import create_database, exists
from smartdiet_assets.refresh.postgres.grants import read_grants
from smartdiet_assets.refresh.postgres.plan import (
    build_items,
    build_notes,
    build_side,
    check_target_fits,
    read_side,
)
from smartdiet_assets.refresh.postgres.sample import compose_queries
from smartdiet_assets.refresh.postgres.selection import (
    RefreshFilters,
    Selection,
    choose_mirrored,
    choose_objects,
)
from smartdiet_assets.refresh.postgres.sessions import (
    Waits,
    explain,
    lock_source,
    lock_target,
    open_source,
    open_target,
)
from smartdiet_assets.refresh.postgres.swap import swap
from smartdiet_assets.refresh.progress import Progress
from smartdiet_assets.refresh.target import other_place
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres import PostgresResource, build_postgres_resource
from smartdiet_assets.resources.variable_kinds import Place

_UNKNOWN = "the target is as it was, or wholly new: look there, or refresh it again"
#: Told when a step is over: built, copied, completed, swapped.
StepListener = Callable[[str], None]


def build_filters(settings: Environment, **asked: object) -> RefreshFilters:
    """Build the filters from what was asked for, and where nothing was from the variables.

    Args:
        asked: fields of `RefreshFilters`; empty ones and None count as not asked.
    """
    values: dict[str, Any] = {
        "include_tables": settings.postgres_include_tables,
        "exclude_tables": settings.postgres_exclude_tables,
        "include_schemas": settings.postgres_include_schemas,
        "exclude_schemas": settings.postgres_exclude_schemas,
        "exclude_data": settings.postgres_exclude_data_tables,
        "sample": settings.postgres_data_sample_percent,
    }
    return RefreshFilters(**{**values, **{name: value for name, value in asked.items() if value}})


@contextmanager
def open_postgres_refresh(environment: Environment, *, to: Place, **asked: object) -> Iterator["PostgresRefresh"]:
    """Open both sides of a refresh that writes to the PostgreSQL database of a place.

    Args:
        asked: fields of `RefreshFilters` that come before the variables of the environment.

    Raises:
        ConfigurationError: the SSH server is not named.
    """
    with ExitStack() as servers:
        source, target = (
            servers.enter_context(build_postgres_resource(environment, place).open()) for place in (other_place(to), to)
        )
        refresh = PostgresRefresh(source, target, to, build_filters(environment, **asked))
        refresh.ignored = [name for name in ("MAX_DUMP_SIZE_MB", "REMOTE_POSTGRES_PATH") if environment.gives(name)]
        yield refresh


class PostgresRefresh:
    """One refresh of a target database from a source database.

    Attributes:
        ignored: variables of the replaced tool that are set and have no effect.
    """

    def __init__(
        self,
        source: PostgresResource,
        target: PostgresResource,
        to: Place,
        filters: RefreshFilters | None = None,
        on_step: StepListener | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._to = to
        self._filters = filters or RefreshFilters()
        self._waits = waits or Waits()
        self._on_step = on_step or (lambda step: None)
        self.ignored: list[str] = []

    def plan(self) -> RefreshPlan:
        """Find out what there is on both sides and what will be done; reads only.

        Raises:
            SmartdietError: a side cannot be read, or the target cannot take the copy.
        """
        with _translated("planning the refresh"), open_source(self._source) as source:
            ours = read_catalog(source)
            from_side = read_side(source, self._source, other_place(self._to))
            if not exists(self._target):
                theirs = Catalog(ours.class_catalogue, ours.type_catalogue, ours.proc_catalogue, {"public": True})
                selection, _ = choose_objects(ours, theirs, self._filters)
                compose_queries(source, ours, selection, self._filters.sample)
                to_side = build_side(self._target, self._to)
                version = source.info.server_version
                notes = [
                    f"The target has no database {self._target.database}: it will be created.",
                    *build_notes(ours, theirs, selection, self._filters, (version, version)),
                ]
            else:
                with open_target(self._target) as target:
                    theirs = read_catalog(target)
                    to_side = read_side(target, self._target, self._to)
                    if from_side.identities & to_side.identities:
                        # Refused by the caller, who shows both first.
                        return RefreshPlan(from_side, to_side, "table", "rows", [])
                    selection = self._choose(source, target, ours, theirs)
                    versions = (source.info.server_version, target.info.server_version)
                    notes = build_notes(ours, theirs, selection, self._filters, versions)
            items = build_items(ours, theirs, selection)
        if self.ignored:
            notes.append(f"{' and '.join(self.ignored)} of the replaced tool: no effect, nothing goes through a file.")
        return RefreshPlan(from_side, to_side, "table", "rows", items, notes)

    def run(self, plan: RefreshPlan, progress: Progress) -> RefreshOutcome:
        """Carry a plan out, in one transaction of the target.

        Raises:
            SmartdietError: it failed; the target is as it was.
        """
        if plan.source.identities & plan.target.identities:
            raise ConfigurationError("the source and the target are the same database; nothing was written")
        outcome = RefreshOutcome(plan)
        with ExitStack() as stack:
            stack.enter_context(_translated("refreshing the target"))
            source = stack.enter_context(open_source(self._source))
            ours = read_catalog(source)
            if not exists(self._target):
                create_database(self._target, source.info.parameter_status("server_encoding") or "UTF8")
            target = stack.enter_context(open_target(self._target))
            lock_target(target, choose_mirrored(ours, self._filters), progress.say, self._waits.writers)
            theirs = read_catalog(target)
            selection = self._choose(source, target, ours, theirs)
            lock_source(source, [table.identity for table in _tables(ours, selection)])
            work = Work(source, target, ours, theirs, selection, progress, self._waits)
            work.queries = compose_queries(source, ours, selection, self._filters.sample)
            self._carry_out(work, outcome)
        return outcome

    def _choose(self, source: Connection, target: Connection, ours: Catalog, theirs: Catalog) -> Selection:
        selection, obstacles = choose_objects(ours, theirs, self._filters)
        check_target_fits(ours, theirs, selection, obstacles, target)
        compose_queries(source, ours, selection, self._filters.sample)
        return selection

    def _carry_out(self, work: Work, outcome: RefreshOutcome) -> None:
        actions = {item.name: item.action for item in outcome.plan.items}
        grants = read_grants(work.target, work.selection.dropped | work.selection.remade)
        for table in _tables(work.ours, work.selection):
            item = CopiedItem(table.label, actions.get(table.label, "replace"))
            work.copied[table.key] = item
            outcome.items.append(item)
        work.progress.say("Making the new tables")
        open_schemas(work)
        late = make_tables(work)
        check_remade(work)
        self._on_step("built")
        copy_tables(work)
        # What follows may take long; the source need not keep old versions of rows meanwhile.
        work.source.rollback()
        self._on_step("copied")
        complete_tables(work, late)
        self._on_step("completed")
        work.progress.say("Swapping the new tables in")
        swap(work, grants)
        self._on_step("swapped")
        _commit(work.target)
        for key, item in work.copied.items():
            item.indexes = sum(
                attached.statement.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))
                or " ADD CONSTRAINT " in attached.statement
                for attached in work.ours.attached("key", {key})
            )


def _tables(catalog: Catalog, selection: Selection) -> list[CatalogObject]:
    return [found for key, found in catalog.objects.items() if key in selection.created and found.kind == "table"]


def _commit(target: Connection) -> None:
    """Let everybody see the new tables.

    Raises:
        ServerUnreachableError: the connection was lost with the answer.
    """
    try:
        target.commit()
    except psycopg.OperationalError as error:
        known = explain(error, "committing the swap", "the target")
        known.args = (f"{known}; {_UNKNOWN}",)
        raise known from None


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """Let every error be one of ours that says in what state the target is."""
    try:
        yield
    except psycopg.Error as error:
        known = explain(error, action, "refresh")
        raise _say_state(known) from None
    except SmartdietError as error:
        _say_state(error)
        raise


def _say_state(error: SmartdietError) -> SmartdietError:
    text = str(error)
    if not text.endswith(("nothing was written", _UNKNOWN)) and "nothing was written" not in text:
        error.args = (f"{text}; the target is as it was",)
    return error
