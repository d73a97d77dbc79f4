"""`smartdiet …`: the group of its commands, and how an error of ours ends one. The commands are in `commands`."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartdiet_assets")
@click.pass_context
def cli(context: click.Context) -> None:
    """Mirror MongoDB into typed, foreign-keyed PostgreSQL tables.

    Servers come from the environment or a .env file, tables from config/schemas.yaml (SMARTDIET_SCHEMAS).
    """
    # Dagster, which it is built on, takes a second to import: Ctrl-C is answered by then, `--help` needs none of it.
    from smartdiet_assets.resources.tunnel import keep_connections

    context.obj = Session()
    # A command looks at the servers before it works with them.
    context.with_resource(keep_connections())


for command in (sync, reconcile, refresh, status, rejects, home, check, compare, doctor, infer, demo):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit: 2 with one message after an error of ours, 130 after Ctrl-C."""
    with _leave_out_unfinished_contexts():
        code = _run()
    sys.exit(code)


def _run() -> int:
    errors = Console(stderr=True)
    try:
        result = cli.main(standalone_mode=False)
    except SmartdietError as error:
        # Unwrapped, so that a path in it can be found and copied.
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        errors.print("Interrupted.")
        return 130
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        errors.print("the output cannot be written: no space is left where it goes", style="red")
        # What is still buffered would be a second complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return result if isinstance(result, int) else 0


@contextmanager
def _leave_out_unfinished_contexts() -> Iterator[None]:
    """Keep quiet about the contexts of Dagster that Ctrl-C left half made: their `__del__` stumbles over that."""
    before = sys.unraisablehook

    def report(unraisable: "sys.UnraisableHookArgs") -> None:
        if "UnboundInitResourceContext" not in repr(unraisable.object):
            before(unraisable)

    sys.unraisablehook = report
    try:
        yield
    finally:
        sys.unraisablehook = before


if __name__ == "__main__":
    main()
