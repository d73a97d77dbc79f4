"""A live table that differs stops the run with every difference; what is the operator's own does not."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartdiet_assets.errors import SchemaMismatchError
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets.load.structure.creation import apply_table
from smartdiet_assets_tests.support.declared import declare

Connection = psycopg.Connection[Any]
SCHEMA = declare()


@pytest.fixture
def clinic(postgres: Connection) -> Connection:
    apply_bookkeeping(postgres)
    for table in SCHEMA.tables.values():
        apply_table(postgres, SCHEMA, table)
    return postgres


def find(connection: Connection, table: str) -> list[str]:
    try:
        apply_table(connection, SCHEMA, SCHEMA.tables[table])
    except SchemaMismatchError as error:
        return error.differences
    return []


#: (table, what the operator did, the start of the line)
DIFFERENCES = [
    ("users", "ALTER TABLE users ALTER email TYPE varchar(300)", "column email: live character varying(300), "),
    ("users", "ALTER TABLE users ALTER points TYPE bigint", "column points: live bigint, declared smallint"),
    ("diary", "ALTER TABLE diary ALTER day TYPE text", "column day: live text, declared date"),
    ("users", "ALTER TABLE users ALTER email DROP NOT NULL", "column email: live nullable, declared NOT NULL"),
    ("users", "ALTER TABLE users ALTER points SET NOT NULL", "column points: live NOT NULL, declared nullable"),
    ("users", "ALTER TABLE users ALTER active SET DEFAULT false", "column active: live DEFAULT false, "),
    ("users", "ALTER TABLE users ALTER active DROP DEFAULT", "column active: live no default, "),
    ("users", "ALTER TABLE users ALTER email SET DEFAULT 'x'", "column email: live DEFAULT 'x'::character"),
    ("users", "ALTER TABLE users ADD nickname text", "column nickname: live text, declared no such column"),
    ("users", "ALTER TABLE users DROP CONSTRAINT users_email_key", "unique (email): live none"),
    ("users", "CREATE UNIQUE INDEX mine ON users (born)", "unique index mine: live CREATE UNIQUE INDEX"),
    ("users", "ALTER TABLE users DROP CONSTRAINT users_company_id_fkey", "foreign key company_id: live none"),
    (
        "users",
        "ALTER TABLE users DROP CONSTRAINT users_company_id_fkey,"
        " ADD FOREIGN KEY (company_id) REFERENCES companies ON DELETE CASCADE",
        "foreign key company_id: live FOREIGN KEY (company_id) REFERENCES companies(id) ON DELETE CASCADE",
    ),
    (
        "users",
        "ALTER TABLE users DROP CONSTRAINT users_company_id_fkey,"
        " ADD FOREIGN KEY (company_id) REFERENCES companies NOT VALID",
        "foreign key company_id: live FOREIGN KEY (company_id) REFERENCES companies(id) NOT VALID",
    ),
    ("users", "ALTER TABLE users ADD FOREIGN KEY (role) REFERENCES companies", "foreign key role: live"),
    ("diary", "ALTER TABLE diary ALTER id DROP IDENTITY", "column id: live no sequence"),
    ("diary", "ALTER TABLE diary DROP CONSTRAINT diary_pkey", "primary key: live none, declared (id)"),
    ("user_friends", "ALTER TABLE user_friends ADD PRIMARY KEY (user_id, friend_id)", "primary key: live (user_id, "),
    (
        "user_friends",
        "ALTER TABLE user_friends DROP CONSTRAINT user_friends_user_id_friend_id_key,"
        " ADD UNIQUE (user_id, friend_id) DEFERRABLE",
        "unique (user_id, friend_id): live (user_id, friend_id) DEFERRABLE",
    ),
    (
        "user_friends",
        "DROP TABLE user_friends; CREATE VIEW user_friends AS SELECT 1 AS user_id",
        "live is a view, declared is a table",
    ),
]


@pytest.mark.parametrize(("table", "change", "line"), DIFFERENCES)
def test_a_difference_is_named(clinic: Connection, table: str, change: str, line: str) -> None:
    clinic.execute(change)
    differences = find(clinic, table)
    assert [difference[: len(line)] for difference in differences] == [line]


@pytest.mark.parametrize(("table", "change"), [row[:2] for row in DIFFERENCES[:-1]])
def test_the_statement_of_a_difference_settles_it(clinic: Connection, table: str, change: str) -> None:
    clinic.execute(change)
    for difference in find(clinic, table):
        clinic.execute(difference.partition("; run ")[2].partition(" or declare ")[0])
    assert find(clinic, table) == []


def test_every_difference_is_reported_at_once_and_nothing_is_changed(clinic: Connection) -> None:
    clinic.execute("ALTER TABLE users ALTER email DROP NOT NULL, ADD nickname text, DROP COLUMN born")
    assert len(find(clinic, "users")) == 2
    columns = clinic.execute("SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'")
    assert columns.fetchone() == (12,)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX mine ON users (lower(email))",
        "CREATE VIEW people AS SELECT email FROM users",
        "ALTER TABLE users RENAME CONSTRAINT users_email_key TO something_else",
        "ALTER TABLE users RENAME CONSTRAINT users_company_id_fkey TO users_fk1",
        "ALTER TABLE users DROP CONSTRAINT users_email_key; CREATE UNIQUE INDEX mine ON users (email)",
        'ALTER TABLE users ALTER email TYPE varchar(255) COLLATE "C"',
        "GRANT SELECT ON users TO PUBLIC",
    ],
)
def test_what_is_the_operators_own_is_ignored(clinic: Connection, change: str) -> None:
    clinic.execute(change)
    assert find(clinic, "users") == []


def test_a_database_of_the_replaced_tool_compares_equal(postgres: Connection) -> None:
    """Plain VARCHAR ids, the database's collation, PostgreSQL's own names, SERIAL."""
    postgres.execute(
        """
        CREATE TABLE companies (id VARCHAR PRIMARY KEY, created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL,
          code VARCHAR(10) NOT NULL, UNIQUE (code));
        CREATE TABLE users (id VARCHAR PRIMARY KEY, created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL,
          email VARCHAR(255) NOT NULL, role VARCHAR(100) NOT NULL DEFAULT 'it''s', active BOOLEAN DEFAULT TRUE,
          height NUMERIC(5,2) DEFAULT 1.5, points SMALLINT DEFAULT -1, born DATE DEFAULT '2000-1-2',
          settings JSONB DEFAULT '{"a":1}', company_id VARCHAR REFERENCES companies(id),
          company_code VARCHAR(10) REFERENCES companies(code), UNIQUE (email));
        CREATE TABLE user_friends (user_id VARCHAR NOT NULL REFERENCES users(id),
          friend_id VARCHAR NOT NULL REFERENCES users(id), created_at TIMESTAMP NOT NULL,
          updated_at TIMESTAMP NOT NULL, UNIQUE (user_id, friend_id));
        CREATE TABLE diary (id SERIAL PRIMARY KEY, user_id VARCHAR NOT NULL REFERENCES users(id), day DATE NOT NULL,
          created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL, UNIQUE (user_id, day));
        """
    )
    apply_bookkeeping(postgres)
    for name in ("companies", "users", "user_friends"):
        changes = apply_table(postgres, SCHEMA, SCHEMA.tables[name])
        assert (changes.created, changes.reimport) == (False, None)
    assert apply_table(postgres, SCHEMA, SCHEMA.tables["diary"]).reimport == "column document_id was added"
    postgres.execute("INSERT INTO users (id, created_at, updated_at, email) VALUES ('u', now(), now(), 'e')")
    postgres.execute("INSERT INTO diary (user_id, day, created_at, updated_at) VALUES ('u', now(), now(), now())")


def test_the_projects_own_schema_compares_equal_to_what_it_creates(postgres: Connection) -> None:
    path = Path(__file__).parents[3] / "config" / "schemas.yaml"
    schema = declare(path.read_text())
    apply_bookkeeping(postgres)
    for table in schema.tables.values():
        assert apply_table(postgres, schema, table).created
    for table in schema.tables.values():
        assert not apply_table(postgres, schema, table).created
