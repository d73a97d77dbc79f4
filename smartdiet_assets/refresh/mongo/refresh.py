"""Refreshing a MongoDB database from another one: both sides, the plan, and the order of what is done.

The documents go into new collections (`copying`), read as of one moment where the source can (`snapshot`),
and are swapped in at the end (`swap`). The source is only read.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from pymongo.errors import PyMongoError

from smartdiet_assets.errors import ConfigurationError, RefreshError, SmartdietError, TransientError
from smartdiet_assets.refresh.mongo.copying import NewCollections
from smartdiet_assets.refresh.mongo.listing import (
    CollectionSpec,
    fetch_collections,
    fetch_system_collections,
    has_same_structure,
)
from smartdiet_assets.refresh.mongo.lock import hold_lock
from smartdiet_assets.refresh.mongo.planning import (
    INTERRUPTED,
    NOT_COPIED,
    MongoOptions,
    compose_advice,
    plan_collections,
)
from smartdiet_assets.refresh.mongo.references import find_references
from smartdiet_assets.refresh.mongo.side import describe_mongo_side, find_unfit_target, is_router
from smartdiet_assets.refresh.mongo.snapshot import (
    find_snapshot_obstacle,
)
from smartdiet_assets.refresh.mongo.swap import (
    drop_temporaries,
    end_swap,
    has_swap,
    keep_swap,
    plan_swap,
    try_renaming,
)
from smartdiet_assets.refresh.mongo.transfer import copy_all, copy_sample
from smartdiet_assets.refresh.plan import CopiedItem, RefreshOutcome, RefreshPlan
from smartdiet_assets.refresh.progress import Progress
from smartdiet_assets.refresh.running import Refresh
from smartdiet_assets.refresh.target import other_place
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.mongo import MongoResource, build_mongo_resource
from smartdiet_assets.resources.mongo_hello import fetch_hello
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.resources.variable_kinds import Place
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import Schema


class MongoRefresh:
    """A refresh of one MongoDB database from another; see `running.Refresh`."""

    def __init__(
        self,
        schema: Schema,
        source: MongoResource,
        target: MongoResource,
        *,
        to: Place,
        options: MongoOptions | None = None,
        mirrored: bool = False,
    ) -> None:
        """Describe a refresh; no server is asked yet.

        Args:
            schema: tells a sample which documents refer to which, and what to do about the mirror afterwards.
            to: where the target is.
            mirrored: the target is what the mirror reads.
        """
        self._schema = schema
        self._source = source
        self._target = target
        self._to = to
        self._options = options or MongoOptions()
        self._mirrored = mirrored
        self._collections: dict[str, CollectionSpec] = {}
        self._obstacle = ""

    def plan(self) -> RefreshPlan:
        """Compare both databases; see `running.Refresh`."""
        with _translated(self._source, "reading"):
            source_hello, system = self._source.read(self._look_at_source)
        with _translated(self._target, "reading"):
            target_hello, there, interrupted = self._target.read(_look_at_target)
        notes = [NOT_COPIED]
        notes += [f"The system collection {name} is not copied." for name in system]
        if is_router(source_hello):
            notes.append("The source is a sharded cluster: its documents are copied, how they are distributed is not.")
        if self._obstacle:
            notes.append(
                f"The source cannot show all collections as of one moment: {self._obstacle}. What changes while it is"
                " read is copied as it is when its turn comes."
            )
        if self._options.sample is not None:
            notes.append(
                f"Copied are {self._options.sample:g}% of each collection, and what they refer to by the foreign keys"
                f" of {self._schema.path}."
            )
        if interrupted:
            notes.append(INTERRUPTED)
        return RefreshPlan(
            describe_mongo_side(self._source, other_place(self._to), source_hello, self._collections.values()),
            describe_mongo_side(self._target, self._to, target_hello, there.values()),
            "collection",
            "documents",
            plan_collections(self._collections, there, self._options),
            notes,
        )

    def _look_at_source(self, database: MongoDatabase) -> tuple[Document, list[str]]:
        """Learn what there is to copy; returns the server's greeting, and system collections that are not copied."""
        hello = fetch_hello(database.client)
        self._collections = fetch_collections(database)
        system = fetch_system_collections(database)
        first = next((name for name, spec in self._collections.items() if spec.kind == "collection"), None)
        if first is None:
            raise ConfigurationError(
                f"the source, {self._source.describe()}, has no database {database.name}, or one without"
                " collections; nothing was written"
            )
        self._obstacle = find_snapshot_obstacle(database, first)
        return hello, system

    def run(self, plan: RefreshPlan, progress: Progress) -> RefreshOutcome:
        """Copy, index and swap in what the plan says; see `running.Refresh`."""
        outcome = RefreshOutcome(plan, consistent=not self._obstacle)
        database = self._target.open_database()
        begun = False
        try:
            with (
                _translated(self._target, "writing"),
                hold_lock(database, self._target.insist) as lock,
            ):
                if self._target.insist(lambda: end_swap(database)):
                    progress.say("the interrupted swap of an earlier refresh is ended")
                try:
                    self._target.insist(lambda: _prepare_target(database))
                    copied = {item.name: self._collections[item.name] for item in plan.items if item.copied}
                    collections = {name: spec for name, spec in copied.items() if spec.kind == "collection"}
                    new = NewCollections(
                        database, collections, {item.name: item.action for item in plan.items}, progress
                    )
                    for name in collections:
                        self._target.insist(partial(new.make, name))
                    self._copy(new, outcome)
                    self._target.insist(lock.require)
                    removed = [item.name for item in plan.items if item.action == "remove"]
                    views = [spec for spec in copied.values() if spec.kind == "view"]
                    there = self._target.insist(lambda: fetch_collections(database))
                    steps = plan_swap(new.temporaries, views, [name for name in removed if name in there], there)
                    begun = True
                    self._target.insist(lambda: keep_swap(database, steps))
                except BaseException:
                    # A kept swap may have arrived although its answer did not.
                    with suppress(PyMongoError):
                        begun = has_swap(database)
                        if not begun:
                            drop_temporaries(database)
                    raise
                progress.say(f"swapping in {len(new.temporaries)} collections")
                _end_swap_patiently(self._target)
        except SmartdietError as error:
            state = (
                "the swap had begun: the next refresh of this database ends it first"
                if begun
                else "the target is as it was"
            )
            kind = TransientError if isinstance(error, TransientError) else RefreshError
            raise kind(f"{error}; {state}") from None
        outcome.notes += self._find_changed(database, collections)
        outcome.items = [self._describe_item(item.name, plan, new) for item in plan.items if item.action != "keep"]
        if self._mirrored:
            written = [item.name for item in plan.items if item.copied or item.action == "remove"]
            outcome.notes += compose_advice(self._schema, written)
        return outcome

    def _copy(self, new: NewCollections, outcome: RefreshOutcome) -> None:
        if self._options.sample is None or self._options.sample >= 100:
            copy_all(self._source, new, outcome)
        else:
            copy_sample(self._source, new, outcome, find_references(self._schema), self._options.sample)

    def _find_changed(self, database: MongoDatabase, collections: Mapping[str, CollectionSpec]) -> list[str]:
        """Find the collections whose options or indexes the target's server did not keep, and say so."""
        try:
            there = fetch_collections(database)
        except PyMongoError:
            # All is done, and was refused nowhere.
            return []
        changed = [name for name, spec in collections.items() if not has_same_structure(spec, there.get(name))]
        return [f"The target's server changed options or indexes of: {', '.join(changed)}"] if changed else []

    def _describe_item(self, name: str, plan: RefreshPlan, new: NewCollections) -> CopiedItem:
        planned = next(item for item in plan.items if item.name == name)
        item = new.items.get(name) or CopiedItem(name, planned.action)
        item.note = ", ".join(note for note in (planned.note, item.note) if note)
        return item


