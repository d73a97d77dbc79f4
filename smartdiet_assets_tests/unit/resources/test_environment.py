"""What each variable means, what is said of a bad one, and that `.env` never wins over the environment."""

import os
import re
from datetime import date
from pathlib import Path

import pytest

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import VARIABLES, read_dagster_postgres_url, read_environment
from smartdiet_assets.schema.sources import MATOMO

SECRET = "hunter2-s3cret"
ROOT = Path(__file__).parents[3]


def test_the_defaults_are_those_of_the_replaced_tool() -> None:
    environment = read_environment({})
    assert environment.mongodb_url == "mongodb://localhost:27017"
    assert (environment.mongodb_database, environment.postgres_host) == ("default", "localhost")
    assert (environment.postgres_port, environment.postgres_database) == (5432, "database")
    assert (environment.postgres_user, environment.postgres_password) == ("user", "")
    assert (environment.global_date_threshold, environment.batch_size) == (None, 5000)
    assert (environment.matomo_source, environment.matomo_host, environment.matomo_port) == ("local", "localhost", 3306)
    assert (environment.matomo_database, environment.matomo_user) == ("matomo", "root")
    assert (environment.matomo_password, environment.matomo_table_prefix) == ("", "matomo_")


def test_every_variable_is_read() -> None:
    environment = read_environment(
        {
            "MONGODB_URL": "mongodb+srv://example.org",
            "MONGODB_DATABASE": "diet",
            "POSTGRES_PORT": "6543",
            "POSTGRES_PASSWORD": SECRET,
            "GLOBAL_DATE_THRESHOLD": "2024-01-31",
            "BATCH_SIZE": "100",
            "SMARTDIET_SCHEMAS": "/etc/schemas.yaml",
            "SMARTDIET_EXECUTOR": "multiprocess",
        }
    )
    assert environment.mongodb_database == "diet"
    assert (environment.postgres_port, environment.batch_size) == (6543, 100)
    assert environment.global_date_threshold == date(2024, 1, 31)
    assert environment.schemas_path == Path("/etc/schemas.yaml")
    assert environment.executor == "multiprocess"
    assert SECRET not in repr(environment)


def test_matomo_is_configured_where_something_says_where_it_is() -> None:
    assert not read_environment({"MATOMO_PASSWORD": SECRET, "MATOMO_PORT": "3307", "MATOMO_HOST": ""}).names(MATOMO)
    assert read_environment({"MATOMO_HOST": "db"}).names(MATOMO)
    assert read_environment({"MATOMO_DATABASE": "analytics"}).names(MATOMO)
    assert read_environment({"MATOMO_TABLE_PREFIX": "-"}).matomo_table_prefix == ""
    assert SECRET not in repr(read_environment({"MATOMO_PASSWORD": SECRET}))


@pytest.mark.parametrize("name", ["TRANSFER_SOURCE", "TRANSFER_DESTINATION", "MATOMO_SOURCE"])
def test_a_remote_server_needs_an_ssh_server_and_a_user(name: str) -> None:
    remote = {name: "remote", "REMOTE_SERVER_URL": "203.0.113.5"}
    with pytest.raises(ConfigurationError) as caught:
        read_environment(remote)
    assert str(caught.value) == f"{name}=remote needs REMOTE_SERVER_USER"
    settings = read_environment({**remote, "REMOTE_SERVER_USER": "tunnel", "REMOTE_SERVER_PASSWORD": SECRET})
    assert getattr(settings, name.lower()) == "remote"
    assert (settings.remote_server_port, settings.remote_mongodb_url) == (22, "mongodb://localhost:27017")
    assert (settings.remote_postgres_host, settings.remote_postgres_user) == ("localhost", "postgres")
    assert SECRET not in repr(settings)


