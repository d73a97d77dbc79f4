"""`smartdiet home`."""

import click

from smartdiet_assets.cli.session import Session


@click.command()
@click.pass_obj
def home(session: Session) -> None:
    """Prepare the folder of Dagster's runs and events, and print it.

    `export DAGSTER_HOME=$(smartdiet home)` lets dagster dev, dagster-webserver and dagster-daemon share it.
    """
    from smartdiet_assets.resources.dagster_home import choose_dagster_home

    click.echo(choose_dagster_home(session.config_folder))
