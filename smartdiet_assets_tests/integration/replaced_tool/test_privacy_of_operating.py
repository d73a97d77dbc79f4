"""No value and no secret shows in what an operator runs beside the mirror: doctor, infer, refresh, compare, their jobs.

Names of fields may show, and keys of rows.
"""

import os
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.replaced_tool.leaky_strategies import MARK
from smartdiet_assets_tests.integration.replaced_tool.operated import Operated
from smartdiet_assets_tests.integration.replaced_tool.planted import (
    DamagingProxy,
    Plant,
    write_damaged_documents,
    write_marked_company,
)
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.ssh_servers import SshKeys

Connection = psycopg.Connection[Any]


def test_what_an_operator_runs_shows_no_value_and_no_secret(operated: Operated) -> None:
    operated.sync()
    assert "structures are equal, rows are equal" in operated.run_commands()
    operated.run_jobs()
    assert operated.plant.find(operated.read_server_log()) == []


def test_a_comparison_of_rows_that_differ_shows_keys_and_counts_only(operated: Operated, postgres: Connection) -> None:
    operated.sync()
    operated.run_commands("refresh postgres --target-name")
    postgres.execute(f"UPDATE users SET email = '{MARK}' || id || 'x', answers = '[\"{MARK}\"]', height = 7")
    postgres.execute(f"INSERT INTO companies VALUES ('an id', now(), now(), '{MARK} & sons')")
    postgres.execute("ALTER TABLE users ALTER email TYPE TEXT; DROP INDEX users_company_id_idx")
    assert "4 different (in answers 4, email 4, height 4)" in operated.run_commands("compare")


def add_a_view_that_fits_no_more(operated: Operated, postgres: Connection) -> str:
    operated.edit("CREATE TABLE users (id TEXT, own TEXT)")
    operated.edit("CREATE VIEW owned AS SELECT own FROM users")
    return '"own" does not exist'


def keep_rows_whose_parents_go(operated: Operated, postgres: Connection) -> str:
    operated.edit(f"CREATE TABLE users (id TEXT PRIMARY KEY); INSERT INTO users VALUES ('{MARK}')")
    operated.edit(f"CREATE TABLE own (u TEXT REFERENCES users); INSERT INTO own VALUES ('{MARK}')")
    return "rows of it refer to rows of"


def take_values_for_names(operated: Operated, postgres: Connection) -> str:
    operated.edit("CREATE TABLE companies (name TEXT)")
    operated.edit("CREATE MATERIALIZED VIEW own AS SELECT name::regclass::text AS n FROM companies")
    return "public.own: filling it failed"


def fail_a_check_of_the_source(operated: Operated, postgres: Connection) -> str:
    postgres.execute("CREATE FUNCTION fits(t TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS 'SELECT true'")
    postgres.execute("ALTER TABLE companies ADD CHECK (fits(name))")
    postgres.execute(
        "CREATE OR REPLACE FUNCTION fits(t TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS 'SELECT t::integer > 0'"
    )
    return "public.companies: copying the rows failed"


def duplicate_a_key(operated: Operated, postgres: Connection) -> str:
    postgres.execute("CREATE FUNCTION one(t TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS 'SELECT t'")
    postgres.execute("CREATE UNIQUE INDEX once ON users (one(email || id))")
    postgres.execute("CREATE OR REPLACE FUNCTION one(t TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS 'SELECT left(t,9)'")
    return "public.users: building its keys and indexes failed"


def complain_of_a_value(operated: Operated, postgres: Connection) -> str:
    postgres.execute("CREATE FUNCTION fits(t TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS 'SELECT true'")
    postgres.execute("ALTER TABLE companies ADD CHECK (fits(name))")
    postgres.execute(
        "CREATE OR REPLACE FUNCTION fits(t TEXT) RETURNS BOOLEAN LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE WARNING 'is % one?', t; RAISE EXCEPTION '% is none', t USING HINT = t; END $$"
    )
    return "public.companies: copying the rows failed"


DATABASE_MISHAPS = [
    add_a_view_that_fits_no_more, keep_rows_whose_parents_go, take_values_for_names, fail_a_check_of_the_source,
    duplicate_a_key, complain_of_a_value,
]  # fmt: skip


@pytest.mark.parametrize("mishap", DATABASE_MISHAPS, ids=[mishap.__name__ for mishap in DATABASE_MISHAPS])
def test_a_refresh_that_postgresql_refuses_shows_nothing_not_even_in_the_log_of_postgresql(
    operated: Operated, postgres: Connection, mishap: Callable[[Operated, Connection], str]
) -> None:
    """The server's log: where the target's user is a superuser, who may keep the server from writing there."""
    postgres.execute("CREATE TABLE companies (name TEXT); CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT)")
    postgres.execute(f"INSERT INTO companies VALUES ('{MARK}'); INSERT INTO users VALUES (1, '{MARK}'), (2, '{MARK}')")
    expected = mishap(operated, postgres)
    assert expected in operated.run_commands("refresh postgres --target-name")
    assert expected in operated.run_jobs("refresh_postgres")
    assert operated.plant.find(operated.read_server_log()) == []