def test_an_e_mail_needs_a_sender_and_a_server() -> None:
    mail = {"SMARTDIET_ALERT_EMAIL_TO": "ops@example.org, night@example.org"}
    with pytest.raises(ConfigurationError, match=r"TO needs SMARTDIET_ALERT_EMAIL_FROM and .*_HOST and .*_PASSWORD$"):
        read_environment(mail)
    others = {f"SMARTDIET_ALERT_EMAIL_{name}": SECRET for name in ("FROM", "HOST", "PASSWORD")}
    assert read_environment({**mail, **others}).alert_email_to == ("ops@example.org", "night@example.org")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read_environment(dict.fromkeys(VARIABLES, "")) == read_environment({})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("MONGODB_URL", f"user:{SECRET}@localhost"),
        ("POSTGRES_PORT", SECRET),
        ("POSTGRES_PORT", "70000"),
        ("GLOBAL_DATE_THRESHOLD", "31/01/2024"),
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "many"),
        ("SMARTDIET_EXECUTOR", "fast"),
        ("SMARTDIET_SCHEDULE", "now and then"),
        ("SMARTDIET_DAGSTER_POSTGRES_URL", f"mysql://dagster:{SECRET}@localhost/dagster"),
        ("SMARTDIET_BROKER_URL", f"kafka://dagster:{SECRET}@localhost"),
        ("SMARTDIET_EXECUTOR", "dask"),
        ("SMARTDIET_ALERT_URL", f"hooks.slack.com/services/{SECRET}"),
        ("SMARTDIET_ALERT_URL", f"https://user:{SECRET}@example.org/hook"),
        ("SMARTDIET_ALERT_URL", f"https://[/{SECRET}"),
        ("SMARTDIET_ALERT_FORM", "pager"),
        ("SMARTDIET_ALERT_EMAIL_SECURITY", "none"),
        ("MATOMO_SOURCE", "elsewhere"),
        ("MATOMO_TABLE_PREFIX", "`; DROP"),
        ("MATOMO_SSL_VERIFY", "perhaps"),
        ("TRANSFER_SOURCE", "elsewhere"),
        ("POSTGRES_SSL_MODE", "always"),
        ("REMOTE_SERVER_URL", f"ssh://tunnel:{SECRET}@gate.example.org"),
        ("REMOTE_SERVER_PORT", "0"),
        ("REMOTE_SERVER_AGENT", "perhaps"),
        ("REMOTE_MONGODB_URL", f"mongodb+srv://reader:{SECRET}@cluster.example.org"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_not_the_value(name: str, bad: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be ") as caught:
        read_environment({name: bad})
    assert bad not in str(caught.value).removeprefix(name)


def test_workers_need_a_broker_and_a_database_of_runs() -> None:
    url = f"redis://:{SECRET}@broker:6379/0"
    with pytest.raises(ConfigurationError, match=r"^SMARTDIET_EXECUTOR=celery needs SMARTDIET_DAGSTER_POSTGRES_URL$"):
        read_environment({"SMARTDIET_EXECUTOR": "celery", "SMARTDIET_BROKER_URL": url})
    assert SECRET not in repr(read_environment({"SMARTDIET_BROKER_URL": url}))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_the_url_of_dagsters_own_records_names_the_driver_whatever_scheme_is_written(
    scheme: str, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", f"{scheme}://dagster:{SECRET}@db:5432/dagster")
    # Dagster's processes read it whatever else is set.
    monkeypatch.setenv("BATCH_SIZE", "many")
    assert read_dagster_postgres_url() == f"postgresql+psycopg2://dagster:{SECRET}@db:5432/dagster"
    monkeypatch.delenv("BATCH_SIZE")
    assert SECRET not in repr(read_environment())


def test_without_that_url_dagster_keeps_its_records_in_files(own_environment: Path) -> None:
    assert read_dagster_postgres_url() == ""


def test_all_bad_values_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)POSTGRES_PORT.*BATCH_SIZE"):
        read_environment({"BATCH_SIZE": "x", "POSTGRES_PORT": "x"})


def test_a_dotenv_file_in_a_folder_above_is_read_and_the_environment_wins(
    own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_environment / ".env").write_text("POSTGRES_HOST=from-file\nPOSTGRES_USER=from-file\n")
    below = own_environment / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    monkeypatch.setenv("POSTGRES_USER", "from-environment")
    environment = read_environment()
    assert (environment.postgres_host, environment.postgres_user) == ("from-file", "from-environment")
    # Dagster's EnvVar reads the process environment.
    assert os.environ["POSTGRES_HOST"] == "from-file"


def test_a_dotenv_file_that_is_not_text_is_named(own_environment: Path) -> None:
    (own_environment / ".env").write_bytes(b"POSTGRES_HOST=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read"):
        read_environment()


def test_the_schema_file_of_the_current_folder_comes_before_the_checkouts(own_environment: Path) -> None:
    assert read_environment().schemas_path == ROOT / "config" / "schemas.yaml"
    (own_environment / "config").mkdir()
    (own_environment / "config" / "schemas.yaml").write_text("")
    assert read_environment().schemas_path.resolve() == own_environment / "config" / "schemas.yaml"


def test_the_example_file_lists_every_variable_with_its_default(own_environment: Path) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(example) == set(VARIABLES)
    assert read_environment(example) == read_environment({})


def test_the_documentation_names_every_variable_and_the_default_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "config" / "README.md").read_text()
    # `A_B_CA`, `_CERT` is short for `A_B_CA`, `A_B_CERT`.
    shortened = re.compile(r"`([A-Z_]+)(_[A-Z]+)`((?:, `_[A-Z]+`)+)")
    text = shortened.sub(lambda found: f"`{found[1]}{found[2]}`" + found[3].replace("`_", f"`{found[1]}_"), text)
    assert set(re.findall(r"[A-Z][A-Z_]+", text)) >= set(VARIABLES)
    table = "".join(re.findall(r"^\|[^|\n]+\| default \|.*\n((?:\|.*\n)+)", text, re.MULTILINE))
    # Where the default of the schema file is as the table has it.
    monkeypatch.chdir(ROOT)
    checked = []
    for names, defaults in re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \| ([^|]+) \|", table, re.MULTILINE):
        variables, shown = re.findall(r"[A-Z_]+", names), defaults.split(", ")
        if len(shown) == 1:
            shown *= len(variables)
        for name, value in zip(variables, shown, strict=False):
            # Others are told in words.
            if name in VARIABLES and len(shown) == len(variables) and re.fullmatch("`[^`]+`|none", value):
                value = value.strip("`").removeprefix("none")
                assert read_environment({name: value}) == read_environment({}), name
                checked.append(name)
    assert len(checked) > 40
