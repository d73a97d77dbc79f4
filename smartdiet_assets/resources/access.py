"""How a server is reached: directly (`local`), or through an SSH server (`remote`), as typed configuration."""

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dagster import Config
from pydantic import BaseModel, create_model

from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.ssh_settings import SSH_VARIABLES, SshSettings, require_ssh
from smartdiet_assets.resources.variable_kinds import Place

ModelT = TypeVar("ModelT", bound=BaseModel)


class LocalAccess(Config):
    """The server is reached directly."""

    place: Literal["local"] = "local"


class RemoteAccess(SshSettings, Config):
    """The server is reached through an SSH server; its host and port are as that one sees them."""

    place: Literal["remote"] = "remote"

    # Type checkers do not see the fields of a base that is no model of Dagster's.
    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            server: str,
            user: str,
            port: int = 22,
            password: str = "",
            key_file: str = "",
            key_passphrase: str = "",
            agent: bool = False,
            host_key: str = "",
            known_hosts: str = "",
            place: Literal["remote"] = "remote",
        ) -> None: ...


Access = LocalAccess | RemoteAccess


def choose_prefix(access: Access) -> str:
    """Choose what the names of the variables of a server begin with, for a message that says which to check."""
    return "REMOTE_" if isinstance(access, RemoteAccess) else ""


def build_access(place: Place, settings: Environment) -> tuple[Any, Access]:
    """Build the two forms and the one that holds; what a variable gives shows in Dagit as its name.

    The remote form defaults to what the environment says of the SSH server, also where `local` holds: a run
    configuration of `access: {remote: {}}` is then all it takes.

    Returns:
        The type of the field, and its default.

    Raises:
        ConfigurationError: the place is remote, and nothing says which SSH server or who logs in.
    """
    if place == "remote":
        require_ssh(settings)
    given = {field: {"env": variable} for field, variable in SSH_VARIABLES.items() if settings.gives(variable)}
    # Dagster's flags of variables know fewer spellings.
    configured = derive_model(RemoteAccess, {**given, "agent": settings.remote_server_agent})
    return LocalAccess | configured, configured.model_validate({}) if place == "remote" else LocalAccess()


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
