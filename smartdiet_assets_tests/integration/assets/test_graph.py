"""The asset graph: one asset a table, its dependencies exactly its foreign-key parents."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema

CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"
MATOMO = CONFIG.with_name("matomo_schemas.yaml")
SNAPSHOT = Path(__file__).with_name("graph.yaml")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_schema(CONFIG, MATOMO), read_environment({}))


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_every_declared_table_is_an_asset_of_its_name(specs: dict[str, dg.AssetSpec]) -> None:
    assert set(specs) == set(load_schema(CONFIG, MATOMO).tables)
    assert len(specs) == 31 + 3


def test_the_dependencies_are_pinned(specs: dict[str, dg.AssetSpec]) -> None:
    """The snapshot changes only on purpose: a new edge is a new foreign key."""
    edges = {name: sorted(dep.asset_key.to_user_string() for dep in spec.deps) for name, spec in specs.items()}
    assert dict(sorted(edges.items())) == yaml.safe_load(SNAPSHOT.read_text())


def test_the_dependencies_are_exactly_the_foreign_key_parents(specs: dict[str, dg.AssetSpec]) -> None:
    declared = {**yaml.safe_load(CONFIG.read_text())["tables"], **yaml.safe_load(MATOMO.read_text())["tables"]}
    for name, spec in specs.items():
        columns = [*declared[name].get("columns", []), *declared[name].get("additional_columns", [])]
        parents = {column["foreign_key"].split("(")[0] for column in columns if "foreign_key" in column}
        assert {dep.asset_key.to_user_string() for dep in spec.deps} == parents - {name}


def test_an_analyst_finds_who_owns_a_table_and_what_each_column_holds(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        assert spec.owners, name
        assert spec.group_name not in (None, "default"), name
        assert spec.description, name
        assert spec.kinds == {"mariadb" if name.startswith("matomo_") else "mongodb", "postgres"}
        schema = spec.metadata["dagster/column_schema"].value
        assert all(column.description and column.type for column in schema.columns), name


def test_the_file_of_matomo_is_found_beside_the_other_or_where_the_environment_says(tmp_path: Path) -> None:
    assert read_environment({"SMARTDIET_SCHEMAS": str(CONFIG)}).schema_files == (CONFIG, MATOMO)
    alone = tmp_path / "schemas.yaml"
    assert read_environment({"SMARTDIET_SCHEMAS": str(alone)}).schema_files == (alone,)
    assert read_environment(
        {"SMARTDIET_SCHEMAS": str(alone), "SMARTDIET_MATOMO_SCHEMAS": str(MATOMO)}
    ).schema_files == (
        alone,
        MATOMO,
    )


def test_lineage_leads_from_a_foreign_key_to_its_parent_column(specs: dict[str, dg.AssetSpec]) -> None:
    lineage = specs["user_events"].metadata["dagster/column_lineage"].value
    assert lineage.deps_by_column["user_id"] == [dg.TableColumnDep(asset_key=dg.AssetKey("users"), column_name="id")]


def test_the_code_version_follows_the_declaration_and_not_its_prose(tmp_path: Path) -> None:
    def version(text: str) -> str:
        path = tmp_path / "schemas.yaml"
        path.write_text(text)
        return load_schema(path).tables["t"].code_version

    plain = "t:\n  include_base: true\n  additional_columns: [{name: a, sql_type: TEXT}]\n"
    assert version(plain) == version("\n\n" + plain + "  description: prose\n")
    assert version(plain) != version(plain.replace("TEXT", "VARCHAR(9)"))
