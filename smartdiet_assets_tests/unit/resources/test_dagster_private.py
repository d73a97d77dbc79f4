"""Names of Dagster's private modules: in three modules only, and with a Dagster that they were tried with."""

import ast
from pathlib import Path

import dagster

PACKAGE = Path(__file__).parents[3] / "smartdiet_assets"
MODULES = {
    "resources/dagster_private.py",
    "assets/instance/dagster_storages.py",
    "assets/workers/dagster_celery_names.py",
}
#: Minors of Dagster with which every test of this project passed.
TRIED = {"1.13"}


def list_private_imports(path: Path) -> list[str]:
    """List what a module imports of Dagster from a module or by a name that begins with an underscore."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [name for name in names if name.startswith("dagster") and "._" in name]
    return found


def test_the_installed_dagster_is_one_the_private_names_were_tried_with() -> None:
    major, minor, *_ = dagster.__version__.split(".")
    assert f"{major}.{minor}" in TRIED, (
        f"Dagster {dagster.__version__} was not tried with the private names this project uses. Read what changed in "
        f"the modules that {' and '.join(sorted(MODULES))} import from, run every test of this project with it, and "
        f"add {major}.{minor} to TRIED here and to the limits in pyproject.toml; or install one of {sorted(TRIED)}."
    )


def test_nobody_else_imports_from_a_private_module() -> None:
    importing = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if list_private_imports(path)}
    assert importing == MODULES


def test_every_private_name_is_used_and_has_a_reason() -> None:
    texts = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    for module in MODULES:
        lines = texts[module].partition("__all__ = [")[2].splitlines()[1:-1]
        assert lines[0].lstrip().startswith("# "), f"{module} says why it needs the first of its names"
        for line in lines:
            name = line.strip(' ",')
            assert line.lstrip().startswith("# ") or any(
                name in text for place, text in texts.items() if place not in MODULES
            ), f"nobody needs {name}"