@contextmanager
def open_mongo_refresh(
    schema: Schema,
    environment: Environment,
    *,
    to: Place,
    includes: Sequence[str] = (),
    excludes: Sequence[str] = (),
    sample: float | None = None,
) -> Iterator[Refresh]:
    """Open both sides of a refresh that writes to the MongoDB database of a place.

    Raises:
        ConfigurationError: the SSH server is not named.
    """
    with (
        build_mongo_resource(environment, other_place(to)).open() as source,
        build_mongo_resource(environment, to).open() as target,
    ):
        yield MongoRefresh(
            schema,
            source,
            target,
            to=to,
            options=MongoOptions(includes, excludes, sample),
            mirrored=environment.transfer_source == to,
        )


def _end_swap_patiently(target: MongoResource) -> None:
    """End a swap, also where the connection is lost or somebody interrupts meanwhile: it takes moments."""
    try:
        # Opened anew each time, as a tunnel may have to be.
        target.insist(lambda: end_swap(target.open_database()))
    except KeyboardInterrupt:
        end_swap(target.open_database())
        raise


def _prepare_target(database: MongoDatabase) -> None:
    drop_temporaries(database)
    try_renaming(database)


def _look_at_target(database: MongoDatabase) -> tuple[Document, dict[str, CollectionSpec], bool]:
    """Learn what is to be written over: the server's greeting, what is there, and whether a swap was interrupted."""
    hello = fetch_hello(database.client)
    if unfit := find_unfit_target(database.name, hello):
        raise ConfigurationError(unfit)
    return hello, fetch_collections(database), has_swap(database)


@contextmanager
def _translated(resource: MongoResource, action: str) -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise resource.translate(error, f"{action} {resource.database} of {resource.describe()}") from None
