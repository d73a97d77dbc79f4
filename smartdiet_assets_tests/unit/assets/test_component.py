"""The component: what `defs.yaml` may say, and which of it Dagit gets to see. In a project: `integration/shipped`."""

import inspect
import os
import pty
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
import yaml
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox

from smartdiet_assets import Alerts, MongoMirrorComponent, build_mirror
from smartdiet_assets.schema.model import Table

TABLES = """
tables:
  users: {include_base: true, group: people, additional_columns: [{name: name, sql_type: TEXT}]}
  notes:
    include_base: true
    group: people
    additional_columns: [{name: user_id, sql_type: VARCHAR, foreign_key: users(id), mongo_field: user}]
"""
PASSWORD = "correct horse"
SERVERS = {
    "mongo": {"url": "{{ env.SHOP_MONGODB_URL }}", "database": "shop"},
    "postgres": {"host": "db", "port": "{{ env('SHOP_PORT') }}", "password": "{{ env.SHOP_PASSWORD }}"},
}
README = Path(__file__).parents[3] / "smartdiet_assets" / "assets" / "README.md"
Load = Callable[..., tuple[MongoMirrorComponent, dg.Definitions]]


class OwnMirror(MongoMirrorComponent):
    """A component of a project's own."""

    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        return super().get_asset_spec(table).replace_attributes(group_name="own")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a component with attributes, as a project does, beside the file of its tables."""
    monkeypatch.setenv("SHOP_MONGODB_URL", f"mongodb://u:{PASSWORD}@m")
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    monkeypatch.setenv("SHOP_PORT", "7")
    monkeypatch.setenv("SHOP_PSEUDONYM_KEY", PASSWORD * 2)

    def load_attributes(
        kind: type[MongoMirrorComponent] = MongoMirrorComponent, **attributes: object
    ) -> tuple[MongoMirrorComponent, dg.Definitions]:
        contents = {
            "type": f"{kind.__module__}.{kind.__name__}",
            "attributes": {"name": "shop", **SERVERS, **attributes},
        }
        with create_defs_folder_sandbox() as sandbox:
            folder = sandbox.scaffold_component(kind, defs_yaml_contents=contents)
            (folder / "schemas.yaml").write_text(TABLES)
            (folder / "protected.yaml").write_text("protect: {users: {name: pseudonym}}")
            with sandbox.load_component_and_build_defs(folder) as (component, definitions):
                assert isinstance(component, MongoMirrorComponent)
                return component, definitions

    return load_attributes


def refuse(load: Load, **attributes: object) -> str:
    """Load what cannot be loaded; Dagster says the tree of files, and why where it looks for causes."""
    with pytest.raises(ComponentTreeException) as caught:
        load(**attributes)
    causes, error = [], caught.value.__cause__
    while error is not None:
        causes.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join((str(caught.value), *causes))


def keys_of(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_all_asset_keys()}


def test_its_attributes_are_the_arguments_of_a_mirror() -> None:
    arguments = set(inspect.signature(build_mirror).parameters) - {"translator"} | {"translation"}
    assert set(MongoMirrorComponent.model().model_fields) == arguments | {"protected", "pseudonym_key"}


def test_a_mirror_is_built_with_what_they_say(load: Load) -> None:
    _, definitions = load(
        key_prefix=["store", "raw"],
        target_schema="store",
        schedule="*/5 * * * *",
        sensor=False,
        translation={"group_name": "{{ table.group }}_{{ table.name }}", "owners": ["team:data"]},
        automation_condition="{{ dg.AutomationCondition.eager() }}",
        partitions="{{ dg.DailyPartitionsDefinition(start_date='2024-01-01', end_offset=1) }}",
    )
    assert keys_of(definitions) == {"store/raw/users", "store/raw/notes"}
    notes = definitions.resolve_assets_def(dg.AssetKey(["store", "raw", "notes"])).specs_by_key
    [spec] = notes.values()
    assert (spec.group_name, list(spec.owners)) == ("people_notes", ["team:data"])
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["store/raw/users"]
    assert spec.automation_condition == dg.AutomationCondition.eager()
    assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)
    assert spec.metadata["dagster/table_name"].value == "database.store.notes"
    assert not list(definitions.sensors or [])
    assert definitions.resolve_schedule_def("shop_mirror_schedule").cron_schedule == "*/5 * * * *"


def test_a_subclass_says_how_tables_look(load: Load) -> None:
    _, definitions = load(OwnMirror)
    assert definitions.resolve_assets_def("users").get_asset_spec().group_name == "own"


def test_what_the_readme_shows_is_a_mirror(load: Load) -> None:
    _, _, chapter = README.read_text().partition("### As a component")
    shown = yaml.safe_load(chapter.partition("```yaml\n")[2].partition("```")[0])
    component, definitions = load(**shown["attributes"])
    assert component.postgres.remote is not None
    assert isinstance(component.pseudonym_key, dg.EnvVar)
    assert keys_of(definitions) == {"shop/users", "shop/notes"}


def test_dagit_sees_variables_and_not_what_they_hold(load: Load) -> None:
    component, definitions = load()
    assert component.mongo is not None
    assert isinstance(component.mongo.url, dg.EnvVar)
    assert isinstance(component.postgres.password, dg.EnvVar)
    assert PASSWORD not in repr(component)
    resources = (definitions.resources or {}).values()
    shown = str([made.get_resource_definition().config_schema.default_value for made in resources])
    assert "SHOP_PASSWORD" in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("server", "fields"),
    [
        ("postgres", {"password": PASSWORD}),
        ("postgres", {"password": "x{{ env.SHOP_PASSWORD }}"}),
        ("postgres", {"access": {"server": "gate", "user": "u", "key_passphrase": PASSWORD}}),
        ("mongo", {"url": f"mongodb://u:{PASSWORD}@m"}),
        ("mongo", {"url": "mongodb://u:{{ env.SHOP_PASSWORD }}@m"}),
    ],
)
def test_a_secret_that_dagit_would_show_is_refused(load: Load, server: str, fields: Mapping[str, Any]) -> None:
    for said in (refuse(load, **{server: {**SERVERS[server], **fields}}), refuse(load, pseudonym_key=PASSWORD)):
        assert "holds a secret, which Dagit would show" in said
        assert PASSWORD not in said


def test_a_url_without_a_login_may_stand_there(load: Load) -> None:
    component, _ = load(mongo={"url": "mongodb://m:27017", "database": "shop"})
    assert component.mongo is not None
    assert component.mongo.url == "mongodb://m:27017"


def test_the_way_through_an_ssh_server(load: Load) -> None:
    access = {"server": "gate", "port": "{{ env.SHOP_PORT }}", "user": "u", "password": "{{ env.SHOP_PASSWORD }}"}
    component, _ = load(postgres={"host": "db", "access": access})
    remote = component.postgres.remote
    assert remote is not None
    assert (remote.server, isinstance(remote.password, dg.EnvVar)) == ("gate", True)


@pytest.mark.parametrize(("name", "attributes"), [("sensors", {"sensors": 1}), ("hots", {"postgres": {"hots": "db"}})])
def test_what_is_not_known_is_refused(load: Load, name: str, attributes: Mapping[str, Any]) -> None:
    assert name in refuse(load, **attributes)


def test_what_is_kept_of_runs_and_how_they_read(load: Load) -> None:
    component, definitions = load(retention={"days": 3, "failed_days": 9}, settings={"batch_size": 7})
    assert component.settings is not None
    assert component.settings.batch_size == 7
    assert definitions.resolve_job_def("shop_prune").name == "shop_prune"


def test_whom_its_alerts_go_to(load: Load) -> None:
    component, definitions = load(alerts={"url": "{{ env.SHOP_ALERT_URL }}", "form": "slack"})
    assert component.alerts == Alerts(dg.EnvVar("SHOP_ALERT_URL"), "slack")
    assert "SHOP_ALERT_URL" in (definitions.resolve_sensor_def("shop_alert_sensor").description or "")


def test_a_file_of_tables_that_is_wrong_is_said_with_its_line(load: Load, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("tables: {users: {include_bas: true}}\n")
    said = refuse(load, schema=str(tmp_path / "wrong.yaml"))
    assert "line 1" in said
    assert "include_bas" in said


def test_without_a_source_a_file_to_fill_is_scaffolded(load: Load) -> None:
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.scaffold_component(MongoMirrorComponent, "2-shops")
        with sandbox.load_component_and_build_defs(folder) as (component, definitions):
            assert isinstance(component, MongoMirrorComponent)
            assert component.name == "mirror_2_shops"
            assert component.mongo is not None
            assert component.mongo.url == dg.EnvVar("MIRROR_2_SHOPS_MONGODB_URL")
            assert keys_of(definitions) == set()


@pytest.mark.parametrize("url", ["localhost:27017", "mongodb://u:pass:word@localhost"])
def test_where_the_source_cannot_be_read_nothing_is_scaffolded(url: str) -> None:
    with create_defs_folder_sandbox() as sandbox:
        with pytest.raises(click.ClickException, match=r"Nothing was written\.") as caught:
            sandbox.scaffold_component(MongoMirrorComponent, "shop", {"mongodb_url": url, "database": "shop"})
        assert not (sandbox.defs_folder_path / "shop").exists()
    assert "pass:word" not in caught.value.message


def test_somebody_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, terminal = pty.openpty()
    os.write(answers, b"localhost:27017\nbakery\n")
    with os.fdopen(terminal) as stdin, create_defs_folder_sandbox() as sandbox:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(click.ClickException, match=r"starts with mongodb://"):
            sandbox.scaffold_component(MongoMirrorComponent, "shop")
    os.close(answers)
