"""What `smartdiet sync` says of fields that no table declares: a sentence for each collection of its tables."""

from collections.abc import Mapping

from rich.console import Console

from smartdiet_assets.schema.drift import Drift, describe_drift


def print_drift(console: Console, found: Mapping[str, Drift]) -> None:
    """Print what was found."""
    for collection, drift in found.items():
        for sentence in describe_drift(collection, drift):
            console.print(sentence, highlight=False)


def encode_drift(found: Mapping[str, Drift]) -> dict[str, object]:
    """Build what `--json` adds: by collection, how often each field and type was seen; nothing where there is none."""
    told = {
        collection: {
            aspect: {f"{field.path} ({field.bson_type})": field.times for field in fields}
            for aspect, fields in (("undeclared", drift.undeclared), ("changed", drift.changed))
            if fields
        }
        for collection, drift in found.items()
    }
    return {"drift": told} if told else {}
