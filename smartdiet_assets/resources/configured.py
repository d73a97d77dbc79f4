"""Resources whose settings come from environment variables, and show in Dagit as the variables' names.

Whoever may start a run writes its configuration, and need not be allowed to see what the environment holds. So a secret
of the environment is sent only to the server that the environment names, and no message quotes what came by run
configuration.
"""

import os
import re
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar

from dagster import Config, ConfigurableResource, EnvVar, InitResourceContext
from pydantic import Field, PrivateAttr

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.access import Access, LocalAccess, ModelT, RemoteAccess, build_access, derive_model
from smartdiet_assets.resources.environment import Environment, find_variables
from smartdiet_assets.resources.ssh_settings import GIVEN, SSH_VARIABLES, SshSettings
from smartdiet_assets.resources.variable_kinds import Place

#: Where a field stands in the configuration of a resource, such as ("access", "remote", "port").
Path = tuple[str, ...]
#: A number that a variable holds; Dagster has no public name for its type.
IntEnvVar = type(EnvVar.int(""))
_SSH: Path = ("access", "remote")
#: Of the SSH server what `server_fields` and `secret_fields` are of the server behind it.
_SSH_SERVER_FIELDS = ("server", "port", "user", "host_key", "known_hosts")
_SSH_SECRET_FIELDS = ("password", "key_file", "key_passphrase")
#: Also of a password that is not percent-encoded, and of options that hold a secret.
_LOGIN_IN_URL = re.compile(
    r"//[^@]*:[^@]*@|[?&](?:tlsCertificateKeyFilePassword|authMechanismProperties)=", re.IGNORECASE
)


