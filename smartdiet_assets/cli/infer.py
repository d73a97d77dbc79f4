"""`smartdiet infer`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smartdiet_assets.cli.session import Session
from smartdiet_assets.errors import ConfigurationError, SmartdietError

if TYPE_CHECKING:
    from psycopg import Connection

    from smartdiet_assets.infer.run import Inferred
    from smartdiet_assets.resources.mongo_reading import Read

_SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked; without a `sample` every document is looked at."""

    collection: str
    sample: int | None
    table: str
    append: bool
    all_collections: bool
    update: bool
    dry_run: bool

    def check(self) -> None:
        """Raise ConfigurationError where the options do not go together."""
        if self.update and (self.all_collections or self.append or self.table):
            raise ConfigurationError("--update adds to the tables that are there; leave out the other option")
        if self.dry_run and not self.update:
            raise ConfigurationError("--dry-run belongs to --update; without --append nothing is written anyway")
        if not self.update and bool(self.collection) is self.all_collections:
            raise ConfigurationError("name a collection, or give --all-collections or --update")
        if self.table and self.all_collections:
            raise ConfigurationError("--table names the table of one collection")


@click.command(short_help="Print the YAML of collections' tables.")
@click.argument("collection", required=False, default="")
@click.option("--all-collections", is_flag=True, help="Every collection that no table mirrors, parents first.")
@click.option(
    "--sample", type=click.IntRange(1, 100_000), help="Documents of a collection to look at; 1,000 by default."
)
@click.option("--all", "everything", is_flag=True, help="Look at every document: the entry then takes each of them.")
@click.option("--table", default="", help="The table's name; by default it is made from the collection's.")
@click.option("--append", is_flag=True, help="Add the entry to the file of tables instead of printing it.")
@click.option("--update", is_flag=True, help="Add to the file what the documents have that its tables do not.")
@click.option("--dry-run", is_flag=True, help="With --update: print what would be added, as a diff; write nothing.")
@click.pass_obj
def infer(session: Session, /, collection: str, everything: bool, sample: int | None, **asked: Any) -> None:
    """Print the YAML that declares the tables of COLLECTION, to be looked at and added to config/schemas.yaml.

    Looks at documents picked at random, the oldest and the newest; prints names, types, shares and counts, never a
    value. The entry was loaded with the file and tried on the documents before it is printed.
    """
    if everything and sample is not None:
        raise ConfigurationError("--sample and --all exclude each other")
    request = _Request(collection, None if everything else sample or _SAMPLE, **asked)
    request.check()
    files = [Path(path) for path in session.environment.schema_files]
    if request.append or (request.update and not request.dry_run):
        from smartdiet_assets.infer.schema_file import require_own_file

        require_own_file(files[0])
    infer_it = _update if request.update else _infer_all if request.all_collections else _infer
    with _open(session) as (read, target):
        inferred = infer_it(read, files, request, target)
    _deliver(inferred, files[0], request)


@contextmanager
def _open(session: Session) -> "Iterator[tuple[Read, Connection | None]]":
    """Open the source, and the target where it can be reached."""
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.resources.mongo import build_mongo_resource

    with ExitStack() as stack:
        mongo = stack.enter_context(build_mongo_resource(session.environment).open())
        try:
            target = stack.enter_context(connect_postgres(session.environment))
        except SmartdietError:
            _say("PostgreSQL cannot be asked which documents are rows; their collections tell instead.")
            target = None
        yield mongo.read, target


def _infer(read: "Read", files: list[Path], request: _Request, target: "Connection | None") -> "Inferred":
    from smartdiet_assets.infer.run import infer_collection

    return infer_collection(read, request.collection, files, sample=request.sample, table=request.table, target=target)


def _infer_all(read: "Read", files: list[Path], request: _Request, target: "Connection | None") -> "Inferred":
    from smartdiet_assets.cli.reports import open_console, show_collections
    from smartdiet_assets.infer.everything import infer_collections

    with show_collections(open_console(errors=True)) as report:
        return infer_collections(read, files, sample=request.sample, target=target, report=report)


def _update(read: "Read", files: list[Path], request: _Request, target: "Connection | None") -> "Inferred":
    from smartdiet_assets.cli.reports import open_console, show_collections
    from smartdiet_assets.infer.updating import infer_update

    with show_collections(open_console(errors=True)) as report:
        return infer_update(
            read, files, collection=request.collection, sample=request.sample, target=target, report=report
        )


def _deliver(inferred: "Inferred", path: Path, request: _Request) -> None:
    if request.append or (request.update and not request.dry_run):
        if inferred.entry:
            inferred.write(path)
            _say(f"Added {', '.join(inferred.added or inferred.tables) or 'comments'} to {path}.")
    else:
        click.echo(inferred.entry, nl=False)
    for note in inferred.notes:
        _say(note)
    if inferred.tables:
        _say(f"Look at the comments, then: smartdiet sync {' '.join(inferred.tables)}")
    elif not inferred.entry:
        _say("There is nothing to add.")


def _say(sentence: str) -> None:
    from smartdiet_assets.cli.reports import open_console

    open_console(errors=True).print(sentence, markup=False, highlight=False, soft_wrap=True)
