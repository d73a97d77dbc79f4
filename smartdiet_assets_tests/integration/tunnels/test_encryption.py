"""Encrypted connections to the three databases: directly, and for the name behind a tunnel."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo.database import Database

from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.errors import AuthenticationError, ConfigurationError
from smartdiet_assets.resources.access import LocalAccess
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.conftest import FAST_MARIADB, run_server
from smartdiet_assets_tests.support.remote import build_access
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer
from smartdiet_assets_tests.support.tls import Authority, TlsProxy


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    """The authority of every server here; where root runs the tests, MariaDB reads its files as somebody else."""
    with tempfile.TemporaryDirectory(prefix="smartdiet-tls-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Authority(Path(folder))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that vouches for no server here."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(params=["directly", "through_ssh"])
def access(request: pytest.FixtureRequest) -> Any:
    if request.param == "directly":
        return LocalAccess()
    return build_access(request.getfixturevalue("ssh_server"))


@pytest.fixture(scope="module")
def tls_mariadb(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMariaDB]:
    """A MariaDB with a certificate for `localhost`, not for its address."""
    certificate = authority.issue("mariadb", "localhost")
    certificate.key.chmod(0o644)
    settings = {
        **FAST_MARIADB,
        "ssl-ca": str(authority.file),
        "ssl-cert": str(certificate.certificate),
        "ssl-key": str(certificate.key),
    }
    yield from run_server(EmbeddedMariaDB(tmp_path_factory.mktemp("tls") / "mariadb", settings=settings))


class TestPostgres:
    @pytest.fixture
    def proxy(self, authority: Authority, postgres_server: EmbeddedPostgres) -> Iterator[TlsProxy]:
        """A server whose certificate is for `localhost`, not for its address."""
        with TlsProxy(postgres_server.port, authority.issue("postgres", "localhost"), "postgres") as proxy:
            yield proxy

    def test_a_connection_is_encrypted_and_the_certificate_is_checked(
        self, access: Any, authority: Authority, stranger: Authority, proxy: TlsProxy,
        postgres_resource: PostgresResource, reach: Callable[..., Any],
    ) -> None:  # fmt: skip
        options = {"host": "localhost", "port": proxy.port, "ssl_mode": "verify-full", "ssl_ca": str(authority.file)}
        postgres = reach(postgres_resource, access, **options)
        with postgres.connect() as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT 1").fetchone() == (1,)
        for changed in ({"host": "127.0.0.1"}, {"ssl_ca": str(stranger.file)}):
            sentence = reach(postgres_resource, access, **{**options, **changed}).check().sentence
            assert "the server's certificate is not the authority's, or not for this host" in sentence
        # Encrypted, and nobody is asked who the server is.
        unchecked = {**options, "host": "127.0.0.1", "ssl_mode": "require", "ssl_ca": ""}
        assert reach(postgres_resource, access, **unchecked).check().ok

    def test_the_message_names_the_variables_to_check(
        self, ssh_server: InProcessSshServer, postgres_resource: PostgresResource, reach: Callable[..., Any]
    ) -> None:
        """The embedded server speaks no TLS."""
        for access, name in (
            (LocalAccess(), "the POSTGRES_SSL"),
            (build_access(ssh_server), "the REMOTE_POSTGRES_SSL"),
        ):
            with pytest.raises(ConfigurationError, match=f"no encrypted connection could be made; check {name}"):
                reach(postgres_resource, access, ssl_mode="require").connect()
        with pytest.raises(ConfigurationError, match="no encrypted connection could be made"):
            reach(postgres_resource, LocalAccess(), ssl_mode="verify-ca", ssl_ca="/nowhere/ca.pem").connect()

    def test_a_server_that_asks_for_a_certificate_gets_ours(
        self, authority: Authority, postgres_server: EmbeddedPostgres, postgres_resource: PostgresResource,
        reach: Callable[..., Any],
    ) -> None:  # fmt: skip
        ours = authority.issue("us")
        certificate = authority.issue("postgres2", "127.0.0.1")
        with TlsProxy(postgres_server.port, certificate, "postgres", client_authority=authority.file) as proxy:
            options = {"port": proxy.port, "ssl_mode": "verify-full", "ssl_ca": str(authority.file)}
            shown = {"ssl_cert": str(ours.certificate), "ssl_key": str(ours.key)}
            assert reach(postgres_resource, LocalAccess(), **options, **shown).check().ok
            assert not reach(postgres_resource, LocalAccess(), **options).check().ok


class TestMongo:
    def test_the_options_of_the_url_encrypt_and_check_the_certificate(
        self, access: Any, authority: Authority, stranger: Authority, mongo_server: EmbeddedMongo,
        mongo_database: Database[dict[str, Any]], mongo_resource: MongoResource, reach: Callable[..., Any],
    ) -> None:  # fmt: skip
        mongo_database.users.insert_one({})

        def point(host: str, ca: Path) -> str:
            return f"mongodb://{host}:{proxy.port}/?directConnection=true&tls=true&tlsCAFile={quote(str(ca))}"

        with TlsProxy(mongo_server.port, authority.issue("mongo", "localhost"), "mongo") as proxy:
            assert reach(mongo_resource, access, url=point("localhost", authority.file)).check().sentence == ""
            assert proxy.encrypted
            for url in (point("127.0.0.1", authority.file), point("localhost", stranger.file)):
                refused = reach(mongo_resource, access, url=url, server_selection_timeout=3.0)
                assert "certificate" in refused.check().sentence


class TestMatomo:
    def test_a_connection_is_encrypted_and_the_certificate_is_checked(
        self,
        access: Any,
        authority: Authority,
        stranger: Authority,
        tls_mariadb: EmbeddedMariaDB,
        reach: Callable[..., Any],
    ) -> None:
        with tls_mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS matomo")
        matomo = MatomoResource(
            host="localhost",
            port=tls_mariadb.port,
            database="matomo",
            user=tls_mariadb.user,
            password=tls_mariadb.password,
        )
        encrypted = reach(matomo, access, ssl_ca=str(authority.file))
        assert encrypted.check([]).sentence == ""
        with encrypted.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
            assert cursor.fetchone()[1]
        for changed in ({"host": "127.0.0.1"}, {"ssl_ca": str(stranger.file)}):
            sentence = reach(matomo, access, **{"ssl_ca": str(authority.file), **changed}).check([]).sentence
            assert "the server's certificate is not the authority's, or not for this host" in sentence
        # Nobody is asked who the server is.
        assert reach(matomo, access, host="127.0.0.1", ssl_ca=str(authority.file), ssl_verify=False).check([]).ok

    def test_a_user_who_must_show_a_certificate_does(
        self, authority: Authority, tls_mariadb: EmbeddedMariaDB, reach: Callable[..., Any]
    ) -> None:
        with tls_mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS matomo")
            cursor.execute("CREATE USER IF NOT EXISTS shown@'%' IDENTIFIED BY 's3cret' REQUIRE X509")
            cursor.execute("GRANT ALL ON matomo.* TO shown@'%'")
        ours = authority.issue("us_too")
        matomo = MatomoResource(
            host="localhost", port=tls_mariadb.port, database="matomo", user="shown", password="s3cret",
            ssl_ca=str(authority.file),
        )  # fmt: skip
        shown = {"ssl_cert": str(ours.certificate), "ssl_key": str(ours.key)}
        assert reach(matomo, LocalAccess(), **shown).check([]).sentence == ""
        with pytest.raises(AuthenticationError), matomo.connect():
            pass
