"""`smartdiet init`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartdiet_assets.errors import ConfigurationError

if TYPE_CHECKING:
    from smartdiet_assets.infer.run import Inferred


@click.command(short_help="Make a folder for a mirror of one's own.")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option(
    "--mongodb-url",
    envvar="MONGODB_URL",
    metavar="URL",
    help="The MongoDB to mirror. With a password rather in the variable MONGODB_URL, which no list of processes shows.",
)
@click.option("--database", envvar="MONGODB_DATABASE", metavar="NAME", help="Its database, where the URL names none.")
def init(folder: Path, mongodb_url: str | None, database: str | None) -> None:
    """Make a folder for a mirror of one's own, here or in DIR: tables inferred from all collections, .env, a README.

    Without a MongoDB the tables are left for later. The .env takes the values of variables that are set, such as
    POSTGRES_HOST. Nothing that is there is written over; where something fails, nothing is written.
    """
    from smartdiet_assets.infer.project import TAKEN, check_folder, compose_project, write_project
    from smartdiet_assets.resources.dagster_home import find_template
    from smartdiet_assets.resources.environment import read_environment
    from smartdiet_assets.resources.mongo import find_named_database

    check_folder(folder)
    given = {name: value for name in TAKEN if (value := os.environ.get(name))}
    given |= {"MONGODB_URL": mongodb_url} if mongodb_url else {}
    if database := database or find_named_database(mongodb_url or ""):
        given["MONGODB_DATABASE"] = database
    # A value that cannot be used is said before anything is asked.
    read_environment(given)
    if mongodb_url and not database:
        raise ConfigurationError("say with --database which database of the MongoDB to mirror")
    inferred = _infer(mongodb_url, database) if mongodb_url and database else None
    tables = inferred.text if inferred and inferred.entry else ""
    settings = find_template(folder).read_text(encoding="utf-8")
    write_project(folder, compose_project(folder, tables, given, settings))
    _report(folder, inferred, [name for name in TAKEN if name not in given and name != "POSTGRES_PORT"])


def _infer(url: str, database: str) -> "Inferred":
    from smartdiet_assets.cli.reports import open_console, show_collections
    from smartdiet_assets.infer.everything import infer_collections
    from smartdiet_assets.resources.mongo import MongoResource

    with (
        MongoResource(url=url, database=database).open() as mongo,
        show_collections(open_console(errors=True)) as report,
    ):
        return infer_collections(mongo.read, [], report=report)


def _report(folder: Path, inferred: "Inferred | None", missing: list[str]) -> None:
    place = "This folder" if folder == Path() else str(folder)
    tables = f"{len(inferred.tables)} tables" if inferred and inferred.tables else "no table yet"
    click.echo(f"{place} is made, with {tables} in schemas.yaml.")
    for note in inferred.notes if inferred else ():
        click.echo(note)
    steps = [] if folder == Path() else [f"cd {folder}"]
    steps += [f"edit .env: {', '.join(missing)}"] if missing else []
    steps += [] if inferred else ["smartdiet infer --all-collections --append"]
    click.echo("\nNext:")
    for step in [*steps, "smartdiet doctor", "smartdiet sync", "dagster dev"]:
        click.echo(f"  {step}")
