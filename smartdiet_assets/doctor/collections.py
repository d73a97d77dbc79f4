"""What is looked at in the declared collections: there, readable, indexed by their dates, with a change stream.

No value of a document is read, only whether there is one.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from smartdiet_assets.doctor.mongo import MONGODB
from smartdiet_assets.errors import PermissionDeniedError, ServerUnreachableError, SmartdietError
from smartdiet_assets.extract.mongodb.change_stream import open_position
from smartdiet_assets.extract.mongodb.change_volume import (
    compose_create_index,
    count_untold,
    find_unindexed_fields,
    list_date_fields,
)
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_reading import MongoDatabase, Read
from smartdiet_assets.schema.model import DOCUMENT_ID, Schema, Table

#: How much a name may differ from one that is there to be taken for it.
_ALIKE = 0.7
#: Documents without a Date that are counted for each field; with more of them their number makes no difference.
_MOST_COUNTED = 10_000
#: How a server refuses to list the indexes of a view.
_ON_A_VIEW = 166
#: Stands for the names of collections that share a sentence; no name holds it.
_NAME = "\0"


def list_collections(schema: Schema) -> dict[str, list[Table]]:
    """List the declared collections, each with its tables."""
    found: dict[str, list[Table]] = {}
    for table in schema.tables.values():
        if table.source_kind.has_documents:
            found.setdefault(table.mongo_collection, []).append(table)
    return found


def examine_collections(
    read: Read, database: str, schema: Schema, present: Collection[str], grant: Sequence[str], seconds: float
) -> Iterator[Finding]:
    """Examine every declared collection: one finding for all that are well, one for each that is not.

    Args:
        database: its name.
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
            f"The database {database} has none of the {len(declared)} declared collections: check MONGODB_DATABASE"
            " and the schema file.",
        )
        return
    readable: dict[str, list[Table]] = {}
    missing: list[str] = []
    refused: dict[str, list[str]] = {}
    for name, tables in declared.items():
        # Also where it is not listed: what the user may not read is not.
        if reason := _try_to_read(read, name, seconds):
            refused.setdefault(reason, []).append(name)
        elif name not in present:
            missing.append(name)
        else:
            readable[name] = tables
    for reason, names in refused.items():
        yield MONGODB.failed("collections", f"reading {', '.join(names)}{reason}", statements=grant)
    if missing:
        yield _describe_missing(database, {name: declared[name] for name in missing}, present)
    if len(readable) == len(declared):
        yield MONGODB.passed("collections", f"All {len(declared)} declared collections are there and can be read.")
    yield from _examine_indexes(read, readable, seconds)
    yield from _examine_dates(read, schema, readable, seconds)
    yield from _examine_streams(read, schema, readable, seconds)


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
        statements=[f"db.createCollection({json.dumps(name)})" for name in missing],
    )


def _try_to_read(read: Read, name: str, seconds: float) -> str:
    """Read whether there is a document; "" where that is answered, and what follows "reading" and its name if not."""

    def find(database: MongoDatabase) -> None:
        with pymongo.timeout(seconds):
            database[name].find_one({}, {DOCUMENT_ID: 1})

    try:
        read(find)
    except PyMongoError as error:
        # Alike for all collections, so that they share a line.
        fault = translate_mongo_error(error, "")
        if isinstance(fault, ServerUnreachableError):
            raise translate_mongo_error(error, f"reading {name}") from None
        role = "; it needs the role read on the database" if isinstance(fault, PermissionDeniedError) else ""
        return f"{fault}{role}."
    return ""


