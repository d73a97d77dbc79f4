"""What the doctor finds on PostgreSQL; where it gives a statement, running it settles the finding."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.doctor.leftovers import examine_leftovers
from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.integration.doctor.conftest import Examine
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy

SECRET = "Marked-s3cret"


@pytest.fixture
def reader(
    healthy: Checked, postgres: psycopg.Connection, postgres_resource: PostgresResource, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The set-up as a user who may only read the tables of `public`."""
    name = f"reader_{postgres_resource.database}"
    role = sql.Identifier(name)
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(SECRET)))
    postgres.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role))
    monkeypatch.setenv("POSTGRES_USER", name)
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    yield name
    postgres.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
    postgres.execute(sql.SQL("DROP OWNED BY {}").format(role))
    postgres.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"POSTGRES_PASSWORD": SECRET}, "refuses the user or the password"),
        ({"POSTGRES_DATABASE": "nowhere"}, "no such database"),
        ({"POSTGRES_PORT": "free"}, "no server answers"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_complaint(
    faults: Examine, variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(find_free_port()) if value == "free" else value)
    connection, rest = faults()
    assert (connection.part, connection.check, connection.status) == ("postgres", "connection", "failed")
    assert sentence in connection.sentence
    assert rest.status == "not_examined"
    assert SECRET not in str(connection)


@pytest.mark.parametrize("after", [0, 2_000])
def test_a_server_that_falls_silent_is_given_up(
    faults: Examine, postgres_resource: PostgresResource, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(postgres_resource.port) as proxy:
        stall = proxy.strike(Fault("stall", after=after, times=None))
        monkeypatch.setenv("POSTGRES_PORT", str(proxy.port))
        monkeypatch.setenv("CONNECT_TIMEOUT", "2")
        *_, connection, rest = faults()
    assert stall.struck
    assert (connection.check, connection.status, rest.status) == ("connection", "failed", "not_examined")


def test_a_user_without_rights_is_told_each_statement_and_they_suffice(
    faults: Examine, reader: str, postgres: psycopg.Connection
) -> None:
    found = faults()
    assert {(one.check, one.status) for one in found} == {
        ("rights", "failed"), ("table rights", "failed"), ("table rights", "warning"),
    }  # fmt: skip
    for one in found:
        for statement in one.statements:
            postgres.execute(statement)
    assert faults() == []


def test_a_user_that_may_not_connect_is_told_the_statement(
    faults: Examine, reader: str, postgres: psycopg.Connection, postgres_resource: PostgresResource
) -> None:
    database = sql.Identifier(postgres_resource.database)
    postgres.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
    connection, rest = faults()
    assert (connection.check, rest.status) == ("connection", "not_examined")
    postgres.execute(connection.statements[0])
    assert "connection" not in {one.check for one in faults()}


def test_a_user_without_its_schema_is_told_so_and_the_rest_is_examined(
    faults: Examine, reader: str, postgres: psycopg.Connection
) -> None:
    postgres.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA smartdiet TO {}").format(sql.Identifier(reader)))
    found = faults()
    assert "may not use the schema smartdiet" in str(found)
    assert "connection" not in {one.check for one in found}


def test_a_user_that_is_read_only_is_a_finding(faults: Examine, reader: str, postgres: psycopg.Connection) -> None:
    postgres.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(reader)))
    [found] = [one for one in faults() if "read only" in one.sentence]
    assert found.status == "failed"
    postgres.execute(found.statements[0])
    assert not [one for one in faults() if "read only" in one.sentence]


def test_a_database_where_nothing_was_ever_loaded_needs_only_rights(
    reader: str, faults: Examine, postgres: psycopg.Connection, postgres_resource: PostgresResource
) -> None:
    postgres.execute("DROP SCHEMA public CASCADE; DROP SCHEMA smartdiet CASCADE; CREATE SCHEMA public")
    database = sql.Identifier(postgres_resource.database)
    postgres.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    found = faults()
    assert [(one.check, one.status) for one in found] == [
        *[("rights", "failed")] * 3, ("the rest", "not_examined"),
    ]  # fmt: skip
    assert "no schema to create tables in" in found[0].sentence
    for one in found:
        for statement in one.statements:
            postgres.execute(statement)
    assert faults() == []


