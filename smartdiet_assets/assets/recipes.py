"""Sending the servers of a step to processes of its own: what makes the same resources there."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

from smartdiet_assets.mirror.attempt import Servers
from smartdiet_assets.resources.configured import ServerResource

#: A class that can be imported, and the values of its fields; those of models within likewise.
_Made = tuple[type[Any], dict[str, Any]]


def find_recipe(
    postgres: ServerResource, sources: Mapping[str, ServerResource], mirror: str
) -> Callable[[], Servers] | None:
    """Find how the servers of a run are made in another process; None where only this one may have them.

    What came by run configuration stays here: which secret may go to which server, the resource itself has checked.
    """
    resources = [postgres, *sources.values()]
    if not all(isinstance(resource, ServerResource) and not resource.is_given for resource in resources):
        return None
    return partial(_make_servers, _take_apart(postgres), {name: _take_apart(s) for name, s in sources.items()}, mirror)


def _make_servers(postgres: _Made, sources: Mapping[str, _Made], mirror: str) -> Servers:
    return Servers(_make(postgres), {name: _make(source) for name, source in sources.items()}, mirror=mirror)


def _take_apart(model: Any) -> _Made:
    known = (
        kind for kind in type(model).__mro__ if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    )
    fields = {name: _take_apart(value) if isinstance(value, BaseModel) else value for name, value in model}
    return next(known), fields


def _make(made: _Made) -> Any:
    kind, fields = made
    return kind(**{name: _make(value) if isinstance(value, tuple) else value for name, value in fields.items()})
