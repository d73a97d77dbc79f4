"""Resources of a test's databases that lead through a test's SSH server."""

import os
from typing import Any, TypeVar

import pytest

from smartdiet_assets.resources.access import RemoteAccess
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.ssh_servers import PASSWORD, USER, InProcessSshServer, OpenSshServer

AnySshServer = InProcessSshServer | OpenSshServer
ResourceT = TypeVar("ResourceT", PostgresResource, MongoResource, MatomoResource)


def build_access(ssh: AnySshServer, **changes: Any) -> RemoteAccess:
    """Build the way through a server: by password to the one of this process, by key to sshd."""
    settings: dict[str, Any] = {"server": ssh.host, "port": ssh.port, "host_key": ssh.keys.public("host")}
    if isinstance(ssh, OpenSshServer):
        settings |= {"user": ssh.user, "key_file": str(ssh.keys.path("ed25519"))}
    else:
        settings |= {"user": USER, "password": PASSWORD}
    return RemoteAccess(**{**settings, **changes})


def through(resource: ResourceT, access: RemoteAccess, **changes: Any) -> ResourceT:
    """Build the same resource, reached through SSH."""
    fields = {name: getattr(resource, name) for name in type(resource).model_fields if not name.startswith("_")}
    return type(resource)(**{**fields, "access": access, **changes})


def set_ssh_variables(monkeypatch: pytest.MonkeyPatch, access: RemoteAccess) -> None:
    """Set the variables of the SSH server."""
    names = {"server": "URL"}
    for field, value in access:
        if field != "place" and value:
            text = "true" if value is True else str(value)
            monkeypatch.setenv(f"REMOTE_SERVER_{names.get(field, field.upper())}", text)


def move_behind_ssh(monkeypatch: pytest.MonkeyPatch, *, source: bool = False, destination: bool = False) -> None:
    """Turn a test's local databases into remote ones; the local variables then lead nowhere."""
    moved = {"TRANSFER_SOURCE": ("MONGODB_", source), "TRANSFER_DESTINATION": ("POSTGRES_", destination)}
    for variable, (prefix, far) in moved.items():
        monkeypatch.setenv(variable, "remote" if far else "local")
        for name in [name for name in os.environ if name.startswith(prefix)] if far else ():
            monkeypatch.setenv(f"REMOTE_{name}", os.environ[name])
            monkeypatch.setenv(name, "mongodb://nowhere.invalid" if name == "MONGODB_URL" else "1")
