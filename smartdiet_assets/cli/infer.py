"""`smartdiet infer`."""

from contextlib import ExitStack
from pathlib import Path

import click

from smartdiet_assets.cli.session import Session
from smartdiet_assets.errors import ConfigurationError, SmartdietError

_SAMPLE = 1_000


@click.command(short_help="Print the YAML of a collection's tables.")
@click.argument("collection")
@click.option("--sample", type=click.IntRange(1, 100_000), help="Documents to look at; 1,000 by default.")
@click.option("--all", "everything", is_flag=True, help="Look at every document: the entry then takes each of them.")
@click.option("--table", default="", help="The table's name; by default it is made from the collection's.")
@click.option("--append", is_flag=True, help="Add the entry to the file of tables instead of printing it.")
@click.pass_obj
def infer(session: Session, collection: str, sample: int | None, everything: bool, table: str, append: bool) -> None:
    """Print the YAML that declares the tables of COLLECTION, to be looked at and added to config/schemas.yaml.

    Looks at documents picked at random, the oldest and the newest; prints names, types, shares and counts, never a
    value. The entry was loaded with the file and tried on the documents before it is printed.
    """
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.cli.reports import open_console
    from smartdiet_assets.infer.run import infer_collection, require_own_file, write_entry
    from smartdiet_assets.resources.mongo import build_mongo_resource

    if everything and sample is not None:
        raise ConfigurationError("--sample and --all exclude each other")
    files = [Path(path) for path in session.environment.schema_files]
    if append:
        require_own_file(files[0])
    errors = open_console(errors=True)
    with ExitStack() as stack:
        mongo = stack.enter_context(build_mongo_resource(session.environment).open())
        try:
            target = stack.enter_context(connect_postgres(session.environment))
        except SmartdietError:
            errors.print("PostgreSQL cannot be asked which documents are rows; their collections tell instead.")
            target = None
        inferred = infer_collection(
            mongo.read,
            collection,
            files,
            sample=None if everything else sample or _SAMPLE,
            table=table,
            target=target,
        )
    if append:
        write_entry(inferred, files[0])
        errors.print(
            f"Added {', '.join(inferred.tables)} to {files[0]}.", markup=False, highlight=False, soft_wrap=True
        )
    else:
        click.echo(inferred.entry, nl=False)
    for note in inferred.notes:
        errors.print(note, markup=False, highlight=False, soft_wrap=True)
    errors.print(
        f"Look at the comments, then: smartdiet sync {' '.join(inferred.tables)}", markup=False, highlight=False
    )
