"""Resources that somebody's own code made: their variables, and what a run configuration changes of them."""

from typing import Any

import dagster as dg
import pytest

from smartdiet_assets import MongoResource, PostgresResource, RemoteAccess
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets_tests.integration.library.project import build_postgres

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
POSTGRES = PostgresResource(
    host="db",
    port=dg.EnvVar.int("SHOP_PORT"),
    password=dg.EnvVar("SHOP_PASSWORD"),
    access=RemoteAccess(server=dg.EnvVar("SHOP_GATE"), user="tunnel", password=dg.EnvVar("SHOP_PASSWORD")),
)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "5433", "PASSWORD": "s3cret", "GATE": "gate", "URL": "mongodb://mongo"}.items():
        monkeypatch.setenv(f"SHOP_{name}", value)


def use(**configuration: Any) -> PostgresResource:
    """Initialize the resource as a run does, and refuse it where a run's first connection would."""
    used: list[PostgresResource] = []

    @dg.op
    def look(postgres: PostgresResource) -> None:
        postgres.require_usable()
        used.append(postgres)

    @dg.job
    def job() -> None:
        look()

    definitions = dg.Definitions(jobs=[job], resources={"postgres": POSTGRES.in_schema("shop").keep_values()})
    given = {"resources": {"postgres": {"config": configuration}}} if configuration else {}
    definitions.resolve_job_def("job").execute_in_process(run_config={**QUIET, **given})
    return used[0]


def test_what_a_run_configuration_does_not_give_stays_as_the_code_says() -> None:
    for used in (use(), use(database="other"), use(access={"remote": {}})):
        assert (used.host, used.port, used.password, used.target_schema) == ("db", 5433, "s3cret", "shop")
        assert isinstance(used.access, RemoteAccess)
        assert (used.access.server, used.access.user, used.access.password) == ("gate", "tunnel", "s3cret")
    assert use(database="other").database == "other"


@pytest.mark.parametrize(
    "configuration",
    [
        {"host": "foreign"},
        {"access": {"local": {}}},
        {"access": {"remote": {"server": "foreign"}}},
        {"password": {"env": "PATH"}},
    ],
)
def test_no_secret_of_the_code_goes_to_a_server_that_a_run_configuration_names(configuration: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        use(**configuration)
    assert use(host="foreign", password="own", access={"local": {}}).password == "own"


def test_outside_of_a_run_its_own_variables_are_read() -> None:
    for resource in (POSTGRES, POSTGRES.keep_values()):
        with resource.open() as opened:
            assert (opened.port, opened.password) == (5433, "s3cret")
            assert isinstance(opened.access, RemoteAccess)
            assert opened.access.server == "gate"
    with MongoResource(url=dg.EnvVar("SHOP_URL"), database="shop").keep_values().open() as mongo:
        assert mongo.describe() == "MongoDB at mongo"


def test_what_is_known_before_a_run_is_no_variable_of_others() -> None:
    assert POSTGRES.keep_values().find_known("host") == "db"
    assert POSTGRES.keep_values().find_known("password") == ""
    assert build_postgres().find_known("database") == ""