def _examine_indexes(read: Read, collections: Mapping[str, list[Table]], seconds: float) -> Iterator[Finding]:
    statements: dict[str, list[str]] = {}
    views: list[str] = []
    unknown: dict[str, list[str]] = {}
    for name, tables in collections.items():

        def find(database: MongoDatabase, name: str = name, tables: list[Table] = tables) -> Sequence[str]:
            with pymongo.timeout(seconds):
                return find_unindexed_fields(database, name, list_date_fields(tables))

        try:
            fields = read(find)
        except PyMongoError as error:
            fault = translate_mongo_error(error, "")
            if isinstance(fault, ServerUnreachableError):
                raise translate_mongo_error(error, f"reading the indexes of {name}") from None
            if isinstance(error, OperationFailure) and error.code == _ON_A_VIEW:
                views.append(name)
            else:
                unknown.setdefault(str(fault), []).append(name)
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
    for reason, names in unknown.items():
        yield MONGODB.skipped("indexes", f"Not examined: reading the indexes of {', '.join(names)}{reason}.")
    if views:
        yield MONGODB.skipped(
            "indexes", f"Not examined: {', '.join(views)}, which have the indexes of what they are views of."
        )
    examined = len(collections) - len(views) - sum(map(len, unknown.values()))
    if examined and not statements:
        every = "Every collection" if examined == len(collections) else "Every other collection"
        yield MONGODB.passed("indexes", f"{every} has indexes on the dates its changes are found by.")


def _examine_dates(
    read: Read, schema: Schema, collections: Mapping[str, list[Table]], seconds: float
) -> Iterator[Finding]:
    """Find dates that are no dates, where changes are found by dates."""
    lines: list[str] = []
    unknown: dict[str, list[str]] = {}
    dated = [name for name in collections if schema.collections[name].capture != "change_stream"]
    for name in dated:

        def count(database: MongoDatabase, name: str = name) -> Mapping[str, Mapping[str, int]]:
            with pymongo.timeout(seconds):
                return count_untold(database, name, list_date_fields(collections[name]), _MOST_COUNTED + 1)

        try:
            untold = read(count)
        except PyMongoError as error:
            fault = translate_mongo_error(error, "")
            if isinstance(fault, ServerUnreachableError):
                raise translate_mongo_error(error, f"reading the dates of {name}") from None
            unknown.setdefault(str(fault), []).append(name)
            continue
        lines += [f"{name}: {field} of {_describe_types(types)}" for field, types in untold.items()]
    for reason, names in unknown.items():
        yield MONGODB.skipped("dates", f"Not examined: reading the dates of {', '.join(names)}{reason}.")
    if lines:
        yield MONGODB.warned(
            "dates",
            "Documents hold something else than a Date where their changes are found by Dates: every run reads all of"
            " them again. Make them Dates, or declare incremental: none or capture: change_stream for the collection.",
            details=lines,
        )
    elif sum(map(len, unknown.values())) < len(dated) or (collections and not dated):
        yield MONGODB.passed("dates", "Every date that changes are found by is a Date, or null.")


def _describe_types(types: Mapping[str, int]) -> str:
    """Describe how many documents there are of each type: `3 documents (2 string, 1 long)`."""
    total = sum(types.values())
    count = f"more than {_MOST_COUNTED:,}" if total > _MOST_COUNTED else f"{total:,}"
    shares = ", ".join(f"{number:,} {kind}" for kind, number in types.items())
    return f"{count} document{'s' * (total != 1)} ({shares if total <= _MOST_COUNTED else ', '.join(types)})"


def _examine_streams(
    read: Read, schema: Schema, collections: Mapping[str, list[Table]], seconds: float
) -> Iterator[Finding]:
    captured = [name for name in collections if schema.collections[name].capture == "change_stream"]
    faults: dict[str, list[str]] = {}
    for name in captured:
        table = collections[name][0]

        def open_stream(database: MongoDatabase, table: Table = table) -> None:
            with pymongo.timeout(seconds), database.client.start_session(causal_consistency=True) as session:
                open_position(database, table, session)

        try:
            read(open_stream)
        except (SmartdietError, PyMongoError) as error:
            fault = translate_mongo_error(error, f"opening the change stream of {name}")
            # The reason is the server's, and the same for all of them.
            reason = str(fault).removeprefix(f"{table.name}: ")
            faults.setdefault(_replace_name(reason, name), []).append(name)
    for reason, names in faults.items():
        yield MONGODB.failed("change streams", f"{reason.replace(_NAME, ', '.join(names))}.")
    if captured and not faults:
        yield MONGODB.passed("change streams", f"The change streams of {', '.join(captured)} can be opened.")


def _replace_name(sentence: str, name: str) -> str:
    """Put a mark where a sentence names a collection, as a whole word."""
    return re.sub(rf"(?<!\S){re.escape(name)}(?![^\s,;.])", _NAME, sentence)