def test_an_index_of_a_foreign_key_that_was_dropped_is_a_finding(faults: Examine, postgres: psycopg.Connection) -> None:
    postgres.execute("DROP INDEX people_team_id_idx")
    [found] = faults()
    assert (found.check, found.status) == ("indexes", "warning")
    assert found.statements == ('CREATE INDEX "people_team_id_idx" ON "public"."people" ("team_id");',)
    assert "1 declared index is missing in people, 1 on a foreign key" in found.sentence
    postgres.execute(found.statements[0])
    assert faults() == []


def test_a_table_that_differs_is_a_failure_with_what_settles_it(faults: Examine, postgres: psycopg.Connection) -> None:
    postgres.execute("ALTER TABLE notes ADD COLUMN extra INTEGER")
    [found] = faults()
    assert (found.check, found.status) == ("tables", "failed")
    assert found.sentence.startswith("notes: The live table differs")
    assert 'ALTER TABLE "public"."notes" DROP COLUMN "extra"' in found.details[0]


def test_a_foreign_key_that_is_not_validated_is_a_failure(faults: Examine, postgres: psycopg.Connection) -> None:
    postgres.execute("ALTER TABLE people DROP CONSTRAINT people_team_id_fkey")
    postgres.execute(
        "ALTER TABLE people ADD CONSTRAINT people_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams (id) NOT VALID"
    )
    [found] = faults()
    assert found.status == "failed"
    assert "VALIDATE CONSTRAINT" in found.details[0]


def test_a_column_or_table_that_is_not_there_yet_is_a_warning(faults: Examine, postgres: psycopg.Connection) -> None:
    postgres.execute("ALTER TABLE notes DROP COLUMN text; DROP TABLE person_seen")
    found = faults()
    assert [(one.check, one.status) for one in found] == [("tables", "warning")] * 2
    assert "The next run adds column text" in found[0].sentence
    assert found[1].sentence.endswith("smartdiet sync person_seen")


def test_an_index_that_is_not_valid_is_a_finding(faults: Examine, postgres: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        postgres.execute("CREATE INDEX CONCURRENTLY half_built ON people ((1 / (active::integer - active::integer)))")
    [found] = faults()
    assert (found.check, found.status) == ("invalid indexes", "warning")
    assert found.statements == ('REINDEX INDEX "public"."half_built";',)


def test_few_free_connections_are_a_warning(faults: Examine, reader: str, postgres: psycopg.Connection) -> None:
    postgres.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 3").format(sql.Identifier(reader)))
    [found] = [one for one in faults() if one.check == "connections"]
    assert (found.status, found.sentence[:25]) == ("warning", "2 connections are free of")


# --- what earlier runs left


def test_a_session_that_does_nothing_with_a_tables_lock_is_found_and_ended(
    healthy: Checked, postgres: psycopg.Connection, postgres_database: str
) -> None:
    schema = healthy.mirrored.schema
    idle = psycopg.connect(postgres_database)
    lock_tables(idle, ["people"])
    [at_work] = examine_leftovers(postgres, schema)
    assert (at_work.status, "runs of people are at work" in at_work.sentence) == ("passed", True)
    [found] = examine_leftovers(postgres, schema, pause=0.0)
    assert (found.status, "the locks of people" in found.sentence) == ("warning", True)
    assert found.statements == (f"SELECT pg_terminate_backend({idle.info.backend_pid});",)
    # Waits for the end of the session.
    postgres.execute(found.statements[0].replace(");", ", 60000);"))
    [ended] = examine_leftovers(postgres, schema, pause=0.0)
    assert ended.status == "passed"
    idle.close()


def test_records_of_a_table_that_is_not_declared_any_more_are_found(
    faults: Examine, postgres: psycopg.Connection
) -> None:
    path = Path("compact.yaml")
    before, _, rest = path.read_text().partition("  meals:")
    path.write_text(before + rest.partition("\n\n")[2])
    found = [one for one in faults() if one.check == "old bookkeeping"]
    [records] = found
    assert "(meals)" in records.sentence
    assert (
        "DELETE FROM \"smartdiet\".\"sync_state\" WHERE schema_name = 'public' AND table_name = 'meals';"
        in records.statements
    )
    assert 'DROP TABLE "smartdiet"."public.meals_candidates";' in records.statements
    for statement in records.statements:
        postgres.execute(statement)
    assert not [one for one in faults() if one.check == "old bookkeeping"]


def test_a_table_that_has_to_be_read_again_is_found(faults: Examine, postgres: psycopg.Connection) -> None:
    postgres.execute("UPDATE smartdiet.sync_state SET reimport = 'column text was added' WHERE table_name = 'notes'")
    [found] = faults()
    assert found.sentence.endswith("smartdiet sync notes")
