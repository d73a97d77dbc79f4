"""No value and no secret shows in what keeps a mirror right: status, rejects, check, reconcile, and runs in Dagster.

The `_id` of a rejected document may show, and no other value.
"""

import os
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.resources.environment import VARIABLES, read_environment
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.replaced_tool.leaky_strategies import MARK
from smartdiet_assets_tests.integration.replaced_tool.planted import DamagingProxy, Plant, write_damaged_documents
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.remote import build_access, move_behind_ssh, set_ssh_variables
from smartdiet_assets_tests.support.ssh_servers import PASSWORD, InProcessSshServer

DECLARED = """
defaults: {on_delete: delete, max_deletions: 1}
collections:
  users: {capture: change_stream}
"""
COMMANDS = (
    "sync --json", "status", "rejects --limit 0", "check --all", "check --json", "reconcile --dry-run",
    "reconcile --json", "compare mongo {place} --data --json",
)  # fmt: skip


class Upkeep:
    """A mirror of marked documents, deleted ones too and one collection by its change stream.

    Attributes:
        plant: what was planted.
        source: the documents.
        postgres: the tables.
    """

    def __init__(self, plant: Plant, source: Database[Any], postgres: psycopg.Connection[Any], run: Smartdiet) -> None:
        self.plant = plant
        self.source = source
        self.postgres = postgres
        self._run = run
        plant.schemas.write_text(DECLARED + plant.schemas.read_text())
        assert run("sync").code == 0

    def read_anew(self) -> None:
        """Let the next run read every document."""
        self.postgres.execute("UPDATE smartdiet.sync_state SET watermark = NULL, change_position = NULL")

    def run(self, *commands: str) -> str:
        """Run commands, all by default, and both jobs; all they say and all that is kept, where nothing may show."""
        said = []
        for line in commands or COMMANDS:
            place = os.environ.get("TRANSFER_DESTINATION", "local")
            done = self._run(*line.format(place=place).split())
            assert done.code in (0, 1, 2), line
            assert self.plant.find(done.out + done.err) == [], line
            said += [" ".join(done.out.split()), done.err]
        said += [self.plant.run()[1], self.plant.run_job("reconcile")]
        assert self.plant.find("".join(said)) == []
        return "\n".join(said)


@pytest.fixture
def upkeep(plant: Plant, source: Database[Any], postgres: psycopg.Connection[Any], smartdiet: Smartdiet) -> Upkeep:
    return Upkeep(plant, source, postgres, smartdiet)


@pytest.fixture
def written_to_the_server_log(upkeep: Upkeep, postgres_server: EmbeddedPostgres) -> Callable[[], str]:
    """What PostgreSQL logged since the mirror was there."""
    log = postgres_server.directory / "postgres.log"
    before = log.stat().st_size
    return lambda: log.read_bytes()[before:].decode(errors="replace")


@pytest.mark.parametrize("place", ["local", "remote"])
def test_a_mirror_with_rejects_and_deleted_documents_shows_no_value_and_no_secret(
    upkeep: Upkeep, ssh_server: InProcessSshServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep.plant.secrets.add(PASSWORD.lower())
    if place == "remote":
        set_ssh_variables(monkeypatch, build_access(ssh_server))
        move_behind_ssh(monkeypatch, source=True, destination=True)
    upkeep.source.users.delete_one({"email": {"$regex": MARK}, "height": {"$exists": False}})
    upkeep.postgres.execute("UPDATE users SET height = 7")
    assert "documents compared differ from their rows, in height" in upkeep.run()
    assert bool(ssh_server.log.forwarded) == (place == "remote")


def refuse_rows(upkeep: Upkeep) -> str:
    upkeep.postgres.execute("TRUNCATE users CASCADE; ALTER TABLE users ADD CHECK (length(email) < 5)")
    return "refused"


def cast_values_in_an_index(upkeep: Upkeep) -> str:
    upkeep.postgres.execute("TRUNCATE users CASCADE; CREATE INDEX own ON users ((email::text::integer))")
    return "refused"


def complain_in_a_trigger(upkeep: Upkeep) -> str:
    upkeep.postgres.execute(
        "TRUNCATE users CASCADE; CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE WARNING '%?', NEW.email; RAISE EXCEPTION '%!', NEW.email USING DETAIL = NEW.email; END $$; "
        "CREATE TRIGGER own BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION complain()"
    )
    return "the trigger own"


CONSTRAINTS = [refuse_rows, cast_values_in_an_index, complain_in_a_trigger]


@pytest.mark.parametrize("add", CONSTRAINTS, ids=[add.__name__ for add in CONSTRAINTS])
def test_what_an_operator_adds_to_a_table_and_rows_violate_shows_nothing_not_even_in_the_log_of_postgresql(
    upkeep: Upkeep, written_to_the_server_log: Callable[[], str], add: Callable[[Upkeep], str]
) -> None:
    """The server's log: where the mirror's user is a superuser, who may keep the server from writing there."""
    expected = add(upkeep)
    upkeep.read_anew()
    assert expected in upkeep.run("sync --json", "rejects --json")
    assert upkeep.plant.find(written_to_the_server_log()) == []


def test_a_lost_position_shows_nothing(upkeep: Upkeep) -> None:
    for position in (MARK, '{"namespace": "' + MARK + '"}'):
        upkeep.postgres.execute("UPDATE smartdiet.sync_state SET change_position = %s", [position])
        assert "cannot be read" in upkeep.run("sync --json", "status")


def test_a_refused_reconciliation_shows_nothing(upkeep: Upkeep) -> None:
    upkeep.source.users.delete_many({})
    upkeep.source.companies.delete_many({})
    assert "the source has no document at all" in upkeep.run("reconcile", "reconcile --json", "check --json")


def test_documents_that_cannot_be_decoded_are_not_quoted(upkeep: Upkeep, planted_server: EmbeddedMongo) -> None:
    """The stand-in refuses to store them; MongoDB does not."""
    write_damaged_documents(upkeep.source)
    upkeep.read_anew()
    with DamagingProxy(planted_server.port) as proxy:
        url = os.environ["MONGODB_URL"].replace(str(planted_server.port), str(proxy.port))
        upkeep.plant.set("MONGODB_URL", url)
        said = upkeep.run()
    assert "invalid_bson" in said
    assert "invalid_text" in said


@pytest.mark.parametrize("variable", ["POSTGRES_PORT", "MONGODB_URL"])
def test_a_server_that_dies_midway_makes_nothing_show(upkeep: Upkeep, variable: str) -> None:
    upkeep.read_anew()
    port = os.environ[variable].rpartition(":")[2].partition("/")[0]
    with FaultProxy(int(port)) as proxy:
        upkeep.plant.set(variable, os.environ[variable].replace(port, str(proxy.port)))
        proxy.strike(Fault("reset", after=4_000, times=None))
        assert "the connection was lost" in upkeep.run("sync --json", "check --json", "compare mongo local --data")


def test_no_variable_quotes_what_it_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a password stands in the line of another variable."""
    refused = {}
    for name in VARIABLES:
        with monkeypatch.context() as patched:
            patched.setenv(name, f"{MARK}@/ ")
            try:
                read_environment()
            except Exception as error:  # noqa: BLE001 - whatever it is, its text is looked at
                refused[name] = str(error)
    assert refused.keys() >= {"MONGODB_URL", "POSTGRES_PORT", "REMOTE_SERVER_URL", "BATCH_SIZE", "SMARTDIET_SCHEDULE"}
    assert [name for name, text in refused.items() if name not in text or MARK in text] == []
