"""A mirror in anybody's project: its names, what a translator changes, what is refused, and what may be imported."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import smartdiet_assets
from smartdiet_assets import (
    Alerts,
    MatomoResource,
    MirrorTranslator,
    MongoResource,
    PostgresResource,
    Retention,
    build_mirror,
    load_schema,
)
from smartdiet_assets.assets.naming import DECLARATIONS_TAG
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets.resources.field_names import name_fields
from smartdiet_assets.schema.model import Table
from smartdiet_assets_tests.support.dagit import ROOT

SHOP = ROOT / "smartdiet_assets_tests" / "support" / "shop.yaml"
MATOMO = ROOT / "config" / "matomo_schemas.yaml"
README = ROOT / "smartdiet_assets" / "assets" / "README.md"
CHAPTER = README.read_text().partition("## Use it in your own Dagster project")[2]
MONGO = MongoResource(url=dg.EnvVar("SHOP_MONGODB_URL"), database="shop")
POSTGRES = PostgresResource(host="db", port=dg.EnvVar.int("SHOP_PORT"), database="warehouse", user="shop")


def build(name: str = "shop", **options: Any) -> dg.Definitions:
    arguments: dict[str, Any] = {"name": name, "key_prefix": name, "mongo": MONGO, "postgres": POSTGRES, **options}
    return build_mirror(arguments.pop("schema", SHOP), **arguments)


def list_names(definitions: dg.Definitions) -> set[str]:
    repository = definitions.get_repository_def()
    return {
        *(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        *(schedule.name for schedule in repository.schedule_defs),
        *(sensor.name for sensor in repository.sensor_defs),
        *repository.get_top_level_resources(),
        *(node.name for job in repository.get_all_jobs() for node in job.all_node_defs if "__" not in node.name),
        *(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
        *(key.to_user_string() for key in repository.asset_graph.asset_check_keys),
    }


def test_every_name_derives_from_the_mirrors_own() -> None:
    alerts = Alerts(dg.EnvVar("SHOP_ALERT_URL"))
    definitions = build("shop", schedule="*/10 * * * *", retention=Retention(7, 30), alerts=alerts)
    names = list_names(definitions) - {"default_automation_condition_sensor"}
    assert {name for name in names if not re.match("shop[_/]", name)} == set()
    documented = set(re.findall(r"`(shop_\w+)`", CHAPTER))
    assert documented <= names | {"shop_matomo"}
    tags = definitions.resolve_job_def("shop_mirror").tags
    assert tags["smartdiet/mirror"] == "shop"
    asset = definitions.resolve_asset_graph().get(dg.AssetKey(["shop", "orders"]))
    assert asset.tags["smartdiet/mirror"] == "shop"
    assert {
        definition.op.pool for definition in definitions.assets or [] if isinstance(definition, dg.AssetsDefinition)
    } == {"shop_postgres"}


def test_two_mirrors_stand_beside_each_other_and_what_a_project_has() -> None:
    own = dg.Definitions(resources={"postgres": "of the project", "mongo": 1}, executor=dg.multiprocess_executor)
    merged = dg.Definitions.merge(build("shop"), build("other"), own)
    assert list_names(merged) >= list_names(build("shop")) | list_names(build("other")) | {"postgres"}
    with pytest.raises(ConfigurationError, match=r"two mirrors named shop .* another name="):
        dg.Definitions.merge(build("shop"), own, build("shop", key_prefix="again"))
    plain = build("", key_prefix=())
    assert {"mirror", "change_sensor", "orders"} <= list_names(plain)
    with pytest.raises(ConfigurationError, match="two mirrors without a name"):
        dg.Definitions.merge(plain, build("", key_prefix="again"))


def test_no_variable_is_read_and_none_is_shown_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SHOP_MONGODB_URL"):
        monkeypatch.setenv(name, "mongodb://user:s3cret@nowhere")
    definitions = build()
    assert list_names(definitions)
    shown = str(definitions.get_repository_def().get_top_level_resources()["shop_mongo"].config_schema.default_value)
    assert "s3cret" not in shown
    assert "SHOP_MONGODB_URL" in shown


def test_a_secret_that_dagit_would_show_is_warned_of() -> None:
    mongo = MongoResource(url="mongodb://u:s3cret@nowhere", database="shop")
    with pytest.warns(UserWarning, match=r"url of mongo= is a secret that Dagit shows; .* url=dg\.EnvVar") as warned:
        build(mongo=mongo)
    assert [str(warning.message) for warning in warned if "s3cret" in str(warning.message)] == []


def test_a_mirrors_alerts_name_the_variable_they_need() -> None:
    definitions = build(alerts=Alerts(dg.EnvVar("SHOP_ALERT_URL")))
    sensor = definitions.resolve_sensor_def("shop_alert_sensor")
    assert "SHOP_ALERT_URL" in (sensor.description or "")
    assert "hooks" not in repr(Alerts("https://hooks.example.org/secret"))


def test_what_a_translator_says_holds_everywhere() -> None:
    class Translator(MirrorTranslator):
        def get_asset_spec(self, table: Table) -> dg.AssetSpec:
            spec = super().get_asset_spec(table)
            return spec.replace_attributes(
                key=["raw", f"{table.name}_rows"],
                group_name="ours",
                owners=["team:data"],
                deps=[dg.AssetKey("migrated")],
                automation_condition=dg.AutomationCondition.eager() if table.name == "orders" else None,
            )

    hourly = dg.AutomationCondition.on_cron("@hourly")
    definitions = build(translator=Translator(), automation_condition=hourly, target_schema="sales")
    graph = definitions.resolve_asset_graph()
    orders, customers = (dg.AssetKey(["shop", "raw", f"{name}_rows"]) for name in ("orders", "customers"))
    assert graph.get(orders).parent_keys == {customers, dg.AssetKey("migrated")}
    assert graph.get(orders).group_name == "ours"
    assert graph.get(orders).owners == ["team:data"]
    assert graph.get(orders).automation_condition == dg.AutomationCondition.eager()
    assert graph.get(customers).automation_condition == hourly
    metadata = graph.get(orders).metadata
    assert metadata["dagster/table_name"].value == "warehouse.sales.orders"
    lineage = metadata["dagster/column_lineage"].value.deps_by_column
    assert [dep.asset_key for dep in lineage["customer_id"]] == [customers]
    assert {key.asset_key for key in graph.asset_check_keys} == graph.materializable_asset_keys
    assert "shop_mirror_ours" in list_names(definitions)
    assert (
        definitions.resolve_job_def("shop_mirror").asset_layer.executable_asset_keys == graph.materializable_asset_keys
    )


def test_parts_can_be_left_out() -> None:
    names = list_names(build(checks=False, sensor=False))
    assert not [
        name for name in names if re.search("check|sensor|mirror_schedule|prune", name) and "default" not in name
    ]


WEEKS = dg.WeeklyPartitionsDefinition("2024-01-01", end_offset=1)


def test_partitions_are_the_files_or_ones_own() -> None:
    def find_partitions(**options: Any) -> Any:
        return build(**options).resolve_job_def("shop_mirror").partitions_def

    assert find_partitions() == dg.MonthlyPartitionsDefinition("2024-01-01", end_offset=1)
    assert find_partitions(partitions=WEEKS) == WEEKS


class OneKey(MirrorTranslator):
    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        return dg.AssetSpec("everything")


class NoSpec(MirrorTranslator):
    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        return None  # type: ignore[return-value]


class OwnPartitions(MirrorTranslator):
    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        return super().get_asset_spec(table).replace_attributes(partitions_def=WEEKS)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "my-shop"}, "name= of a mirror takes letters"),
        ({"mongo": None}, "needs mongo=, which categories, customers"),
        ({"schema": load_schema(SHOP, MATOMO)}, "needs matomo=, which matomo_log"),
        ({"partitions": dg.MonthlyPartitionsDefinition("2024-01-01")}, "end_offset=1"),
        ({"translator": OneKey()}, "the tables categories and customers have one asset key, shop/everything"),
        ({"translator": NoSpec()}, "get_asset_spec of NoSpec must give a dagster.AssetSpec"),
        ({"translator": OwnPartitions()}, "give them to build_mirror as partitions="),
    ],
)
def test_what_cannot_be_is_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        build(**options)


def test_matomos_tables_are_read_with_a_resource_of_their_own() -> None:
    definitions = build(schema=load_schema(SHOP, MATOMO), matomo=MatomoResource(host="db"))
    assert "shop_matomo" in definitions.get_repository_def().get_top_level_resources()
    assert "shop_mirror_matomo" in list_names(definitions)


def test_a_message_names_the_fields_of_a_resource_where_no_variable_of_ours_is_set() -> None:
    said = name_fields(
        "no server answers; check it, REMOTE_POSTGRES_HOST and POSTGRES_PORT; the POSTGRES_SSL variables"
    )
    assert said == (
        "no server answers; check it, PostgresResource.host and PostgresResource.port; "
        "the ssl fields of PostgresResource"
    )
    assert name_fields("check REMOTE_SERVER_USER in UTF_X") == "check RemoteAccess.user in UTF_X"


def test_what_is_public_is_documented_and_typed() -> None:
    listed = CHAPTER.partition("Public are, besides ")[2].partition("Whatever else")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(smartdiet_assets.__all__)
    assert set(dir(smartdiet_assets)) >= set(smartdiet_assets.__all__)
    for name in smartdiet_assets.__all__:
        public = getattr(smartdiet_assets, name)
        assert inspect.getdoc(public), name
        methods = [
            value for key, value in vars(public).items() if not key.startswith("_") and inspect.isfunction(value)
        ]
        for function in methods if inspect.isclass(public) else [public]:
            assert inspect.getdoc(function), f"{name}.{function.__name__}"
            parameters = list(inspect.signature(function).parameters.values())
            untyped = [one.name for one in parameters if one.annotation is one.empty and one.name != "self"]
            assert not untyped, f"{name}.{function.__name__}: {untyped}"
    documented = set(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", CHAPTER, re.MULTILINE))
    arguments = {argument for cell in documented for argument in re.findall(r"\w+", cell)}
    assert arguments == set(inspect.signature(build_mirror).parameters)
    assert (Path(smartdiet_assets.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'mirror_all'"):
        smartdiet_assets.mirror_all  # noqa: B018


def test_importing_the_package_does_not_import_dagster() -> None:
    code = "import sys, smartdiet_assets; dir(smartdiet_assets); sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("other", [False, True])
def test_the_readmes_block_for_other_executors_loads(other: bool) -> None:
    """A run of a mirror's job then says which declarations it was started with, wherever its steps are."""
    (block,) = [block for block in re.findall("```python\n(.*?)```", CHAPTER, re.DOTALL) if "k8s" in block]
    if other:
        first, _, rest = block.partition("\n")
        block = first.partition("or: ")[2] + "\n" + rest.replace("k8s_job_executor", "docker_executor")
    made: dict[str, Any] = {"dg": dg, "mirror": build("shop"), "newsletter": dg.AssetSpec("newsletter")}
    exec(block, made)
    dg.Definitions.validate_loadable(made["defs"])
    job = made["defs"].resolve_job_def("shop_mirror")
    assert job.executor_def.name == ("docker" if other else "k8s")
    assert job.tags[DECLARATIONS_TAG] == load_schema(SHOP).digest
