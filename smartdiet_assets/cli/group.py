"""The group of the commands of `smartdiet …`, which its entry point (`cli`) runs. Not here: any command."""

import click

from smartdiet_assets.cli.check import check
from smartdiet_assets.cli.compare import compare
from smartdiet_assets.cli.demo import demo
from smartdiet_assets.cli.doctor import doctor
from smartdiet_assets.cli.forget import forget
from smartdiet_assets.cli.home import home
from smartdiet_assets.cli.infer import infer
from smartdiet_assets.cli.init import init
from smartdiet_assets.cli.inspection import rejects, status
from smartdiet_assets.cli.prune import prune
from smartdiet_assets.cli.reconcile import reconcile
from smartdiet_assets.cli.refresh import refresh
from smartdiet_assets.cli.session import Session
from smartdiet_assets.cli.sync import sync
from smartdiet_assets.cli.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartdiet_assets")
@click.pass_context
def cli(context: click.Context) -> None:
    """Mirror MongoDB into typed, foreign-keyed PostgreSQL tables.

    Servers come from the environment or a .env file, tables from config/schemas.yaml (SMARTDIET_SCHEMAS).
    """
    # Dagster, which it is built on, takes a second to import: Ctrl-C is answered by then, `--help` needs none of it.
    from smartdiet_assets.resources.tunnel import keep_connections

    context.obj = context.obj or Session()
    # A command looks at the servers before it works with them.
    context.with_resource(keep_connections())


for command in (
    init, sync, reconcile, forget, refresh, status, rejects, home, check, compare, doctor, infer, prune, worker, demo,
):  # fmt: skip
    cli.add_command(command)
