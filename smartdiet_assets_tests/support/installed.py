"""The wheel and the sdist, and an environment that has the wheel and nothing of this checkout. Not here: tests.

What the wheel requires is taken from the environment of the tests, by a line that makes its packages found: nothing is
downloaded, and a checkout that is installed there in editable mode is not found.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from filelock import FileLock

from smartdiet_assets_tests.conftest import skip_or_fail

ROOT = Path(__file__).parents[2]
#: The packages whose commands a user of the wheel runs.
_COMMANDS_OF = ("dagster", "dagster-webserver", "dagster-dg-cli", "create-dagster")
_HOW_TO_HAVE_IT = "pip install -e '.[test]'"
#: As pip writes them: a process that is spawned imports it and must not run it.
_SCRIPT = "#!{python}\nimport sys\nfrom {module} import {name}\nif __name__ == '__main__':\n    sys.exit({name}())\n"


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel."""

    folder: Path
    wheel: Path
    sdist: Path

    @property
    def bin(self) -> Path:
        """Where its commands are."""
        return self.folder / "bin"

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder)}))

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables of a shell in which it is active."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        path = f"{self.bin}{os.pathsep}{kept['PATH']}"
        return {**kept, "PATH": path, "VIRTUAL_ENV": str(self.folder), **variables}

    def run(self, command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a line of a shell in a folder, with the environment active; its output as text."""
        return subprocess.run(
            ["bash", "-euc", command],
            cwd=folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )


def build(folder: Path) -> Path:
    """Build what is published, as publishers do: the sdist of the checkout, and the wheel of the sdist."""
    sdist = _run_hatchling(ROOT, folder, "sdist")
    subprocess.run(["tar", "xzf", sdist, "-C", folder], check=True)
    return _run_hatchling(folder / sdist.name.removesuffix(".tar.gz"), folder, "wheel")


def install_once(folder: Path) -> Installed:
    """Make the environment, or take the one that another process of the tests made there."""
    folder.mkdir(exist_ok=True)
    made = folder / "made"
    with FileLock(folder / "lock"):
        if not made.exists():
            install(folder)
            made.touch()
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Installed(folder / "venv", wheel, sdist)


def install(folder: Path) -> None:
    """Make the environment, its commands included."""
    try:
        commands = [point for name in _COMMANDS_OF for point in distribution(name).entry_points]
    except PackageNotFoundError as error:
        skip_or_fail(f"{error}; run: {_HOW_TO_HAVE_IT}")
    wheel = build(folder)
    place = folder / "venv"
    venv.create(place, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))
    (packages / "of_the_tests.pth").write_text(sysconfig.get_path("purelib"))
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", str(wheel)], check=True)
    for point in (point for point in commands if point.group == "console_scripts"):
        script = place / "bin" / point.name
        script.write_text(_SCRIPT.format(python=python, module=point.module, name=point.attr))
        script.chmod(0o755)


def _run_hatchling(source: Path, folder: Path, target: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    ended = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if "No module named hatchling" in ended.stderr:
        skip_or_fail(f"hatchling is not installed; run: {_HOW_TO_HAVE_IT}")
    assert ended.returncode == 0, ended.stderr
    [made] = folder.glob({"sdist": "*.tar.gz", "wheel": "*.whl"}[target])
    return made
