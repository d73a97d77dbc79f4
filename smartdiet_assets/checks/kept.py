"""What `smartdiet check` found, in a file until Dagster has recorded it behind the command."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from smartdiet_assets.checks.outcome import CheckOutcome, Number
from smartdiet_assets.mirror.run_file import SpoolFile
from smartdiet_assets.mirror.spool import CHECKS, Spool

#: The key of a moment in JSON.
_AT = "at"


def keep_outcomes(spool: Spool, schema_files: Sequence[str], outcomes: Sequence[CheckOutcome]) -> None:
    """Keep outcomes with the files that declare their tables; `spool.fault` says why not, where they cannot be."""
    kept = {
        "files": [str(Path(name).resolve()) for name in schema_files],
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    spool.keep(CHECKS, json.dumps(kept, default=_encode).encode())


def read_outcomes(file: SpoolFile) -> tuple[tuple[str, ...], list[CheckOutcome]]:
    """Read the files that declare the tables, and what was found.

    Raises:
        UnreadableRunError: the file is not one of ours, or not of this version.
    """
    try:
        kept = json.loads(file.path.read_bytes())
        outcomes = [
            CheckOutcome(**{**found, "numbers": {name: _decode(number) for name, number in found["numbers"].items()}})
            for found in kept["outcomes"]
        ]
        return tuple(kept["files"]), outcomes
    except (ValueError, TypeError, KeyError, AttributeError):
        raise file.refuse() from None


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return {_AT: value.isoformat()}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _decode(value: Any) -> Number:
    return datetime.fromisoformat(value[_AT]) if isinstance(value, dict) and isinstance(value.get(_AT), str) else value
