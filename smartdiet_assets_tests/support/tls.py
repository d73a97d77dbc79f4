"""Certificates of an authority of the tests' own, and a proxy that encrypts what a server does not.

Here: what the tests of encrypted connections share. Not here: tests. The embedded PostgreSQL and MongoDB speak no TLS
or are shared with tests that want none; the proxy ends it before them, as a load balancer does.
"""

import contextlib
import datetime
import socket
import ssl
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smartdiet_assets.demo.server_folder import HOST

#: What a client of PostgreSQL sends to ask for encryption: a length and a number.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """An authority and the certificates it gives out, all in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} of the tests")])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(
            self._build(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )  # fmt: skip

    def issue(self, name: str, *hosts: str) -> Certificate:
        """Issue a certificate for names and addresses of a server, or, without any, for a client of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        builder = self._build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
        if hosts:
            names = [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        issued.certificate.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        issued.key.touch(mode=0o600)
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return issued

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


class TlsProxy:
    """Ends TLS before a server; a context manager.

    Attributes:
        port: where it listens.
        encrypted: how many connections came about.
    """

    def __init__(
        self,
        server_port: int,
        certificate: Certificate,
        protocol: Literal["postgres", "mongo"],
        *,
        client_authority: Path | None = None,
    ) -> None:
        """Prepare the proxy.

        Args:
            protocol: PostgreSQL's clients ask for encryption first.
            client_authority: the authority that must vouch for a client.
        """
        self._server_port = server_port
        self._protocol = protocol
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        if client_authority is not None:
            self._context.load_verify_locations(client_authority)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.encrypted = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _take(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self._protocol == "postgres":
                if client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
                    return
                client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as inside,
                socket.create_connection((HOST, self._server_port)) as server,
            ):
                self.encrypted += 1
                back = threading.Thread(target=_pass_on, args=[server, inside], daemon=True)
                back.start()
                _pass_on(inside, server)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
