"""The SSH server behind which a server is reached, and a server that nothing but the environment describes.

Here: settings without Dagster, for the command line. Not here: the SSH connection (`ssh_connection`), what is forwarded
over it (`tunnel`), and these settings as a run configuration has them (`access`).
"""

from collections.abc import Iterable

from pydantic import BaseModel, PrivateAttr

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import Environment, build_field, find_variables
from smartdiet_assets.resources.variable_kinds import Place

#: What a message says in place of a value that came by run configuration: whoever may start a run could otherwise have
#: one print what is not theirs to see.
GIVEN = "(given by the run configuration)"


class SshSettings(BaseModel):
    """An SSH server, who logs in there and how, and the key it must show."""

    server: str = build_field("REMOTE_SERVER_URL", default=...)
    port: int = build_field("REMOTE_SERVER_PORT")
    user: str = build_field("REMOTE_SERVER_USER", default=...)
    password: str = build_field("REMOTE_SERVER_PASSWORD")
    key_file: str = build_field("REMOTE_SERVER_KEY_FILE")
    key_passphrase: str = build_field("REMOTE_SERVER_KEY_PASSPHRASE")
    agent: bool = build_field("REMOTE_SERVER_AGENT")
    host_key: str = build_field("REMOTE_SERVER_HOST_KEY")
    known_hosts: str = build_field("REMOTE_SERVER_KNOWN_HOSTS")

    _given: frozenset[str] = PrivateAttr(default=frozenset())

    def describe(self) -> str:
        """Name the SSH server in a message."""
        return f"SSH server {self.spell_server()}"

    def spell_server(self) -> str:
        """Spell server and port as a message may show them."""
        if not self._given.isdisjoint({"server", "port"}):
            return GIVEN
        return self.server if self.port == 22 else f"{self.server}:{self.port}"

    def spell(self, field: str) -> str:
        """Spell what a field holds as a message may show it."""
        return GIVEN if field in self._given else str(getattr(self, field))

    def spell_end(self, host: str, port: int) -> str:
        """Spell the address of a server behind this one as a message may show it."""
        return GIVEN if "end" in self._given else f"{host}:{port}"

    @property
    def given(self) -> frozenset[str]:
        """The fields whose values came by run configuration, and `end` where the address behind the server did."""
        return self._given

    def hide(self, fields: Iterable[str]) -> None:
        """Take some fields for given by run configuration: messages do not quote them."""
        self._given = frozenset(fields)


#: The variable of each field.
SSH_VARIABLES = find_variables(SshSettings)


class PlainServer:
    """A server that the environment describes: what its connections need of settings beside their fields."""

    def __init__(self, settings: Environment, place: Place) -> None:
        """Keep the way there; nothing is opened yet.

        Raises:
            ConfigurationError: the place is remote, and nothing says which SSH server or who logs in.
        """
        self._remote: SshSettings | None = None
        if place == "remote":
            require_ssh(settings)
            self._remote = SshSettings(**{field: settings.get(name) for field, name in SSH_VARIABLES.items()})

    @property
    def remote(self) -> SshSettings | None:
        return self._remote

    def require_usable(self) -> None:
        """Nobody but the environment described it."""

    def spell(self, field: str, value: object = None) -> str:
        return str(getattr(self, field) if value is None else value)

    def spell_address(self) -> str:
        return f"{self.spell('host')}:{self.spell('port')}"


def require_ssh(settings: Environment) -> None:
    """Refuse settings that do not name the SSH server and who logs in.

    Raises:
        ConfigurationError: they do not.
    """
    if not (settings.remote_server_url and settings.remote_server_user):
        raise ConfigurationError("a remote server is reached through SSH: set REMOTE_SERVER_URL and REMOTE_SERVER_USER")
