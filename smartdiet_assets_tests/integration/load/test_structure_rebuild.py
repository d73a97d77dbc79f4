"""What the bulk way drops around an empty table comes back exactly as it was."""

from typing import Any

import psycopg
import pytest

from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets.load.structure.creation import apply_table
from smartdiet_assets.load.structure.live import read_structure
from smartdiet_assets.load.structure.rebuild import read_rebuild_plan
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.loads import EARLY, LATE, club, described, load, oid, read

Connection = psycopg.Connection[Any]
SCHEMA = declare()


@pytest.fixture
def clinic(postgres: Connection) -> Connection:
    apply_bookkeeping(postgres)
    for table in SCHEMA.tables.values():
        apply_table(postgres, SCHEMA, table)
    return postgres


def rebuild(connection: Connection, table: str) -> tuple[int, int]:
    """Drop and restore; return how many keys and indexes the table had in between, and its foreign keys."""
    plan = read_rebuild_plan(connection, table)
    with connection.transaction():
        for statement in plan.drops:
            connection.execute(statement)
        between = read_structure(connection, [table]).tables[table]
        for statement in plan.restores:
            connection.execute(statement)
    keys = len(between.uniques) + len(between.indexes) + (between.primary_key is not None)
    return keys, len(between.foreign_keys)


@pytest.mark.parametrize("table", list(SCHEMA.tables))
def test_everything_is_dropped_and_comes_back(clinic: Connection, table: str) -> None:
    before = read_structure(clinic)
    assert rebuild(clinic, table) == (0, 0)
    assert read_structure(clinic) == before


def test_the_operators_own_indexes_and_names_come_back(clinic: Connection) -> None:
    clinic.execute(
        'ALTER TABLE users RENAME CONSTRAINT users_email_key TO "The key";'
        "CREATE INDEX mine ON users (lower(email)) WHERE active;"
        "CREATE INDEX theirs ON users USING hash (role);"
        "CREATE TABLE notes (user_id varchar REFERENCES users ON DELETE SET NULL)"
    )
    before = read_structure(clinic)
    assert rebuild(clinic, "users") == (0, 0)
    assert read_structure(clinic) == before


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW counted AS SELECT u.id, u.email, count(*) FROM users AS u GROUP BY u.id",
        "ALTER TABLE users REPLICA IDENTITY USING INDEX users_pkey",
        "ALTER TABLE users CLUSTER ON users_pkey",
        "COMMENT ON INDEX users_pkey IS 'mine'",
    ],
)
def test_a_key_that_could_not_come_back_the_same_stays(clinic: Connection, change: str) -> None:
    clinic.execute(change)
    before = read_structure(clinic)
    assert rebuild(clinic, "users") == (1, 0)
    assert read_structure(clinic) == before


def test_foreign_keys_of_another_owner_stay_and_keep_the_key(clinic: Connection) -> None:
    role = f"owner_{clinic.info.dbname}"
    clinic.execute("CREATE TABLE notes (user_id varchar REFERENCES users)")
    clinic.execute(f"CREATE ROLE {role}; ALTER TABLE users OWNER TO {role}; ALTER TABLE diary OWNER TO {role}")
    clinic.execute(f"ALTER TABLE user_friends OWNER TO {role}; GRANT ALL ON companies TO {role}")
    clinic.execute(f"GRANT ALL ON SCHEMA public TO {role}")
    try:
        with clinic.transaction(force_rollback=True):
            clinic.execute(f"SET LOCAL ROLE {role}")
            assert rebuild(clinic, "users") == (1, 0)
    finally:
        clinic.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


def test_nothing_is_dropped_around_a_partitioned_table(postgres: Connection) -> None:
    postgres.execute("CREATE TABLE parted (id integer PRIMARY KEY) PARTITION BY LIST (id)")
    plan = read_rebuild_plan(postgres, "parted")
    assert (plan.drops, plan.restores) == ((), ())


@pytest.mark.parametrize("created", [True, False])
def test_rows_leave_a_published_table_also_while_its_keys_are_away(postgres: psycopg.Connection, created: bool) -> None:
    postgres.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    schema = club()
    load(postgres, schema, "groups", read((oid(1), None, "one")))
    if not created:
        load(postgres, schema, "members")
    orphan = (oid(2), oid(9), None, "b@c", None, EARLY, EARLY)
    again = (oid(3), oid(1), None, "c@d", None, EARLY, EARLY)
    result = load(postgres, schema, "members", read(orphan, again, again), bulk_from=2)
    assert (result.rejected, result.rows, result.mode) == (1, 1, "bulk")
    assert load(postgres, schema, "tags", described((oid(3), [(oid(3), "x", 1, EARLY, EARLY)]))).rows == 1
    assert load(postgres, schema, "tags", described((oid(3), []))).deleted == 1
    assert load(postgres, schema, "members", read((oid(3), None, None, "d@e", None, EARLY, LATE))).updated == 1
    identities = "SELECT relname::text, relreplident::text FROM pg_class WHERE relname IN ('members', 'tags')"
    assert dict(postgres.execute(identities).fetchall()) == {"members": "d", "tags": "i"}
