"""What is imported before anything is done: most of what a short command, and loading the code location, take."""

import subprocess
import sys

import pytest

DRIVERS = ("pymongo", "bson", "psycopg", "pymysql", "paramiko", "cryptography")
LIST_IMPORTED = "print('imported', *sorted({{name.partition('.')[0] for name in sys.modules}} & {{*{names}}}))"


def list_imported(program: str, *names: str) -> list[str]:
    """Run a program in a process of its own; which of the named packages it has imported at its end."""
    code = f"import sys, atexit\natexit.register(lambda: {LIST_IMPORTED.format(names=names)})\n{program}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "imported" in ended.stdout, ended.stderr
    return ended.stdout.split("imported", 1)[1].split()


def test_the_code_location_loads_without_a_driver_and_without_the_stages(configured_servers: None) -> None:
    program = "import smartdiet_assets.definitions as location\nlocation.defs()"
    assert list_imported(program, "dagster", *DRIVERS) == ["dagster"]


@pytest.mark.parametrize("form", ["json", "prometheus"])
def test_status_does_without_dagster_and_without_mongodb(configured_servers: None, form: str) -> None:
    program = f"sys.argv = ['smartdiet', 'status', '--format', '{form}']\nfrom smartdiet_assets.cli import main\nmain()"
    assert list_imported(program, "dagster", "sqlalchemy", *DRIVERS) == ["bson", "psycopg"]


def test_the_help_of_a_command_does_without_all_of_them() -> None:
    program = "sys.argv = ['smartdiet', 'sync', '--help']\nfrom smartdiet_assets.cli import main\nmain()"
    assert list_imported(program, "dagster", "sqlalchemy", "psycopg", "pymongo", "pymysql") == []
