"""The tool this project replaces, emulated: how it read, converted and wrote, from a schema file of its own format.

Pages of 5,000 documents by `skip` and `limit` in the order of `creation_date`; every value but an id as the driver
gave it; upserts by psycopg2, committed by page; of the tables filled from arrays, the rows of one parent after the
other deleted and inserted. A run after the first reads the documents dated from the newest date in the table on. The
tables are made with all constraints, as that tool made them. It sent a statement per row: so does this as a program
(`python -m`), while within a benchmark's process it is given the advantage of statements of 1,000 rows.

Not here: measuring, or anything of this project but the notation of the old file (`old_file`).
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from smartdiet_assets_tests.benchmarks.peers import Source

PAGE = 5_000
ROWS_PER_STATEMENT = 1_000
_BASE = {"_id": "id", "creation_date": "created_at", "update_date": "updated_at"}


@dataclass(frozen=True)
class Link:
    """What that tool's code knew of a table filled from arrays: (array, constant) pairs, and an item's own key."""

    arrays: Sequence[tuple[str, str | None]]
    item_key: str = ""
    dated_by_parent: bool = True


_LINKS = {
    "user_events": Link([("registered_events", None)], "event", dated_by_parent=False),
    "users_targets": Link(
        [("targets", "basic"), ("specificity_targets", "specificity"), ("health_targets", "health")],
        dated_by_parent=False,
    ),
    "coaching_reasons": Link(
        [("reasons", "reason"), ("health_reason", "health_reason"), ("health_reasons", "health_reason")],
        dated_by_parent=False,
    ),
    "users_contents_reads": Link([("viewed_by", None)], "user"),
    "quizzs_links_questions": Link([("questions", None)], "question"),
    "users_quizzs_links_questions": Link([("questions", None)], "question"),
    "days_contents_links": Link([("contents", None)], "content"),
    "days_logbooks_links": Link([("main_logbooks", None)], "logbook"),
}
#: The one strategy of its own that selected documents.
_FILTERS = {"users_logbooks": {"user": {"$exists": True, "$ne": None}}}


@dataclass(frozen=True)
class OldTable:
    """One table: where it is read, which field feeds which column, and what an upsert conflicts on."""

    name: str
    collection: str
    sources: Mapping[str, str]
    key: Sequence[str]
    link: Link | None
    reimports: bool

    @property
    def columns(self) -> list[str]:
        return list(self.sources.values())


def read_tables(text: str) -> list[OldTable]:
    """Read the tables of an old file, in the order that tool ran them."""
    sections: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)["tables"]
    ordered = sorted(sections.items(), key=lambda item: item[1].get("export_order", 0))
    return [_read_table(name, section) for name, section in ordered]


def _read_table(name: str, section: Mapping[str, Any]) -> OldTable:
    if section.get("include_base"):
        columns = [*_BASE.values(), *(column["name"] for column in section["additional_columns"])]
        mappings = {**_BASE, **section.get("additional_mappings", {})}
    else:
        columns = [column["name"] for column in section["columns"]]
        mappings = section.get("explicit_mappings", {})
    field_of = {column: field for field, column in mappings.items()}
    sources = {field_of.get(column, column): column for column in columns}
    key = ["id"] if "id" in columns else section["unique_constraints"][0]
    link = _LINKS.get(section.get("import_strategy", ""))
    return OldTable(
        name, section.get("mongo_collection", name), sources, key, link, section.get("force_reimport", False)
    )


class ReplacedTool:
    """Runs an old file's tables, one after the other, on connections of its own driver."""

    def __init__(self, text: str, tables: Sequence[str] = (), rows_per_statement: int = ROWS_PER_STATEMENT) -> None:
        self.rows_per_statement = rows_per_statement
        self.tables = [table for table in read_tables(text) if not tables or table.name in tables]

    def load(self, source: Source, dsn: str, schema: str) -> None:
        """Load every table into a schema where it has been created."""
        import psycopg2

        with (
            closing(psycopg2.connect(dsn, options=f"-csearch_path={schema}")) as connection,
            MongoClient[Any](source.uri) as client,
        ):
            for table in self.tables:
                collection = client[source.database][table.collection]
                dated = {} if table.reimports else _find_changed(connection, table)
                if table.link is None:
                    self._upsert_all(connection, table, collection, dated)
                else:
                    self._replace_links(connection, table, table.link, collection, dated)

    def _upsert_all(
        self, connection: Any, table: OldTable, collection: Collection[Any], dated: Mapping[str, Any]
    ) -> None:
        fields = list(table.sources)
        for page in read_pages(collection, {**_FILTERS.get(table.name, {}), **dated}):
            rows = [tuple(_convert(document.get(field)) for field in fields) for document in page]
            self._upsert(connection, table, rows)

    def _upsert(self, connection: Any, table: OldTable, rows: list[tuple[Any, ...]]) -> None:
        from psycopg2 import IntegrityError
        from psycopg2.extras import execute_values

        statement = compose_upsert(table)
        places = [table.columns.index(column) for column in table.key]
        # One statement can meet a row once only; the last one is what a statement per row would have left.
        unique = list({tuple(row[place] for place in places): row for row in rows}.values())
        with connection.cursor() as cursor:
            try:
                execute_values(cursor, statement, unique, page_size=self.rows_per_statement)
            except IntegrityError:
                connection.rollback()
                _insert_singly(cursor, statement, unique)
        connection.commit()

    def _replace_links(
        self, connection: Any, table: OldTable, link: Link, collection: Collection[Any], dated: Mapping[str, Any]
    ) -> None:
        from psycopg2 import IntegrityError
        from psycopg2.extras import execute_values

        parent_column, item_column = table.columns[:2]
        columns = [
            parent_column,
            item_column,
            *(["type"] if "type" in table.columns else []),
            "created_at",
            "updated_at",
        ]
        delete = f'DELETE FROM "{table.name}" WHERE "{parent_column}" = %s'
        insert = f'INSERT INTO "{table.name}" ({_quote(columns)}) VALUES %s'
        filled = {"$or": [{name: {"$exists": True, "$ne": []}} for name, _ in link.arrays]}
        for page in read_pages(collection, {"$and": [filled, dated]}):
            items = {str(document["_id"]): _list_items(document, link) for document in page}
            with connection.cursor() as cursor:
                try:
                    for parent, rows in items.items():
                        cursor.execute(delete, [parent])
                        execute_values(cursor, insert, rows, page_size=self.rows_per_statement)
                except IntegrityError:
                    connection.rollback()
                    for parent, rows in items.items():
                        cursor.execute(delete, [parent])
                        _insert_singly(cursor, insert, rows)
            connection.commit()