def refuse_the_passwords(keys: SshKeys) -> dict[str, str]:
    url = os.environ["REMOTE_MONGODB_URL"].replace(f":{MARK}@", f":{MARK}wrong@")
    return {"REMOTE_POSTGRES_PASSWORD": f"{MARK}x", "REMOTE_MONGODB_URL": url}


def refuse_the_login(keys: SshKeys) -> dict[str, str]:
    return {"REMOTE_SERVER_PASSWORD": MARK}


def mistake_the_passphrase(keys: SshKeys) -> dict[str, str]:
    return {"REMOTE_SERVER_KEY_FILE": str(keys.path("encrypted")), "REMOTE_SERVER_KEY_PASSPHRASE": MARK}


def misspell_the_url(keys: SshKeys) -> dict[str, str]:
    return {"REMOTE_MONGODB_URL": f"mongodb://reader:x?{MARK}=y/{MARK}@127.0.0.1/"}


def lose_the_servers(keys: SshKeys) -> dict[str, str]:
    url = f"mongodb://{MARK}:{MARK}@127.0.0.1:{find_free_port()}/"
    return {"REMOTE_POSTGRES_PORT": str(find_free_port()), "REMOTE_MONGODB_URL": url}


SERVER_MISHAPS = {
    refuse_the_passwords: "check REMOTE_POSTGRES_USER and REMOTE_POSTGRES_PASSWORD",
    refuse_the_login: "refuses the user tunnel",
    mistake_the_passphrase: "is not the passphrase",
    misspell_the_url: "cannot be used as written",
    lose_the_servers: "no server answers",
}


@pytest.mark.parametrize("mishap", SERVER_MISHAPS, ids=[mishap.__name__ for mishap in SERVER_MISHAPS])
def test_servers_that_refuse_or_are_away_make_nothing_show(
    operated: Operated, ssh_keys: SshKeys, mishap: Callable[[SshKeys], dict[str, str]]
) -> None:
    for name, value in {**mishap(ssh_keys), "TRANSFER_DESTINATION": "remote"}.items():
        operated.plant.set(name, value)
    said = operated.run_commands("refresh mongo --to", "refresh postgres --sample", "doctor --json")
    assert SERVER_MISHAPS[mishap] in said
    if mishap is refuse_the_passwords:
        operated.run_jobs("refresh_mongo", "refresh_postgres")


@pytest.mark.parametrize(
    ("variable", "command", "job"),
    [
        ("REMOTE_POSTGRES_PORT", "refresh postgres --sample", "refresh_postgres"),
        ("REMOTE_MONGODB_URL", "refresh mongo --to", "refresh_mongo"),
    ],
)
def test_a_server_that_dies_midway_makes_nothing_show(
    operated: Operated, variable: str, command: str, job: str
) -> None:
    if job == "refresh_postgres":
        operated.sync()
    port = os.environ[variable].rpartition(":")[2].partition("/")[0]
    with FaultProxy(int(port)) as proxy:
        operated.plant.set(variable, os.environ[variable].replace(port, str(proxy.port)))
        proxy.strike(Fault("reset", after=2_000, times=None))
        assert "the connection was lost" in operated.run_commands(command)
        assert "the connection was lost" in operated.run_jobs(job)


def test_documents_that_cannot_be_decoded_are_not_quoted(
    operated: Operated, source: Any, planted_server: EmbeddedMongo
) -> None:
    """The stand-in refuses to store them; MongoDB does not."""
    write_damaged_documents(source)
    with DamagingProxy(planted_server.port) as proxy:
        for variable in ("MONGODB_URL", "REMOTE_MONGODB_URL"):
            operated.plant.set(variable, os.environ[variable].replace(str(planted_server.port), str(proxy.port)))
        said = operated.run_commands("infer", "refresh mongo --to")
        assert "invalid_bson in the document" in said
        assert "writing planted_copy" in said
        assert "writing planted_copy" in operated.run_jobs("refresh_mongo")


def test_infer_shows_no_value_of_the_collections_with_most_fields(
    plant: Plant, planted_server: EmbeddedMongo, smartdiet: Smartdiet
) -> None:
    """Marks in every field, but in no name of a field."""
    with MongoClient[dict[str, Any]](planted_server.uri) as client:
        client.drop_database("company")
        write_marked_company(client.company, [MARK, [{"a": MARK}, MARK * 200]])
        fields = {name: len(client.company[name].find_one() or {}) for name in client.company.list_collection_names()}
    plant.set("MONGODB_DATABASE", "company")
    assert len(fields) > 20
    for name in sorted(fields, key=lambda name: -fields[name])[:8]:
        done = smartdiet("infer", name)
        assert done.code == 0, done.err
        assert plant.find(done.out + done.err) == []
