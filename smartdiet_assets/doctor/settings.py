"""What is looked at before any server: the `.env`, the variables, and the schema files."""

import os
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from smartdiet_assets.errors import ConfigurationError, SchemaFileError
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.declarations import load_declared
from smartdiet_assets.resources.env_file import apply_env_file
from smartdiet_assets.resources.environment import VARIABLES, Environment, read_usable
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.protection import find_key_fault

SETTINGS = Part("settings")
SCHEMA = Part("schema")
#: How much a name of the `.env` may differ from one of ours to be taken for a slip of the pen.
_ALIKE = 0.85
#: Which variable says where a server is: reached directly, or through the SSH server.
_PLACES = {"MONGODB": "TRANSFER_SOURCE", "POSTGRES": "TRANSFER_DESTINATION", "MATOMO": "MATOMO_SOURCE"}


class ExaminedSettings:
    """The settings and the declared tables, as far as they can be used.

    Attributes:
        unusable: the variables that cannot be used, each with a sentence; known when `examine_settings` has ended.
        environment: what the others say, likewise; None where the `.env` cannot be read.
        schema: None until `examine_schema` has ended, and after it where the files cannot be used.
    """

    def __init__(self) -> None:
        self.unusable: dict[str, str] = {}
        self.environment: Environment | None = None
        self.schema: Schema | None = None

    def examine_settings(self) -> Iterator[Finding]:
        """Examine the `.env` and the variables."""
        try:
            found = apply_env_file()
        except ConfigurationError as error:
            yield SETTINGS.failed(".env", f"{error}.")
            return
        yield from _judge_env_file(found)
        self.environment, self.unusable = read_usable(os.environ)
        for sentence in self.unusable.values():
            yield SETTINGS.failed("variables", f"{sentence}.")
        if not self.unusable:
            number = len(self.environment.model_fields_set)
            yield SETTINGS.passed("variables", f"All {number} variables that are set can be used.")

    def list_unusable(self, server: str) -> list[str]:
        """List the unusable variables that say where and how a server is reached (`mongodb`, `postgres`, `matomo`)."""
        server = server.upper()
        place = _PLACES.get(server, "")
        prefixes = [f"{server}_"]
        if place in self.unusable or (self.environment and self.environment.get(place) == "remote"):
            prefixes = [f"{server}_" if server == "MATOMO" else f"REMOTE_{server}_", "REMOTE_SERVER_"]
        return [name for name in self.unusable if name == place or name.startswith(tuple(prefixes))]

    def examine_schema(self, environment: Environment) -> Iterator[Finding]:
        """Examine the schema files, and load them."""
        try:
            self.schema = load_declared(environment)
        except SchemaFileError as error:
            for fault in (error, *error.others):
                count = f"{len(fault.problems)} problem{'s' if len(fault.problems) != 1 else ''}"
                yield SCHEMA.failed(
                    "files", f"{fault.path} has {count}; no run can start.", details=[str(p) for p in fault.problems]
                )
            return
        counts = _count_sources(self.schema)
        yield SCHEMA.passed("files", f"{self.schema.path}: {counts}.")
        if without := find_key_fault(self.schema.tables.values()):
            yield SCHEMA.failed("pseudonyms", f"{without}.")
        if self.schema.warnings:
            yield SCHEMA.warned(
                "files", "They load, but some of it deserves a look.", details=list(self.schema.warnings)
            )


def _judge_env_file(path: Path | None) -> Iterator[Finding]:
    if path is None:
        yield SETTINGS.passed(".env", f"There is none in {Path.cwd()} or above: the process environment alone counts.")
        return
    # Names alone are looked at.
    names = [name for name, value in dotenv_values(path).items() if value]
    slips = {name: close[0] for name in names if name not in VARIABLES and (close := _find_close(name))}
    yield SETTINGS.passed(".env", f"{path} gives {len(names)} variables; what the process environment sets wins.")
    if slips:
        lines = [f"{name}: did you mean {meant}?" for name, meant in slips.items()]
        yield SETTINGS.warned(".env", f"{path} gives variables that nothing reads.", details=lines)


def _find_close(name: str) -> list[str]:
    return get_close_matches(name, VARIABLES, n=1, cutoff=_ALIKE)


def _count_sources(schema: Schema) -> str:
    counts = Counter(table.source_kind for table in schema.tables.values())
    documents = sum(number for kind, number in counts.items() if kind.has_documents)
    others = [f"{number} of {kind.title}" for kind, number in counts.items() if not kind.has_documents]
    return ", ".join([f"{documents} tables of {len(schema.collections)} collections", *others])
