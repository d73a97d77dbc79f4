"""The hosts in a MongoDB URL, and a client that reaches one of them through a tunnel.

The URL holds a password: it is never shown, only the hosts in it are.

Behind a tunnel a driver cannot find the members of a replica set by itself: they tell it addresses that lead nowhere
from here. So it is connected directly to one member.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from smartdiet_assets.errors import (
    ConfigurationError,
    ForwardingFailedError,
    PermissionDeniedError,
    ServerUnreachableError,
    SmartdietError,
)
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_hello import fetch_hello
from smartdiet_assets.resources.tunnel import Tunnel, Way

# The hosts stand after the only "@", their ports are numbers. Where it is otherwise, a part of a password that was
# not encoded could pass for a host.
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^@/?:,\[\]]+)(?::\d{1,5})?"
_HOSTS = re.compile(rf"mongodb(?:\+srv)?://(?:[^@/?]*@)?({_HOST}(?:,{_HOST})*)(?:[/?][^@]*)?")
_PORT = 27017

MakeClient = Callable[..., MongoClient[dict[str, Any]]]


def find_hosts(url: str) -> tuple[int, int] | None:
    """Find where in a URL its hosts stand; None where that cannot be told for sure."""
    match = _HOSTS.fullmatch(url)
    return match.span(1) if match else None


def open_forwarded(
    url: str, tunnel: Tunnel, make_client: MakeClient, described: str
) -> tuple[MongoClient[dict[str, Any]], Way]:
    """Open a client of one host of a URL, through a tunnel.

    Of several hosts it is the primary. Where none of them is, it is the first that answers: a driver that follows a
    replica set reads from such a member too where the URL allows it (`readPreference`), and says so where it does not.

    Args:
        make_client: makes a client of a URL and options.
        described: the server, for a message.

    Raises:
        SmartdietError: the URL cannot be used, there is no SSH connection, or no host answers.
    """
    if url.startswith("mongodb+srv:"):
        raise ConfigurationError(
            f"{described}: mongodb+srv:// finds its servers by DNS, which does not lead through an SSH tunnel; name "
            "them with mongodb:// in REMOTE_MONGODB_URL"
        )
    span = find_hosts(url)
    if span is None:
        # The driver says what is wrong with it.
        make_client(url, connect=False).close()
        raise ConfigurationError(f"{described}: the hosts of REMOTE_MONGODB_URL cannot be told from the rest")
    hosts = [_split(host) for host in url[slice(*span)].split(",")]
    failures: list[SmartdietError] = []
    spare: tuple[MongoClient[dict[str, Any]], Way] | None = None
    try:
        for host, port in hosts:
            way = tunnel.open(host, port)
            try:
                way.probe()
                client = _make_forwarded(url, span, host, way, make_client)
                if len(hosts) == 1 or _is_primary(client, described):
                    return client, way
            except (ForwardingFailedError, PermissionDeniedError, ServerUnreachableError) as error:
                failures.append(error)
                continue
            if spare is None:
                spare = client, way
            else:
                client.close()
        found, spare = spare, None
    finally:
        if spare is not None:
            spare[0].close()
    if found is None:
        raise failures[0]
    return found


def _make_forwarded(
    url: str, span: tuple[int, int], host: str, way: Way, make_client: MakeClient
) -> MongoClient[dict[str, Any]]:
    address, port = way.address
    forwarded = f"{url[: span[0]]}{address}:{port}{url[span[1] :]}"
    client = make_client(forwarded, directConnection=True, connect=False)
    # No part of the driver takes the name that a certificate is for apart from the address to connect to.
    context = client.options.pool_options._ssl_context
    if context is not None:
        context.wrap_socket = _name_host(context.wrap_socket, host)  # type: ignore[method-assign]
    return client


def _name_host(wrap_socket: Callable[..., Any], host: str) -> Callable[..., Any]:
    @functools.wraps(wrap_socket)
    def wrap(*arguments: Any, **options: Any) -> Any:
        return wrap_socket(*arguments, **{**options, "server_hostname": host})

    return wrap


def _is_primary(client: MongoClient[dict[str, Any]], described: str) -> bool:
    try:
        answer = fetch_hello(client)
    except PyMongoError as error:
        client.close()
        raise translate_mongo_error(error, f"opening {described}", prefix="REMOTE_") from None
    return bool(answer.get("isWritablePrimary") or answer.get("ismaster"))


def _split(host: str) -> tuple[str, int]:
    """Split a host of a URL, such as `db:27017` or `[::1]`, into name and port."""
    name, colon, port = host.rpartition(":")
    if not colon or (host.startswith("[") and host.endswith("]")):
        name, port = host, str(_PORT)
    return name.strip("[]"), int(port)
