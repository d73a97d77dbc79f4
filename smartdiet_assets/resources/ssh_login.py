"""Logging in to an SSH server: the connection, the server's key, then our key, agent or password.

Nothing is sent to the server before its key is accepted. paramiko itself takes part of a second to import: only what
opens a connection imports this module.
"""

import contextlib
import io
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko.auth_handler import AuthOnlyHandler

from smartdiet_assets.errors import AuthenticationError, ConfigurationError, ServerUnreachableError
from smartdiet_assets.resources.ssh_host_keys import PublicKey, check_host_key, find_known_keys
from smartdiet_assets.resources.ssh_settings import GIVEN, SshSettings

_CHECK = "check it, REMOTE_SERVER_URL and REMOTE_SERVER_PORT"
#: Seconds until what was sent counts as lost where nobody confirms it (the network, not the server's answer).
_SECONDS_UNCONFIRMED = 45
#: What encrypts and signs in one go is several times faster here than a cipher with a separate signature.
_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
#: A key of this type signs in several ways.
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_KEY_CLASSES: tuple[tuple[type[Any], type[Any]], ...] = (
    (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
    (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
    (rsa.RSAPrivateKey, paramiko.RSAKey),
)

# What it has to say we say ourselves; where nobody listens Python would print it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _AuthHandler(AuthOnlyHandler):
    """Asks for a login, ready for the answer before the request is sent.

    paramiko's own gets ready after it, and waits in vain for an answer that came before that.
    """

    _answered: threading.Event | None = None

    @property
    def auth_event(self) -> threading.Event | None:
        return self._answered

    @auth_event.setter
    def auth_event(self, event: threading.Event | None) -> None:
        """Keep the event of the request that was sent."""

    def send_auth_request(self, *arguments: Any, **named: Any) -> Any:
        self._answered = threading.Event()
        return super().send_auth_request(*arguments, **named)


class _Transport(paramiko.ServiceRequestingTransport):
    """A transport that begins the login once for all methods: not every server takes a new beginning with each."""

    def get_auth_handler(self) -> _AuthHandler:
        return _AuthHandler(self)


def open_transport(access: SshSettings, timeout: float) -> paramiko.Transport:
    """Connect to an SSH server, check its key and log in.

    Args:
        timeout: seconds, for each of these three.

    Raises:
        ServerUnreachableError: no SSH server answers.
        HostKeyError: its key is not known, or not the one that is.
        AuthenticationError: it refuses the login.
        ConfigurationError: a setting or a file it names cannot be used.
    """
    if not (access.server and access.user):
        raise ConfigurationError("a remote server is reached through SSH: set REMOTE_SERVER_URL and REMOTE_SERVER_USER")
    known = find_known_keys(
        access.server,
        access.port,
        host_key=access.host_key,
        known_hosts=access.known_hosts,
        name=access.spell("known_hosts"),
    )
    with contextlib.ExitStack() as undo:
        stream = undo.enter_context(_connect(access, timeout))
        transport: paramiko.Transport = undo.enter_context(contextlib.closing(_Transport(stream)))
        _prefer(transport, known.kinds)
        offered = _negotiate(transport, access, timeout)
        check_host_key(offered, known, access.spell("server"), access.port if "port" not in access.given else GIVEN)
        _log_in(transport, access)
        undo.pop_all()
    return transport


def _connect(access: SshSettings, timeout: float) -> socket.socket:
    try:
        stream = socket.create_connection((access.server, access.port), timeout)
    except socket.gaierror:
        raise ServerUnreachableError(f"{access.describe()}: the name has no address; {_CHECK}") from None
    except OSError:
        raise ServerUnreachableError(f"{access.describe()} does not answer; {_CHECK}") from None
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SECONDS_UNCONFIRMED * 1000)
    return stream


def _prefer(transport: paramiko.Transport, kinds: tuple[str, ...]) -> None:
    """Ask for the fast ciphers first, and for a host key of a type that is known."""
    options = transport.get_security_options()
    fast = [name for name in _FAST_CIPHERS if name in options.ciphers]
    options.ciphers = (*fast, *(name for name in options.ciphers if name not in fast))
    wanted = [algorithm for kind in kinds for algorithm in _ALGORITHMS.get(kind, (kind,))]
    first = [name for name in wanted if name in options.key_types]
    options.key_types = (*first, *(name for name in options.key_types if name not in first))


def _negotiate(transport: paramiko.Transport, access: SshSettings, timeout: float) -> PublicKey:
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
    try:
        transport.start_client(timeout=timeout)
        key = transport.get_remote_server_key()
    except paramiko.IncompatiblePeer:
        raise ConfigurationError(f"{access.describe()}: it knows none of the algorithms that are used here") from None
    except (paramiko.SSHException, OSError, EOFError):
        raise ServerUnreachableError(
            f"{access.describe()}: what answers is no SSH server, or takes no connections now; {_CHECK}"
        ) from None
    return PublicKey(key.get_name(), key.asbytes())


def _log_in(transport: paramiko.Transport, access: SshSettings) -> None:
    """Try what there is, in turn; a server may want several one after the other."""
    tried: list[str] = []
    for name, method in _list_methods(transport, access):
        try:
            method()
        except paramiko.BadAuthenticationType:
            tried.append(f"{name} (not taken by the server)")
        except (paramiko.SSHException, OSError, EOFError) as error:
            lost = not transport.is_active() or "timeout" in str(error).lower()
            if lost and not tried:
                raise ServerUnreachableError(f"{access.describe()}: the connection was lost during the login") from None
            tried.append(name)
            if lost:
                # Many servers end the connection after some refusals.
                break
        else:
            tried.append(name)
        if transport.is_authenticated():
            return
    raise AuthenticationError(
        f"{access.describe()} refuses the user {access.spell('user')}; tried: {', '.join(tried) or 'nothing'}. Check "
        "REMOTE_SERVER_USER, and REMOTE_SERVER_PASSWORD, REMOTE_SERVER_KEY_FILE or the keys of the SSH agent"
    )


def _list_methods(transport: paramiko.Transport, access: SshSettings) -> Iterator[tuple[str, Any]]:
    if access.agent or not (access.password or access.key_file):
        with contextlib.closing(_open_agent(access)) as agent:
            for number, key in enumerate(agent.get_keys(), 1):
                yield f"key {number} of the SSH agent", lambda key=key: transport.auth_publickey(access.user, key)
    if access.key_file:
        name = access.spell("key_file")
        key = read_private_key(access.key_file, access.key_passphrase, name)
        yield f"the key {name}", lambda: transport.auth_publickey(access.user, key)
    if access.password:
        yield "the password", lambda: transport.auth_password(access.user, access.password)


def _open_agent(access: SshSettings) -> paramiko.Agent:
    try:
        return paramiko.Agent()
    except (paramiko.SSHException, OSError):
        raise ConfigurationError(
            f"{access.describe()}: the SSH agent that SSH_AUTH_SOCK names does not answer"
        ) from None


def read_private_key(file: str, passphrase: str, name: str) -> paramiko.PKey:
    """Read a private key in any of the formats of OpenSSH and OpenSSL, with its certificate where one is beside it.

    Args:
        name: what messages call the file.

    Raises:
        ConfigurationError: the file cannot be read or holds no such key, or the passphrase is missing or wrong.
    """
    path = Path(file).expanduser()
    try:
        data = path.read_bytes()
    except OSError:
        raise ConfigurationError(f"REMOTE_SERVER_KEY_FILE: the file {name} cannot be read") from None
    is_openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load: Any = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        private = load(data, None)
    except TypeError:
        private = _decrypt(load, data, name, passphrase)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"REMOTE_SERVER_KEY_FILE: the file {name} holds no private key of SSH") from None
    for kind, key_class in _KEY_CLASSES:
        if isinstance(private, kind):
            plain: bytes = private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
            key = key_class.from_private_key(io.StringIO(plain.decode()))
            certificate = Path(f"{path}-cert.pub")
            if certificate.exists():
                key.load_certificate(str(certificate))
            return key
    raise ConfigurationError(f"REMOTE_SERVER_KEY_FILE: the key {name} is of a type that is not used any more")


def _decrypt(load: Any, data: bytes, name: str, passphrase: str) -> Any:
    if not passphrase:
        raise ConfigurationError(
            f"REMOTE_SERVER_KEY_FILE: the key {name} is encrypted; set REMOTE_SERVER_KEY_PASSPHRASE, or add the key to "
            "an SSH agent and set REMOTE_SERVER_AGENT=true instead"
        )
    try:
        return load(data, passphrase.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise AuthenticationError(f"REMOTE_SERVER_KEY_PASSPHRASE is not the passphrase of the key {name}") from None
