"""No secret of a remote server shows: not in what commands print, Dagster keeps, or the SSH library logs in full."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets_tests.support.broken import SCHEMA
from smartdiet_assets_tests.support.configured import build_mongo_resource, build_postgres_resource
from smartdiet_assets_tests.support.remote import build_access, move_behind_ssh, set_ssh_variables
from smartdiet_assets_tests.support.running import smartdiet
from smartdiet_assets_tests.support.ssh_servers import PASSPHRASE, PASSWORD, InProcessSshServer

MARK = "Marked-S3cret"
#: What is planted, beside a login that works otherwise.
PLANTED = {
    "nothing": {},
    "ssh_password": {"REMOTE_SERVER_PASSWORD": MARK},
    "passphrase": {"REMOTE_SERVER_KEY_PASSPHRASE": MARK, "REMOTE_SERVER_KEY_FILE": "encrypted"},
    "mongo_password": {"REMOTE_MONGODB_URL": f"mongodb://reader:{MARK}@127.0.0.1:1/"},
    "mongo_password_not_encoded": {"REMOTE_MONGODB_URL": f"mongodb://reader:{MARK}/@?{MARK}@127.0.0.1:1/"},
    "mongo_srv": {"REMOTE_MONGODB_URL": f"mongodb+srv://reader:{MARK}@cluster.example.org/"},
    "postgres_password": {"REMOTE_POSTGRES_PASSWORD": MARK, "REMOTE_POSTGRES_USER": "nobody"},
    "host_key": {"REMOTE_SERVER_HOST_KEY": MARK},
    "server": {"REMOTE_SERVER_URL": f"ssh://tunnel:{MARK}@127.0.0.1"},
}


@pytest.fixture
def planted(
    request: pytest.FixtureRequest,
    configured_servers: None,
    ssh_server: InProcessSshServer,
    mongo_database: Database[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """Both databases behind SSH, and what is planted; the secrets that must not show."""
    (tmp_path / "tables.yaml").write_text(SCHEMA)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "tables.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    mongo_database.companies.insert_one({"name": "Acme"})
    secrets = [MARK, PASSWORD, PASSPHRASE, os.environ["POSTGRES_PASSWORD"]]
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    for name, value in PLANTED[request.param].items():
        planted_value = str(ssh_server.keys.path(value)) if name == "REMOTE_SERVER_KEY_FILE" else value
        monkeypatch.setenv(name, planted_value)
    return secrets


@pytest.mark.parametrize("planted", PLANTED, indirect=True)
def test_no_secret_is_printed_kept_or_logged(
    planted: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = smartdiet("sync", "companies")
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    with caplog.at_level(logging.DEBUG):
        # The library's threads log at levels that are usually off.
        logging.getLogger("paramiko").setLevel(logging.DEBUG)
        try:
            for build in (build_mongo_resource, build_postgres_resource):
                with build().process_config_and_initialize_cm() as resource:
                    said += repr(resource) + resource.describe() + resource.check().sentence
        except SmartdietError as error:
            said += str(error)
        finally:
            logging.getLogger("paramiko").setLevel(logging.NOTSET)
    said += caplog.text
    kept = b"".join(path.read_bytes() for path in (tmp_path / "dagster").rglob("*") if path.is_file())
    for secret in planted:
        assert secret not in said
        assert secret.encode() not in kept
