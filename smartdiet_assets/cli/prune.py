"""`smartdiet prune`."""

import click

from smartdiet_assets.cli.session import Session


@click.command()
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@click.pass_obj
def prune(session: Session, dry_run: bool) -> None:
    """Delete old runs of Dagster, and nothing that it shows.

    Its schedule and `smartdiet sync`, behind it, do so by themselves once a day. What the pages of tables, partitions
    and checks show stays.
    """
    from smartdiet_assets.assets.instance.opening import open_instance
    from smartdiet_assets.cli.pruning import prune_by_command
    from smartdiet_assets.cli.recording import record_before
    from smartdiet_assets.cli.reports import open_console

    record_before(session.environment)
    with open_instance(session.config_folder) as instance:
        sentence = prune_by_command(
            instance, session.schema, session.environment, open_console(errors=True), dry_run=dry_run
        )
    open_console().print(sentence, highlight=False)
