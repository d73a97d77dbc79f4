"""Two PostgreSQL databases for the tests of `refresh postgres`, and what there is to compare.

Here: filling, refreshing, and judges that share nothing with the product: pg_dump, and the catalogues read in another
way. Not here: tests.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from smartdiet_assets.demo.postgres_placement import find_binaries
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.refresh.plan import RefreshOutcome
from smartdiet_assets.refresh.postgres.refresh import PostgresRefresh
from smartdiet_assets.refresh.postgres.selection import RefreshFilters
from smartdiet_assets.refresh.postgres.sessions import Waits
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.refresh.running import prepare_refresh, run_refresh
from smartdiet_assets.resources.postgres import PostgresResource

EVERYTHING = Path(__file__).with_name("everything.sql")
_TABLES = """
SELECT c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
"""
#: Read in another way than the product does: what a client sees.
_STRUCTURE = {
    "columns": """
SELECT table_schema, table_name, column_name, ordinal_position - (
    SELECT count(*) FROM pg_attribute a
    WHERE a.attrelid = format('%I.%I', table_schema, table_name)::regclass AND a.attisdropped
      AND a.attnum < ordinal_position
  ), data_type, udt_schema, udt_name, character_maximum_length, numeric_precision, numeric_scale,
  is_nullable, column_default, collation_name, is_identity, identity_generation, identity_start, generation_expression
FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')""",
    "constraints": """
SELECT n.nspname, conrelid::regclass::text, contypid::regtype::text, conname, contype, condeferrable, condeferred,
  convalidated, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')""",
    "indexes": """
SELECT schemaname, tablename, indexname, indexdef, indisvalid, indisready, indisclustered
FROM pg_indexes JOIN pg_index ON indexrelid = format('%I.%I', schemaname, indexname)::regclass
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')""",
    "sequences": "SELECT * FROM pg_sequences",
    "views": """
SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
UNION ALL SELECT schemaname, matviewname, definition || ispopulated::text FROM pg_matviews""",
    "triggers": """
SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
    "comments": "SELECT description FROM pg_description WHERE objoid >= 16384",
    "partitions": "SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits",
    "triggers of foreign keys": """
SELECT tgrelid::regclass::text, count(*) FROM pg_trigger WHERE tgisinternal GROUP BY 1""",
}


class PostgresPair:
    """A source and a target database on one server; `lines` is what the last refresh said of its progress.

    Args:
        source, target: their URLs.
    """

    def __init__(self, server: EmbeddedPostgres, source: str, target: str) -> None:
        self.server = server
        self.source_name, self.target_name = (str(conninfo_to_dict(url)["dbname"]) for url in (source, target))
        self.lines: list[str] = []
        self.steps: list[str] = []
        self.waits = Waits()

    def build_resource(self, database: str, user: str = "", password: str = "") -> PostgresResource:
        return PostgresResource(
            host=self.server.host, port=self.server.port, database=database,
            user=user or self.server.user, password=password or self.server.password,
        )  # fmt: skip

    @contextmanager
    def open(self, database: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.server.dsn(database), autocommit=True) as connection:
            yield connection

    def source(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the source and fetch what the last one gives."""
        return self._run(self.source_name, statements)

    def target(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the target and fetch what the last one gives."""
        return self._run(self.target_name, statements)

    def _run(self, database: str, statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
        with self.open(database) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def build_refresh(
        self,
        *,
        user: str = "",
        password: str = "",
        on_step: Callable[[str], None] = lambda step: None,
        **filters: Any,
    ) -> PostgresRefresh:
        def note(step: str) -> None:
            self.steps.append(step)
            on_step(step)

        self.lines, self.steps = [], []
        return PostgresRefresh(
            self.build_resource(self.source_name),
            self.build_resource(self.target_name, user, password),
            "local",
            RefreshFilters(**filters),
            note,
            self.waits,
        )

    def refresh(self, **options: Any) -> RefreshOutcome:
        """Refresh the target as a command does."""
        refresh = self.build_refresh(**options)
        plan = prepare_refresh(refresh, lambda plan: None, target_name=None, dry_run=False)
        return run_refresh(refresh, plan, LineProgress(self.say), dry_run=False)

    def say(self, line: str) -> None:
        self.lines.append(line)


def dump_structure(server: EmbeddedPostgres, database: str, *options: str) -> str:
    """Let pg_dump write a database's structure, without what differs by chance."""
    command = [str(find_binaries() / "pg_dump"), "--schema-only", *options, server.dsn(database)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--")))


def read_structure(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Read what a client sees of a database's structure."""
    connection.execute("SET search_path = ''")
    return {
        name: sorted(str(row) for row in connection.execute(query.encode()).fetchall())
        for name, query in _STRUCTURE.items()
    }


def read_contents(connection: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    """Read how many rows each table has, and a checksum of them."""
    connection.execute("SET search_path = ''")
    names = sorted(row[0] for row in connection.execute(_TABLES).fetchall())
    found = {}
    for name in names:
        query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ONLY {name} t"
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        found[name] = tuple(row)
    return found


def assert_same(pair: PostgresPair) -> None:
    """Let all judges compare the two databases."""
    with pair.open(pair.source_name) as source, pair.open(pair.target_name) as target:
        wanted = read_structure(source)
        for name, found in read_structure(target).items():
            assert found == wanted[name], f"{name}: {set(found) ^ set(wanted[name])}"
        assert read_contents(target) == read_contents(source)
    assert dump_structure(pair.server, pair.target_name) == dump_structure(pair.server, pair.source_name)


def load_everything(connection: psycopg.Connection) -> None:
    """Fill a database with everything a refresh copies."""
    # Without parameters the whole text goes to the server as it is, several statements at once.
    connection.execute(EVERYTHING.read_text().encode())
