"""Guarding the target: what must be typed before a refresh writes over a database, and what is refused whatever is.

Pure.
"""

import ipaddress

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.refresh.plan import PLACES, RefreshPlan, Side
from smartdiet_assets.resources.variable_kinds import Place


def other_place(place: Place) -> Place:
    """The place that is not this one."""
    return PLACES[1 - PLACES.index(place)]


def needs_name(target: Side) -> bool:
    """Whether writing to a database asks for its name: it is the remote one, or at any host but this machine.

    A host that the local variables name counts as remote too where it is not the loopback address: somebody else's
    database may be there.
    """
    return target.place == "remote" or not all(map(is_this_machine, target.hosts))


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine for certain: the loopback address, `localhost`, a Unix socket."""
    if host.startswith("/") or host.lower() in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_sides(plan: RefreshPlan) -> None:
    """Refuse a plan whose target is its own source.

    Raises:
        ConfigurationError: says so.
    """
    if plan.target.identities & plan.source.identities:
        raise ConfigurationError(
            f"the source and the target are the same database ({plan.target.database}); nothing was written"
        )


def check_target(plan: RefreshPlan, target_name: str | None) -> None:
    """Refuse a plan whose target is not the one that was named.

    Args:
        target_name: what was typed; it may be left out for a database on this machine, but is never ignored.

    Raises:
        ConfigurationError: says what to type.
    """
    target = plan.target
    if target_name is None:
        if needs_name(target):
            raise ConfigurationError(
                f"this writes over {target.database} of {target.server}; to allow it, type"
                f" --target-name {target.database}"
            )
    elif target_name != target.database:
        raise ConfigurationError(
            f"the target is {target.database}, not {target_name}: type --target-name {target.database} if it is meant;"
            " nothing was written"
        )
