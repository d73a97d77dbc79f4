"""Fixtures of the tests that meet the product as its users do."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from smartdiet_assets.cli import main
from smartdiet_assets_tests.support.installed import Installed, install_once
from smartdiet_assets_tests.support.running import SessionHere


@dataclass
class Printed:
    """What a command printed, and its exit code; blanks and line ends of `err` are one blank each."""

    code: object
    out: str
    err: str


Smartdiet = Callable[..., Printed]


@pytest.fixture
def smartdiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Smartdiet:
    """`smartdiet …` from its entry point, but in this process: starting one takes longer than most commands."""

    def run(*arguments: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["smartdiet", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(SessionHere())
        printed = capsys.readouterr()
        return Printed(ended.value.code or 0, printed.out, " ".join(printed.err.split()))

    return run


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the wheel and nothing of this checkout; all processes of the tests share it."""
    base = tmp_path_factory.getbasetemp()
    return install_once((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shipped")
