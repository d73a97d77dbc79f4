"""How a server is reached: directly (`local`), or through an SSH server (`remote`), as typed configuration."""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Literal, TypeVar

from dagster import Config
from pydantic import BaseModel, PrivateAttr, create_model

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import Environment, build_field, find_variables
from smartdiet_assets.resources.variable_kinds import Place

ModelT = TypeVar("ModelT", bound=BaseModel)
#: What a message says in place of a value that came by run configuration: whoever may start a run could otherwise have
#: one print what is not theirs to see.
GIVEN = "(given by the run configuration)"


class LocalAccess(Config):
    """The server is reached directly."""

    place: Literal["local"] = "local"


class RemoteAccess(Config):
    """The server is reached through an SSH server; its host and port are as that one sees them."""

    place: Literal["remote"] = "remote"
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


Access = LocalAccess | RemoteAccess


def describe_way(access: Access) -> str:
    """Describe the way to a server, as it follows the server's name in a message; "" where it is direct."""
    return f" through {access.describe()}" if isinstance(access, RemoteAccess) else ""


def choose_prefix(access: Access) -> str:
    """Choose what the names of the variables of a server begin with, for a message that says which to check."""
    return "REMOTE_" if isinstance(access, RemoteAccess) else ""


#: The variable of each field of the remote form.
SSH_VARIABLES = find_variables(RemoteAccess)


def build_access(place: Place, settings: Environment) -> tuple[Any, Access]:
    """Build the two forms and the one that holds; what a variable gives shows in Dagit as its name.

    The remote form defaults to what the environment says of the SSH server, also where `local` holds: a run
    configuration of `access: {remote: {}}` is then all it takes.

    Returns:
        The type of the field, and its default.

    Raises:
        ConfigurationError: the place is remote, and nothing says which SSH server or who logs in.
    """
    if place == "remote" and not (settings.remote_server_url and settings.remote_server_user):
        raise ConfigurationError("a remote server is reached through SSH: set REMOTE_SERVER_URL and REMOTE_SERVER_USER")
    given = {field: {"env": variable} for field, variable in SSH_VARIABLES.items() if settings.gives(variable)}
    # Dagster's flags of variables know fewer spellings.
    configured = derive_model(RemoteAccess, {**given, "agent": settings.remote_server_agent})
    return LocalAccess | configured, configured() if place == "remote" else LocalAccess()


def derive_model(model: type[ModelT], defaults: Mapping[str, object], **types: Any) -> type[ModelT]:
    """Derive a model of the same name whose fields have other defaults, and some of them other types."""
    fields: dict[str, Any] = {}
    for field, default in defaults.items():
        info = copy(model.model_fields[field])
        info.default = default
        fields[field] = (types.get(field, info.annotation), info)
    derived: type[ModelT] = create_model(
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
    )
    return derived
