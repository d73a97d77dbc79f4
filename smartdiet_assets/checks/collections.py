"""What is looked at in the declared collections: there, readable, indexed by their dates, with a change stream.

Here: MongoDB's side of the examination of the whole set-up. No value of a document is read, only whether there is one.
Not here: the server (`resources.mongo_examination`), or comparing documents with rows (`checks.documents`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pymongo
from pymongo.database import Database
from pymongo.errors import PyMongoError

from smartdiet_assets.errors import ConfigurationError, PermissionDeniedError, ServerUnreachableError, SmartdietError
from smartdiet_assets.extract.change_stream import open_position
from smartdiet_assets.extract.change_volume import compose_create_index, find_unindexed_fields, list_date_fields
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_examination import MONGODB
from smartdiet_assets.schema.model import DOCUMENT_ID, Schema, Table

Documents = Database[dict[str, Any]]
#: How much a name may differ from one that is there to be taken for it.
_ALIKE = 0.7


def list_collections(schema: Schema) -> dict[str, list[Table]]:
    """List the declared collections, each with its tables."""
    found: dict[str, list[Table]] = {}
    for table in schema.tables.values():
        if table.source == "mongodb":
            found.setdefault(table.mongo_collection, []).append(table)
    return found


def examine_collections(
    database: Documents, schema: Schema, present: Collection[str], grant: Sequence[str], seconds: float
) -> Iterator[Finding]:
    """Examine every declared collection: one finding for all that are well, one for each that is not.

    Args:
        present: the collections that the user may read, as far as the server tells.
        grant: the statement that would let the user read.
        seconds: how long one question may take.

    Raises:
        ServerUnreachableError: the server went away meanwhile.
    """
    declared = list_collections(schema)
    if declared and not set(declared) & set(present):
        yield MONGODB.failed(
            "collections",
            f"The database {database.name} has none of the {len(declared)} declared collections: check MONGODB_DATABASE"
            " and the schema file.",
        )
        return
    readable: dict[str, list[Table]] = {}
    missing: list[str] = []
    refused: dict[str, list[str]] = {}
    for name, tables in declared.items():
        # Also where it is not listed: what the user may not read is not.
        if reason := _try_to_read(database, name, seconds):
            refused.setdefault(reason, []).append(name)
        elif name not in present:
            missing.append(name)
        else:
            readable[name] = tables
    for reason, names in refused.items():
        yield MONGODB.failed("collections", reason.format(", ".join(names)), statements=grant)
    if missing:
        yield _describe_missing(database.name, {name: declared[name] for name in missing}, present)
    if len(readable) == len(declared):
        yield MONGODB.passed("collections", f"All {len(declared)} declared collections are there and can be read.")
    yield from _examine_indexes(database, readable, seconds)
    yield from _examine_streams(database, schema, readable, seconds)


def _describe_missing(database: str, missing: Mapping[str, list[Table]], present: Collection[str]) -> Finding:
    """Describe what may be written otherwise on one side, or not be used yet; one line for each collection."""
    several = len(missing) > 1
    lines = []
    for name, tables in missing.items():
        close = get_close_matches(name, present, n=1, cutoff=_ALIKE)
        hint = f"; did you mean {close[0]}?" if close else ""
        lines.append(f"{name}, read by {', '.join(table.name for table in tables)}{hint}")
    return MONGODB.failed(
        "collections",
        f"{database} has no such collection{'s' * several}, and {'their' if several else 'its'} tables would stay"
        " empty: give the right name as mongo_collection in the schema file, or create what is not used yet.",
        details=lines,
        statements=[f'db.createCollection("{name}")' for name in missing],
    )


def _try_to_read(database: Documents, name: str, seconds: float) -> str:
    """Read whether there is a document; a sentence with a place for names where that is refused, "" where it is not."""
    try:
        with pymongo.timeout(seconds):
            database[name].find_one({}, {DOCUMENT_ID: 1})
    except PyMongoError as error:
        return _spell(translate_mongo_error(error, "reading {}"))
    return ""


def _spell(error: SmartdietError) -> str:
    if isinstance(error, ServerUnreachableError):
        raise error
    if isinstance(error, PermissionDeniedError):
        return f"{error}; it needs the role read on the database."
    return f"{error}."


def _examine_indexes(database: Documents, collections: Mapping[str, list[Table]], seconds: float) -> Iterator[Finding]:
    statements: dict[str, list[str]] = {}
    for name, tables in collections.items():
        try:
            with pymongo.timeout(seconds):
                fields = find_unindexed_fields(database, name, list_date_fields(tables))
        except PyMongoError as error:
            yield MONGODB.warned("indexes", _spell(translate_mongo_error(error, f"reading the indexes of {name}")))
            continue
        if fields:
            statements[name] = [compose_create_index(name, field) for field in fields]
    if statements:
        several = len(statements) > 1
        yield MONGODB.warned(
            "indexes",
            f"{len(statements)} collection{'s' * several} {'have' if several else 'has'} no index that begins with a"
            f" date {'their' if several else 'its'} changes are found by ({', '.join(statements)}), and"
            f" {'are' if several else 'is'} scanned by every run. In Mongo's shell:",
            statements=[statement for lines in statements.values() for statement in lines],
        )
    elif collections:
        yield MONGODB.passed("indexes", "Every collection has indexes on the dates its changes are found by.")


def _examine_streams(
    database: Documents, schema: Schema, collections: Mapping[str, list[Table]], seconds: float
) -> Iterator[Finding]:
    captured = [name for name in collections if schema.collections[name].capture == "change_stream"]
    faults: dict[str, list[str]] = {}
    for name in captured:
        try:
            with pymongo.timeout(seconds), database.client.start_session(causal_consistency=True) as session:
                open_position(database, collections[name][0], session)
        except (ConfigurationError, PyMongoError) as error:
            fault = translate_mongo_error(error, f"opening the change stream of {name}")
            # The reason is the server's, and the same for all of them.
            reason = str(fault).removeprefix(f"{collections[name][0].name}: ").replace(name, "{}")
            faults.setdefault(reason, []).append(name)
        except SmartdietError as error:
            faults.setdefault(str(error).replace(name, "{}"), []).append(name)
    for reason, names in faults.items():
        yield MONGODB.failed("change streams", f"{reason.replace('{}', ', '.join(names))}.")
    if captured and not faults:
        yield MONGODB.passed("change streams", f"The change streams of {', '.join(captured)} can be opened.")
