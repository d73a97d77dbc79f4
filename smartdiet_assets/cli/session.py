"""What the commands work with: settings, declared tables, and which of them can be run. Not here: any command."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smartdiet_assets.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from smartdiet_assets.cli.recording import Recorder
    from smartdiet_assets.resources.environment import Environment
    from smartdiet_assets.schema.model import Schema


@dataclass
class Session:
    """What a command works with, read from the environment when first needed."""

    @cached_property
    def environment(self) -> "Environment":
        from smartdiet_assets.resources.environment import read_environment

        return read_environment()

    @cached_property
    def schema(self) -> "Schema":
        from smartdiet_assets.resources.declarations import load_declared

        schema = load_declared(self.environment)
        if not schema.tables:
            click.echo("\n".join(schema.warnings), err=True)
        return schema

    @property
    def config_folder(self) -> Path:
        return Path(self.environment.schemas_path).resolve().parent

    def open_recorder(self) -> "Recorder":
        """Open what has the runs of a sync recorded in Dagster."""
        from smartdiet_assets.cli.recording import Recorder

        return Recorder(self.config_folder)

    def pick(self, tables: Sequence[str]) -> list[str]:
        """The tables named on the command line, all of them when none is, in run order."""
        for name in tables:
            if name not in self.schema.tables:
                close = get_close_matches(name, self.schema.tables, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ConfigurationError(f"no table {name} is declared in {self.schema.path}{hint}")
        return [name for name in self.schema.tables if not tables or name in tables]


def leave_out_unnamed(
    schema: "Schema", environment: "Environment", tables: Sequence[str], console: "Console"
) -> list[str]:
    """Leave out the tables of a source whose server nothing names, and say so in one line each."""
    kinds = {name: schema.tables[name].source_kind for name in tables}
    for kind in dict.fromkeys(kinds.values()):
        if not environment.names(kind):
            left = ", ".join(name for name in tables if kinds[name] == kind)
            console.print(f"{kind.title} is left out ({left}): {kind.unset}.", highlight=False)
    return [name for name in tables if environment.names(kinds[name])]


def find_unreadable(session: Session, tables: Sequence[str]) -> dict[str, str]:
    """Find the tables whose source cannot be read, each with the reason; raise it where none is left to run."""
    from smartdiet_assets.cli.connections import find_source_faults, find_target_fault

    if fault := find_target_fault(session.environment):
        raise ConfigurationError(fault)
    declared = session.schema.tables
    faults = find_source_faults(session.environment, (declared[name] for name in tables))
    unreadable = {name: faults[source] for name in tables if (source := declared[name].source) in faults}
    if faults and len(unreadable) == len(tables):
        raise ConfigurationError("\n".join(faults.values()))
    return unreadable
