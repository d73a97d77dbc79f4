"""`smartdiet compare`: exit codes, the three ways to print, and the statements run by hand."""

import json
from typing import Any

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.remote import build_access, set_ssh_variables
from smartdiet_assets_tests.support.running import smartdiet, smartdiet_here
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer

MARK = "MARK"


def test_the_command_as_a_user_runs_it(synced: Any) -> None:
    result = smartdiet("compare", "schema", "local")
    assert result.returncode == 0, result.stderr
    result = smartdiet("compare", "local", "local")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.fixture
def other(postgres: psycopg.Connection, postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the database's tables in a schema of its own, as a server of its own."""
    postgres.execute("CREATE SCHEMA other")
    for table in ("companies", "users", "recipes"):
        statement = sql.SQL("CREATE TABLE other.{0} (LIKE public.{0} INCLUDING ALL)").format(sql.Identifier(table))
        postgres.execute(statement)
        postgres.execute(sql.SQL("INSERT INTO other.{0} SELECT * FROM public.{0}").format(sql.Identifier(table)))
    postgres.execute("ALTER TABLE other.users ADD FOREIGN KEY (company_id) REFERENCES other.companies (id)")
    monkeypatch.setenv("OTHER_DATABASE", f"{postgres_database}?options=-csearch_path%3Dother")
    return "env:OTHER_DATABASE"


def test_equal_sides_exit_0(synced: Any, other: str) -> None:
    for arguments in (("schema", "local"), ("local", other), ("local", other, "--data"), ("mongo", "local", "--data")):
        result = smartdiet_here("compare", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "equal." in result.stdout
        assert "Traceback" not in result.stderr


def test_a_difference_is_printed_by_table_and_settled_by_the_statements(
    synced: Any, postgres: psycopg.Connection
) -> None:
    postgres.execute("ALTER TABLE recipes ALTER name TYPE text; ALTER TABLE users ADD nickname text")
    postgres.execute("CREATE TABLE analysts (id int)")
    result = smartdiet_here("compare", "schema", "local")
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "users",
        "  - column nickname: only in local: text",
        "recipes",
        "  ~ type name: schema character varying(255) | local text",
    ]
    assert "1 more thing" in lines[4]
    assert lines[-1] == "3 tables of schema and local: 2 differences of structure in 2."
    assert smartdiet_here("compare", "local", "schema").returncode == 1

    result = smartdiet_here("compare", "schema", "local", "--sql")
    assert result.returncode == 1
    assert '-- ALTER TABLE "public"."users" DROP COLUMN "nickname";' in result.stdout
    postgres.execute(smartdiet_here("compare", "schema", "local", "--sql", "--drop").stdout.encode())
    result = smartdiet_here("compare", "schema", "local", "--sql")
    assert (result.returncode, result.stdout) == (0, "")


def test_what_nothing_declares_is_a_difference_where_it_is_asked_for(synced: Any, postgres: psycopg.Connection) -> None:
    postgres.execute("CREATE TABLE analysts (id int); CREATE INDEX ON users (created_at, id)")
    result = smartdiet_here("compare", "schema", "local", "--json")
    assert (result.returncode, json.loads(result.stdout)["undeclared"]) == (
        0,
        ["users index (created_at, id)", "table analysts"],
    )
    result = smartdiet_here("compare", "schema", "local", "--json", "--undeclared")
    assert result.returncode == 1
    assert [found["table"] for found in json.loads(result.stdout)["differences"]] == ["users", "analysts"]


def test_rows_that_differ_are_named_by_their_keys_and_never_shown(
    synced: Any, other: str, postgres: psycopg.Connection
) -> None:
    [(company,)] = postgres.execute("SELECT id FROM companies").fetchall()
    postgres.execute("UPDATE other.companies SET name = %s", [MARK])
    postgres.execute("INSERT INTO other.companies VALUES (%s, now(), now(), %s)", [f"{MARK}@example.org", MARK])
    result = smartdiet_here("compare", "local", other, "companies", "--data")
    assert result.returncode == 1, result.stderr
    assert "rows: 1 | 2: - 1 only in env:OTHER_DATABASE, ~ 1 different (in name 1)" in result.stdout
    assert f"~ id {company}" in result.stdout
    assert MARK not in result.stdout + result.stderr
    printed = json.loads(smartdiet_here("compare", "local", other, "--data", "--json").stdout)
    assert (printed["equal"], printed["differences"]) == (False, [])
    assert printed["rows"]["companies"]["keys"] == [{"kind": "different", "id": company}]
    assert (printed["rows"]["companies"]["extra"], printed["rows"]["users"]["extra"]) == (1, 0)


def test_documents_and_rows(synced: Any, postgres: psycopg.Connection) -> None:
    postgres.execute("UPDATE users SET company_id = NULL")
    [(user,)] = postgres.execute("SELECT id FROM users").fetchall()
    for sides in (("mongo", "local"), ("local", "mongo:local")):
        result = smartdiet_here("compare", *sides, "--data")
        assert result.returncode == 1, result.stderr
        assert f"~ document {user}" in result.stdout
        assert "1 rejected" in result.stdout
    postgres.execute("DROP TABLE users")
    result = smartdiet_here("compare", "mongo", "local", "--data")
    assert result.returncode == 2
    assert "smartdiet sync users" in result.stdout


def test_a_remote_server_is_reached_through_ssh(
    synced: Any,
    postgres: psycopg.Connection,
    postgres_resource: PostgresResource,
    ssh_server: InProcessSshServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "REMOTE_POSTGRES_HOST": postgres_resource.host,
        "REMOTE_POSTGRES_PORT": str(postgres_resource.port),
        "REMOTE_POSTGRES_DATABASE": postgres_resource.database,
        "REMOTE_POSTGRES_USER": postgres_resource.user,
        "REMOTE_POSTGRES_PASSWORD": postgres_resource.password,
    }.items():
        monkeypatch.setenv(name, value)
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    result = smartdiet_here("compare", "local", "remote", "--data")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "structures are equal, rows are equal" in result.stdout
    assert len(ssh_server.log.forwarded) == 1
    monkeypatch.setenv("REMOTE_POSTGRES_DATABASE", "no_such_database")
    result = smartdiet_here("compare", "schema", "remote")
    assert result.returncode == 2
    assert "REMOTE_POSTGRES_DATABASE" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("local", "local"),
        ("local", "elsewhere"),
        ("mongo", "local"),
        ("mongo", "schema", "--data"),
        ("schema", "local", "--data"),
        ("local", "schema", "--sql"),
        ("schema", "local", "--drop"),
        ("schema", "local", "user"),
        ("local", "env:NO_SUCH_VARIABLE"),
        ("local", "remote"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence_and_exits_2(synced: Any, arguments: tuple[str, ...]) -> None:
    result = smartdiet_here("compare", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{MARK}@127.0.0.1:1/database",
        f"postgresql://user:{MARK}@127.0.0.1:1/database?no_such_option={MARK}",
        f"postgresql://user:a b%{MARK}@127.0.0.1:1/database",
        f"mysql://user:{MARK}@127.0.0.1/database",
    ],
)
def test_the_password_of_a_url_is_never_repeated(synced: Any, url: str) -> None:
    for side, variables in ((url, {}), ("env:SOME_URL", {"SOME_URL": url})):
        result = smartdiet_here("compare", "local", side, **variables)
        assert result.returncode == 2
        assert MARK not in result.stdout + result.stderr
        assert "POSTGRES_" not in result.stderr, "our variables have nothing to do with it"


def test_the_url_of_a_server_shows_without_its_user(
    synced: Any, postgres_database: str, postgres_resource: PostgresResource
) -> None:
    result = smartdiet_here("compare", "schema", postgres_database)
    assert result.returncode == 0, result.stderr
    assert f"{postgres_resource.database} at {postgres_resource.host}:{postgres_resource.port}" in result.stdout
    assert postgres_resource.password not in result.stdout + result.stderr
