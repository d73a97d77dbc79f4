"""The schema files the tests of this folder read, and how a test writes one of its own."""

import textwrap
from pathlib import Path

from smartdiet_assets.schema.declaration import (
    ArrayDeclaration,
    CollectionDeclaration,
    ColumnDeclaration,
    DefaultsDeclaration,
    PartitionsDeclaration,
    RootDeclaration,
    TableDeclaration,
)
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema

FOLDER = Path(__file__).parents[2] / "fixtures" / "schemas"
VALID = sorted((FOLDER / "valid").glob("*.yaml"))
INVALID = sorted((FOLDER / "invalid").glob("*.yaml"))
_DECLARATIONS = (
    RootDeclaration,
    DefaultsDeclaration,
    CollectionDeclaration,
    PartitionsDeclaration,
    TableDeclaration,
    ColumnDeclaration,
    ArrayDeclaration,
)
#: The keys of a file without Matomo.
EVERY_KEY = tuple(dict.fromkeys(key for declaration in _DECLARATIONS for key in declaration.known_keys()))


def read_expectations(path: Path) -> list[str]:
    """Read the comment block a fixture ends with: the problems or warnings it is there for, in order."""
    _, _, block = path.read_text().partition("\n# Problems:\n" if path in INVALID else "\n# Warnings:\n")
    return [line.removeprefix("# ") for line in block.splitlines()]


def load_text(folder: Path, text: str) -> Schema:
    """Load a schema written in the test itself."""
    path = folder / "schemas.yaml"
    path.write_text(textwrap.dedent(text))
    return load_schema(path)
