"""`smartdiet …`: the group of its commands, and how an error of ours ends one. The commands are in `commands`."""

import sys

import click
from rich.console import Console

from smartdiet_assets.commands.check import check
from smartdiet_assets.commands.compare import compare
from smartdiet_assets.commands.demo import demo
from smartdiet_assets.commands.doctor import doctor
from smartdiet_assets.commands.home import home
from smartdiet_assets.commands.infer import infer
from smartdiet_assets.commands.inspection import rejects, status
from smartdiet_assets.commands.reconcile import reconcile
from smartdiet_assets.commands.refresh import refresh
from smartdiet_assets.commands.session import Session
from smartdiet_assets.commands.sync import sync
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.tunnel import keep_connections


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartdiet_assets")
@click.pass_context
def cli(context: click.Context) -> None:
    """Mirror MongoDB into typed, foreign-keyed PostgreSQL tables.

    Servers come from the environment or a .env file, tables from config/schemas.yaml (SMARTDIET_SCHEMAS).
    """
    context.obj = Session()
    # A command looks at the servers before it works with them.
    context.with_resource(keep_connections())


for command in (sync, reconcile, refresh, status, rejects, home, check, compare, doctor, infer, demo):
    cli.add_command(command)


def main() -> None:
    """Run the command line; an error of ours is one message and exit code 2."""
    try:
        cli.main(standalone_mode=True)
    except SmartdietError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
