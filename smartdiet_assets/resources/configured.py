"""Resources whose settings come from environment variables, and show in Dagit as the variables' names.

Here: building such a resource, and telling one that is not read yet. Not here: the variables (`environment`), and the
resources themselves.
"""

import os
from collections.abc import Mapping
from copy import copy
from typing import Any, TypeVar

from dagster import ConfigurableResource, EnvVar
from dagster._config.field_utils import IntEnvVar
from pydantic import create_model

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.access import Access, build_access
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.variables import Place

ResourceT = TypeVar("ResourceT", bound=ConfigurableResource[Any])


def build_configured(
    resource_type: type[ResourceT],
    variables: Mapping[str, str],
    settings: Environment,
    converted: Mapping[str, object] | None = None,
    place: Place = "local",
) -> ResourceT:
    """Build a resource whose fields default to the environment: Dagit shows a variable's name, not what it holds.

    The defaults are those of a class of its own, because a run config that overrides one field of a resource sets
    the others back to their class's defaults, not to the instance's values. A variable that is not set leaves the
    setting's default: a reference to it would fail the run instead.

    Args:
        variables: the variable of each field; the setting of that name has its lower-case name.
        converted: values of further fields, whose variables are not spelled as the field's type is.
        place: how the server is reached by default (`access`).

    Raises:
        ConfigurationError: the place is remote, and nothing says which SSH server or who logs in.
    """
    fields: dict[str, Any] = {}
    defaults: dict[str, object] = {
        field: {"env": variable} if os.environ.get(variable) else getattr(settings, variable.lower())
        for field, variable in variables.items()
    }
    for field, default in {**defaults, **(converted or {})}.items():
        info = copy(resource_type.model_fields[field])
        info.default = default
        fields[field] = (info.annotation, info)
    access = copy(resource_type.model_fields["access"])
    forms, access.default = build_access(place, settings)
    fields["access"] = (forms, access)
    configured = create_model(
        resource_type.__name__, __base__=resource_type, __module__=resource_type.__module__,
        __doc__=resource_type.__doc__, **fields,
    )  # fmt: skip
    return configured()


def require_read(resource: Any) -> None:
    """Refuse to connect with a resource that still holds names of variables.

    Raises:
        ConfigurationError: Dagster has not initialized it.
    """
    access: Access = resource.access
    values = [value for model in (resource, access) for _, value in model]
    if any(isinstance(value, EnvVar | IntEnvVar | dict) for value in values):
        raise ConfigurationError(f"the {type(resource).__name__} is not initialized: its variables are not read")