class ServerResource(ConfigurableResource[Any]):
    """A server that the environment describes, and a run configuration may describe otherwise.

    Attributes:
        server_fields: which server is meant, who logs in there, and how it proves who it is.
        secret_fields: what is shown or proved to it.
        ambient_secrets: by field, the variable in which the driver finds a secret by itself where none is given.
    """

    server_fields: ClassVar[tuple[str, ...]] = ()
    secret_fields: ClassVar[tuple[str, ...]] = ()
    ambient_secrets: ClassVar[Mapping[str, str]] = {}
    #: The variable of each field, by the place of the server they describe, the one that holds by default first.
    variables: ClassVar[Mapping[Place, Mapping[str, str]]] = {}
    settings: ClassVar[Environment | None] = None

    access: Access = Field(
        default=LocalAccess(),
        discriminator="place",
        description="local: the server is reached directly; remote: through an SSH server, which host and port are "
        "then seen from (TRANSFER_SOURCE, TRANSFER_DESTINATION, MATOMO_SOURCE).",
    )

    #: What the run configuration says, by the path of each field: a value, or {"env": VARIABLE}.
    _given: Mapping[Path, Any] = PrivateAttr(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[Self]:
        """Use the resource outside of a run, with what the settings say; closed at the end of the block.

        Dagster's own way makes an instance in memory for it, which takes longer than most of what is then asked.
        """
        opened = self._read_variables(self)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator[Self, None, None]:
        """Serve a run, and close after it what it left open, also when the run fails.

        Connections open when a table asks for one: settings that cannot be used, or a server that is away, fail the
        steps that need it, not the whole run.
        """
        self.read_run_configuration(context)
        try:
            yield self
        finally:
            self.close()

    @property
    def remote(self) -> SshSettings | None:
        """The SSH server in between; None where the server is reached directly."""
        return self.access if isinstance(self.access, RemoteAccess) else None

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    def read_run_configuration(self, context: InitResourceContext) -> None:
        """Note what came by the configuration of the run that the resource is initialized for."""
        self._given = dict(_flatten(_find_configuration(context)))
        if isinstance(access := self.access, RemoteAccess):
            hidden = {path[-1] for path in self._given if path[:-1] == _SSH and not self._is_configured(path)}
            if any(self.spell(field) == GIVEN for field in ("host", "port", "url") if hasattr(self, field)):
                hidden.add("end")
            access.hide(hidden)

    @property
    def is_configured(self) -> bool:
        """Whether somebody said where the server is; of most, the default is as good as said."""
        return True

    @property
    def is_given(self) -> bool:
        """Whether any of it came by run configuration."""
        return bool(self._given)

    def find_known(self, field: str) -> Any:
        """Find what a field holds as far as that is known before any run; "" where a variable of others holds it."""
        match getattr(self, field):
            case EnvVar() | IntEnvVar():
                return ""
            case {"env": str(name)}:
                return self.settings.get(name) if self.settings is not None else ""
            case value:
                return value

    def keep_values(self) -> Self:
        """The same resource with its values as defaults, where somebody's own code made it.

        A run configuration that gives one field sets the others back to the defaults of the class: of a server that
        somebody named, to one that nobody meant.
        """
        if self.settings is not None:
            return self
        access = self.access
        remote = derive_model(type(access), _list_defaults(access)) if isinstance(access, RemoteAccess) else None
        defaults = {**_list_defaults(self), "access": access if remote is None else remote.model_validate({})}
        kept = derive_model(type(self), defaults, access=LocalAccess | (remote or RemoteAccess))
        # A secret that is no variable's is called by its field.
        named = {field: field for field in self.secret_fields} | {
            field: str(default["env"]) for field, default in defaults.items() if isinstance(default, dict)
        }
        kept.variables = {"local" if remote is None else "remote": named}
        return kept()

    def list_shown_secrets(self) -> list[str]:
        """List the fields whose secret Dagit shows, as it is the value and not a variable.

        A URL is none where nobody logs in with it.
        """
        access = self.access
        models: list[Config] = [self, access] if isinstance(access, RemoteAccess) else [self]
        return [
            name
            for model in models
            for name, info in type(model).model_fields.items()
            if not info.repr
            and isinstance(value := getattr(model, name), str)
            and value
            and not isinstance(value, EnvVar)
            and (name != "url" or _LOGIN_IN_URL.search(value))
        ]

    def spell(self, field: str, value: object = None) -> str:
        """Spell a field as a message may show it; `value` is how the server spells it, where that differs."""
        if (field,) in self._given and not self._is_configured((field,)):
            return GIVEN
        return str(getattr(self, field) if value is None else value)

    def spell_address(self) -> str:
        """Spell host and port as a message may show them."""
        host, port = self.spell("host"), self.spell("port")
        return GIVEN if GIVEN in (host, port) else f"{host}:{port}"

    def require_usable(self) -> None:
        """Refuse settings that are not read yet, or with which a secret of the environment would go astray.

        Raises:
            ConfigurationError: Dagster has not initialized the resource; or the run configuration names another server
                without bringing a secret of its own, or takes a field from a variable that is not the field's.
        """
        access = self.access
        values = [value for model in (self, access) for _, value in model]
        if any(isinstance(value, EnvVar | IntEnvVar | dict) for value in values):
            raise ConfigurationError(f"the {type(self).__name__} is not initialized: its variables are not read")
        for path, value in self._given.items():
            known = self._list_variables(path)
            if isinstance(value, dict) and value.get("env") not in known:
                names = " or ".join(known) or "no variable"
                raise ConfigurationError(
                    f"the run configuration takes {'.'.join(path)} from a variable of the environment, where that may"
                    f" be {names} only; nothing was sent"
                )
        if not self._given:
            return
        for field in _SSH_SECRET_FIELDS if isinstance(access, RemoteAccess) else ():
            if getattr(access, field) and self._takes((*_SSH, field)) and not self._is_configured_ssh():
                raise _refuse(".".join((*_SSH, field)), SSH_VARIABLES[field])
        for field in self.secret_fields:
            variable = self._takes((field,))
            if variable and getattr(self, field) and not self._is_named_with(field, variable):
                raise _refuse(field, variable)
            ambient = self.ambient_secrets.get(field, "")
            if os.environ.get(ambient) and not getattr(self, field) and not self._is_named_with(field):
                raise _refuse(field, ambient)

    def _takes(self, path: Path) -> str:
        """The variable that a field takes its value from; "" where the run configuration gives the value itself."""
        if path in self._given:
            given = self._given[path]
            return str(given["env"]) if isinstance(given, dict) else ""
        # Of a resource that was built without variables, what its own code says counts as the environment.
        return next(iter(self._list_variables(path)), path[-1])

    def _list_variables(self, path: Path) -> list[str]:
        if path[:-1] == _SSH:
            return [SSH_VARIABLES[path[-1]]] if path[-1] in SSH_VARIABLES else []
        found = [variables[path[0]] for variables in self.variables.values() if path[0] in variables]
        return list(dict.fromkeys(found)) if len(path) == 1 else []

    def _is_named_with(self, field: str, variable: str = "") -> bool:
        """Whether the server is the one that the environment names beside a variable, or beside any of a field."""
        if not self.variables:
            return not any(path[0] in (*self.server_fields, "access") for path in self._given)
        return any(self._is_at(place) for place, named in self.variables.items() if variable in ("", named.get(field)))

    def _is_at(self, place: Place) -> bool:
        """Whether the server, the user and the way to it are those that the environment names for a place."""
        if isinstance(self.access, RemoteAccess) != (place == "remote"):
            return False
        named = self.variables[place]
        return (place == "local" or self._is_configured_ssh()) and all(
            self._holds((field,), named[field])
            if field in named
            else getattr(self, field) == type(self).model_fields[field].default
            for field in self.server_fields
        )

    def _is_configured_ssh(self) -> bool:
        return all(self._holds((*_SSH, field), SSH_VARIABLES[field]) for field in _SSH_SERVER_FIELDS)

    def _is_configured(self, path: Path) -> bool:
        """Whether a field of the run configuration says what the environment says too."""
        return any(self._holds(path, variable) for variable in self._list_variables(path))

    def _holds(self, path: Path, variable: str) -> bool:
        """Whether a field has the value of a variable."""
        if self._takes(path) == variable:
            return True
        value = getattr(self.access if path[:-1] == _SSH else self, path[-1])
        return self.settings is not None and self.settings.holds(variable, value)

    def _read_variables(self, model: ModelT) -> ModelT:
        """Build a model anew, the values of variables in the place of their names."""
        return type(model)(**{field: self._read_variable(value) for field, value in model})

    def _read_variable(self, value: object) -> object:
        match value:
            case EnvVar() | IntEnvVar():
                return value.get_value()
            case {"env": str(name)}:
                return self.settings.get(name) if self.settings is not None else EnvVar(name).get_value()
            case Config():
                return self._read_variables(value)
        return value


ResourceT = TypeVar("ResourceT", bound=ServerResource)


def build_configured(
    resource_type: type[ResourceT],
    settings: Environment,
    place: Place,
    prefixes: Mapping[Place, str],
    converted: Collection[str] = (),
) -> ResourceT:
    """Build a resource whose fields default to the environment: Dagit shows a variable's name, not what it holds.

    The defaults are those of a class of its own, because a run config that overrides one field of a resource sets
    the others back to their class's defaults, not to the instance's values. A variable that is not set leaves the
    setting's default: a reference to it would fail the run instead.

    Args:
        place: how the server is reached by default.
        prefixes: by place, what the names of its variables begin with besides; a run configuration may name them all.
        converted: fields that are spelled otherwise in their variables, as all but texts and whole numbers are: they
            have the value itself.

    Raises:
        ConfigurationError: the place is remote, and nothing says which SSH server or who logs in.
    """
    defaults: dict[str, object] = {}
    # The place that holds by default comes first.
    variables: dict[Place, dict[str, str]] = {side: {} for side in sorted(prefixes, key=lambda side: side != place)}
    for field, variable in find_variables(resource_type).items():
        defaults[field] = settings.get(variable)
        if resource_type.model_fields[field].annotation in (str, int) and field not in converted:
            for side, named in variables.items():
                named[field] = prefixes[side] + variable
            variable = variables[place][field]
            defaults[field] = {"env": variable} if settings.gives(variable) else settings.get(variable)
    forms, defaults["access"] = build_access(place, settings)
    configured = derive_model(resource_type, defaults, access=forms)
    configured.variables = variables
    configured.settings = settings
    return configured()


def _list_defaults(model: Config) -> dict[str, object]:
    """List the values of a model as defaults of its class, a variable as Dagster's configuration spells it."""
    return {
        field: {"env": value.env_var_name} if isinstance(value, EnvVar | IntEnvVar) else value for field, value in model
    }


def find_references(config: object) -> Iterator[Path]:
    """Find the fields of a run configuration that take their value from a variable of the environment."""
    for path, value in _flatten(config):
        if isinstance(value, dict) and value:
            yield path


def _flatten(config: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """List the fields of a configuration as it was written, each with its path."""
    if config == {} and path:
        yield path, None
    elif isinstance(config, Mapping) and not (path and set(config) == {"env"}):
        for key, value in config.items():
            yield from _flatten(value, (*path, str(key)))
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from _flatten(value, (*path, str(index)))
    else:
        yield path, config


def _find_configuration(context: InitResourceContext) -> object:
    """Find what the configuration of a run says of the resource that is being initialized."""
    given: Any = context.run.run_config.get("resources") if context.run is not None else None
    keys = [key for key, definition in context.all_resource_defs.items() if definition is context.resource_def]
    merged: dict[str, Any] = {}
    for key in keys:
        merged.update(((given or {}).get(key) or {}).get("config") or {})
    return merged


def _refuse(field: str, variable: str) -> ConfigurationError:
    return ConfigurationError(
        f"the run configuration names another server, user or way to it than the environment: it must bring {field} of"
        f" its own too, for what {variable} holds is sent to no other; nothing was sent"
    )