def _insert_singly(cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert row by row, leaving out those that break a constraint."""
    from psycopg2 import IntegrityError
    from psycopg2.extras import execute_values

    for row in rows:
        cursor.execute("SAVEPOINT one_row")
        try:
            execute_values(cursor, statement, [row])
        except IntegrityError:
            cursor.execute("ROLLBACK TO SAVEPOINT one_row")
        cursor.execute("RELEASE SAVEPOINT one_row")


def compose_upsert(table: OldTable) -> str:
    """Compose the upsert of a table, for `execute_values`."""
    updates = [f'"{column}" = EXCLUDED."{column}"' for column in table.columns if column not in table.key]
    return (
        f'INSERT INTO "{table.name}" ({_quote(table.columns)}) VALUES %s '
        f"ON CONFLICT ({_quote(table.key)}) DO UPDATE SET {', '.join(updates)}"
    )


def read_pages(collection: Collection[Any], condition: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Read the documents that meet a condition in pages, each found anew by counting from the first."""
    start = 0
    while page := list(collection.find(condition).sort("creation_date", 1).skip(start).limit(PAGE)):
        yield page
        start += PAGE


def _find_changed(connection: Any, table: OldTable) -> dict[str, Any]:
    """Find the condition of the documents a run reads: from the newest date in the table on, or all of them."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT max(greatest(created_at, updated_at)) FROM "{table.name}"')
        (newest,) = cursor.fetchone()
    if newest is None:
        return {}
    return {"$or": [{"creation_date": {"$gte": newest}}, {"update_date": {"$gte": newest}}]}


def _list_items(document: Mapping[str, Any], link: Link) -> list[tuple[Any, ...]]:
    created = document.get("creation_date")
    dates = (created, document.get("update_date") or created) if link.dated_by_parent else (datetime.now(),) * 2
    parent = str(document["_id"])
    return [
        (parent, item, *([constant] if constant else []), *dates)
        for name, constant in link.arrays
        for item in {_identify(item, link.item_key): None for item in _as_list(document.get(name))}
    ]


def _as_list(value: Any) -> list[Any]:
    # That tool stopped at a single id where it expected an array.
    return value if isinstance(value, list) else [] if value is None else [value]


def _identify(item: Any, key: str) -> str:
    return str(item.get(key) or item["_id"]) if isinstance(item, dict) else str(item)


def _convert(value: Any) -> Any:
    return str(value) if isinstance(value, ObjectId) else value


def _quote(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


if __name__ == "__main__":
    _uri, _database, _dsn, _schema, _file = sys.argv[1:]
    ReplacedTool(Path(_file).read_text(), rows_per_statement=1).load(Source(_uri, _database, []), _dsn, _schema)
