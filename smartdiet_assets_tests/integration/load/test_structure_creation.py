"""Tables are created when missing, and what a declaration gains is added to the live table."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from smartdiet_assets.errors import ConfigurationError, SchemaMismatchError
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets.load.structure.creation import apply_not_null, apply_table
from smartdiet_assets.load.structure.live import LiveTable, read_live_table, read_structure
from smartdiet_assets_tests.support.declared import CLINIC, declare

Connection = psycopg.Connection[Any]
SCHEMA = declare()
COMPANY = "INSERT INTO companies VALUES ('c1', now(), now(), 'one')"
USER = "INSERT INTO users (id, created_at, updated_at, email) VALUES ('u1', now(), now(), 'a@b')"


@pytest.fixture
def clinic(postgres: Connection) -> Connection:
    """A database with every table of the clinic, one company and one user."""
    apply_bookkeeping(postgres)
    for table in SCHEMA.tables.values():
        apply_table(postgres, SCHEMA, table)
    postgres.execute(COMPANY)
    postgres.execute(USER)
    return postgres


def live(connection: Connection, name: str) -> LiveTable:
    table = read_live_table(connection, name)
    assert table is not None
    return table


def locks(connection: Connection) -> set[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
        " WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'public'::regnamespace"
    )
    return {row[0] for row in rows}


def test_a_table_brings_its_missing_ancestors(postgres: Connection) -> None:
    apply_bookkeeping(postgres)
    changes = apply_table(postgres, SCHEMA, SCHEMA.tables["user_friends"])
    assert changes.created
    assert set(read_structure(postgres).tables) == {"companies", "users", "user_friends"}


def test_what_was_created_compares_equal_and_takes_no_lock(clinic: Connection) -> None:
    with clinic.transaction():
        for table in SCHEMA.tables.values():
            changes = apply_table(clinic, SCHEMA, table)
            assert (changes.created, changes.added_columns, changes.reimport) == (False, (), None)
        apply_bookkeeping(clinic)
        assert locks(clinic) == set()


def test_keys_can_be_built_after_the_rows_without_a_lock_on_the_parents(clinic: Connection) -> None:
    clinic.execute("DROP TABLE user_friends")
    with clinic.transaction():
        changes = apply_table(clinic, SCHEMA, SCHEMA.tables["user_friends"], keys_later=True)
        assert "users" not in locks(clinic)
        for statement in changes.keys:
            clinic.execute(statement)
    assert not apply_table(clinic, SCHEMA, SCHEMA.tables["user_friends"]).created


def test_tables_live_in_the_current_schema(postgres: Connection) -> None:
    postgres.execute("CREATE TABLE users (id integer)")
    postgres.execute("CREATE SCHEMA mirror; SET search_path = mirror, public")
    apply_bookkeeping(postgres)
    apply_table(postgres, SCHEMA, SCHEMA.tables["users"])
    assert live(postgres, "users").schema == "mirror"


def test_a_search_path_without_a_schema_is_named(postgres: Connection) -> None:
    postgres.execute("SET search_path = nowhere")
    with pytest.raises(ConfigurationError, match="search_path"):
        apply_table(postgres, SCHEMA, SCHEMA.tables["users"])


def test_two_first_runs_at_once_create_everything_once(postgres_database: str) -> None:
    def run(name: str) -> bool:
        with psycopg.connect(postgres_database) as connection:
            apply_bookkeeping(connection)
            return apply_table(connection, SCHEMA, SCHEMA.tables[name]).created

    with ThreadPoolExecutor(3) as pool:
        created = list(pool.map(run, ["user_friends", "diary", "user_friends"]))
    assert sorted(created) == [False, True, True]


def test_a_reference_takes_the_collation_of_an_older_parent(postgres: Connection) -> None:
    postgres.execute(
        "CREATE TABLE companies (id VARCHAR PRIMARY KEY, created_at TIMESTAMP NOT NULL,"
        " updated_at TIMESTAMP NOT NULL, code VARCHAR(10) NOT NULL UNIQUE)"
    )
    apply_bookkeeping(postgres)
    apply_table(postgres, SCHEMA, SCHEMA.tables["users"])
    columns = live(postgres, "users").columns
    assert columns["company_id"].collation == ("pg_catalog", "default")
    assert columns["id"].collation == ("pg_catalog", "C")
    postgres.execute("SELECT FROM companies AS c JOIN users AS u ON u.company_id = c.id")


def test_a_new_column_is_added_with_its_keys_and_asks_for_a_reimport(clinic: Connection) -> None:
    clinic.execute("ALTER TABLE users DROP COLUMN company_id, DROP COLUMN points")
    changes = apply_table(clinic, SCHEMA, SCHEMA.tables["users"])
    assert changes.added_columns == ("points", "company_id")
    assert changes.reimport == "columns points, company_id were added"
    assert {key.columns for key in live(clinic, "users").foreign_keys} == {("company_id",), ("company_code",)}
    assert apply_table(clinic, SCHEMA, SCHEMA.tables["users"]).added_columns == ()


def test_a_new_not_null_column_waits_for_the_rows_that_lack_it(clinic: Connection) -> None:
    users = SCHEMA.tables["users"]
    clinic.execute("ALTER TABLE users DROP COLUMN email")
    assert apply_table(clinic, SCHEMA, users).reimport == "column email was added"
    with pytest.raises(errors.CheckViolation):
        clinic.execute("INSERT INTO users (id, created_at, updated_at) VALUES ('u2', now(), now())")
    assert apply_not_null(clinic, users) == ()
    assert apply_table(clinic, SCHEMA, users).reimport is None, "waiting is no difference"
    clinic.execute("UPDATE users SET email = 'a@b'")
    assert apply_not_null(clinic, users) == ("email",)
    assert not live(clinic, "users").columns["email"].nullable
    assert apply_not_null(clinic, users) == ()


def test_the_wait_for_not_null_ends_when_the_column_is_declared_nullable(clinic: Connection) -> None:
    clinic.execute("ALTER TABLE users DROP COLUMN email")
    apply_table(clinic, SCHEMA, SCHEMA.tables["users"])
    relaxed = declare(CLINIC, ("VARCHAR(255), nullable: false", "VARCHAR(255)"))
    apply_table(clinic, relaxed, relaxed.tables["users"])
    clinic.execute("INSERT INTO users (id, created_at, updated_at) VALUES ('u2', now(), now())")


def test_a_new_not_null_column_of_an_empty_table_is_not_null_at_once(clinic: Connection) -> None:
    clinic.execute("DELETE FROM users")
    clinic.execute("ALTER TABLE users DROP COLUMN email")
    apply_table(clinic, SCHEMA, SCHEMA.tables["users"])
    assert not live(clinic, "users").columns["email"].nullable


def test_a_numbered_primary_key_can_be_added_to_rows(clinic: Connection) -> None:
    clinic.execute("INSERT INTO diary (user_id, day, created_at, updated_at) VALUES ('u1', now(), now(), now())")
    clinic.execute("ALTER TABLE diary DROP COLUMN id")
    changes = apply_table(clinic, SCHEMA, SCHEMA.tables["diary"])
    assert (changes.added_columns, changes.reimport) == (("id",), None)


def test_an_older_table_gets_its_document_id_and_companion(clinic: Connection) -> None:
    clinic.execute("INSERT INTO diary (user_id, day, created_at, updated_at) VALUES ('u1', now(), now(), now())")
    clinic.execute("ALTER TABLE diary DROP COLUMN document_id")
    clinic.execute('DROP TABLE smartdiet."public.diary_candidates"')
    reimport = apply_table(clinic, SCHEMA, SCHEMA.tables["diary"]).reimport
    assert reimport == "column document_id was added; the documents behind its rows have to be collected"
    clinic.execute('SELECT user_id, day, document_id FROM smartdiet."public.diary_candidates"')


def test_a_companion_of_another_form_is_built_anew(clinic: Connection) -> None:
    clinic.execute("INSERT INTO diary (user_id, day, created_at, updated_at) VALUES ('u1', now(), now(), now())")
    clinic.execute('ALTER TABLE smartdiet."public.diary_candidates" ALTER COLUMN day TYPE timestamp')
    assert apply_table(clinic, SCHEMA, SCHEMA.tables["diary"]).reimport is not None
    assert apply_table(clinic, SCHEMA, SCHEMA.tables["diary"]).reimport is None


def test_indexes_and_comments_are_brought_up_to_date(clinic: Connection) -> None:
    clinic.execute("DROP INDEX users_company_id_idx")
    clinic.execute("COMMENT ON TABLE users IS 'old'; COMMENT ON COLUMN users.company_id IS 'the operator''s own'")
    apply_table(clinic, SCHEMA, SCHEMA.tables["users"])
    users = live(clinic, "users")
    assert ("company_id",) in {index.columns for index in users.indexes}
    assert (users.comment, users.columns["company_id"].comment) == ("One row per user.", "the operator's own")


def test_an_index_finds_another_name_where_its_own_is_taken(postgres: Connection) -> None:
    postgres.execute("CREATE VIEW users_company_id_idx AS SELECT 1")
    apply_bookkeeping(postgres)
    apply_table(postgres, SCHEMA, SCHEMA.tables["users"])
    assert ("company_id",) in {index.columns for index in live(postgres, "users").indexes}


def test_a_user_who_may_only_write_still_passes_the_check(clinic: Connection) -> None:
    clinic.execute("DROP INDEX users_company_id_idx; COMMENT ON TABLE users IS 'old'")
    role = sql.Identifier(f"writer_{clinic.info.dbname}")
    clinic.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        with clinic.transaction(force_rollback=True):
            clinic.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
            apply_bookkeeping(clinic)
            assert apply_table(clinic, SCHEMA, SCHEMA.tables["users"]).reimport is None
    finally:
        clinic.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_parent_that_cannot_be_referenced_is_named(postgres: Connection) -> None:
    postgres.execute("CREATE TABLE companies (id VARCHAR PRIMARY KEY)")
    apply_bookkeeping(postgres)
    with pytest.raises(SchemaMismatchError, match=r"column code, which users\.company_code references, is missing"):
        apply_table(postgres, SCHEMA, SCHEMA.tables["users"])


def test_the_bookkeeping_of_an_older_version_gains_its_columns_and_keeps_its_rows(postgres: Connection) -> None:
    apply_bookkeeping(postgres)
    postgres.execute("INSERT INTO smartdiet.sync_state (table_name, watermark) VALUES ('users', '2024-01-01')")
    postgres.execute("ALTER TABLE smartdiet.sync_state DROP COLUMN window_digest, DROP COLUMN structure_digest")
    apply_bookkeeping(postgres)
    row = postgres.execute("SELECT table_name, window_digest, structure_digest FROM smartdiet.sync_state").fetchone()
    assert row == ("users", None, None)
