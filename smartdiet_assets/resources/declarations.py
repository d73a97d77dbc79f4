"""The declared tables as the settings say: from which files, what of them is protected, and with which key."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smartdiet_assets.resources.environment import Environment

if TYPE_CHECKING:
    from smartdiet_assets.schema.model import Schema


def load_declared(environment: Environment, files: Sequence[str | Path] = ()) -> "Schema":
    """Load the declared tables.

    Args:
        files: to read instead of those that the settings name.

    Raises:
        SchemaFileError: a file cannot be used; it holds every problem.
    """
    from smartdiet_assets.schema.loading import load_schema

    return load_schema(
        *(files or environment.schema_files),
        protected=environment.protected_path,
        pseudonym_key=environment.pseudonym_key,
    )
