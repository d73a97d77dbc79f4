"""The record of the fields that a collection's documents have: what a run adds to it, and reading it.

A line is a field with a BSON type. What a line means, the declaration says when it is read (`schema.drift`): the record
holds what was seen, of declared and undeclared fields alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets.load.execution import Connection, PlannedStatement, fetch_all
from smartdiet_assets.load.fragments import records_here
from smartdiet_assets.schema.drift import Drift, RecordedField, SeenField, find_drift
from smartdiet_assets.schema.model import Schema

#: Lines of one collection beyond which no further ones are added.
MOST_LINES = 2_000

# Lines of declared fields say what was there before a type changed: they are seen again by every run, and written once
# a day, or where a run looked at, or saw, many more documents. All are written in the order of their key, for the runs
# of other tables of the collection may write the same now. A complete look says anew what was there before.
_STORE = f"""\
INSERT INTO smartdiet.document_fields AS f
  (collection, path, bson_type, times, looked_at, first_run_id, run_id)
SELECT %(collection)s, x.path, x.bson_type, x.times, x.looked_at, %(run)s, %(run)s
FROM unnest(%(paths)s::text[], %(types)s::text[], %(times)s::bigint[], %(looked_at)s::bigint[], %(lasting)s::boolean[])
  AS x (path, bson_type, times, looked_at, lasting)
LEFT JOIN smartdiet.document_fields AS k
  ON k.schema_name = current_schema()
  AND k.collection = %(collection)s
  AND k.path = x.path
  AND k.bson_type = x.bson_type
WHERE CASE
  WHEN k.path IS NULL THEN (
    SELECT count(*)
    FROM smartdiet.document_fields
    WHERE schema_name = current_schema() AND collection = %(collection)s
  ) < {MOST_LINES}
  WHEN x.lasting THEN %(complete)s
    OR k.last_seen < now() - interval '1 day'
    OR 2 * k.looked_at < x.looked_at
    OR 2 * k.times < x.times
  ELSE k.run_id IS DISTINCT FROM %(run)s OR k.looked_at < x.looked_at
END
ORDER BY x.path, x.bson_type
ON CONFLICT (schema_name, collection, path, bson_type) DO UPDATE SET
  times = excluded.times,
  looked_at = excluded.looked_at,
  last_seen = now(),
  first_run_id = CASE WHEN %(complete)s THEN excluded.first_run_id ELSE f.first_run_id END,
  run_id = excluded.run_id"""

_FORGET = """\
DELETE FROM smartdiet.document_fields
WHERE schema_name = current_schema()
  AND collection = %(collection)s
  AND (
    path <> ALL (%(present)s::text[])
    OR path = ANY (%(paths)s::text[])
    AND (path, bson_type) NOT IN (SELECT * FROM unnest(%(paths)s::text[], %(types)s::text[]))
  )"""

_FETCH = sql.SQL("""\
SELECT collection, path, bson_type, times, looked_at, first_seen, last_seen, first_run_id, run_id
FROM {} AS f
WHERE collection = ANY (%s)
ORDER BY collection, path, bson_type""").format(records_here("document_fields"))


@dataclass(frozen=True, slots=True)
class SeenFields:
    """What a run saw.

    Attributes:
        lasting: what of it is of declared fields.
        passing: the rest, which counts anew in each run.
        undeclared: the innermost of that, to be told.
        little_left_out: whether the fields the table needs are most of the documents, None where that was not seen.
        present: what was there at all; None where not every document was looked at, so that others may be there too.
    """

    lasting: Sequence[SeenField]
    passing: Sequence[SeenField]
    undeclared: Sequence[SeenField]
    little_left_out: bool | None = None
    present: Sequence[str] | None = None


def plan_fields(collection: str, seen: SeenFields, run_id: str) -> Iterator[PlannedStatement]:
    """Plan to store what a run saw. Other tables' runs may want the same lines: to be the last that a run does."""
    lines = [(field, True) for field in seen.lasting] + [(field, False) for field in seen.passing]
    values = {
        "collection": collection,
        "paths": [field.path for field, _ in lines],
        "types": [field.bson_type for field, _ in lines],
    }
    if seen.present is not None:
        yield _FORGET, {**values, "present": list(seen.present)}
    if lines:
        yield (
            _STORE,
            {
                **values,
                "run": run_id,
                "complete": seen.present is not None,
                "times": [field.times for field, _ in lines],
                "looked_at": [field.looked_at for field, _ in lines],
                "lasting": [lasting for _, lasting in lines],
            },
        )


def fetch_fields(connection: Connection, collections: Sequence[str]) -> dict[str, list[RecordedField]]:
    """Fetch the recorded fields of collections; none where the records are of an earlier version.

    Raises:
        psycopg.Error: PostgreSQL refused or was lost.
    """
    found: dict[str, list[RecordedField]] = {collection: [] for collection in collections}
    [(known,)] = fetch_all(connection, sql.SQL("SELECT to_regclass('smartdiet.document_fields') IS NOT NULL"))
    if known:
        for collection, *line in fetch_all(connection, _FETCH, [list(collections)]):
            found[collection].append(RecordedField(*line))
    return found


def fetch_drift(connection: Connection, schema: Schema, collections: Sequence[str]) -> dict[str, Drift]:
    """Fetch how the documents of collections differ from what is declared now; see `fetch_fields`."""
    records = fetch_fields(connection, collections)
    return {collection: find_drift(schema, collection, found) for collection, found in records.items()}
