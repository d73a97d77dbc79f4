"""Resources of a test's databases that lead through a test's SSH server."""

from typing import Any, TypeVar

from smartdiet_assets.resources.access import RemoteAccess
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.ssh_servers import PASSWORD, USER, InProcessSshServer, OpenSshServer

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
