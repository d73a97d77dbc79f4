"""The READMEs are true: their links lead somewhere, their commands parse, and nothing a user can set is left out."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
import yaml

from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.cli.group import cli
from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets_tests.benchmarks.__main__ import main as benchmarks

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "README.md"
CONFIGURATION = ROOT / "config" / "README.md"
READMES = [
    MAIN,
    CONFIGURATION,
    *sorted(
        path for folder in ("smartdiet_assets", "smartdiet_assets_tests") for path in (ROOT / folder).rglob("README.md")
    ),
]
MOST_LINES = 250
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: A key that nobody knows wherever there can be one: what is said of it names all keys there are.
UNKNOWN_KEYS = """
zzzz: 1
partitions: {zzzz: 1}
defaults: {zzzz: 1}
collections: {users: {zzzz: 1}}
tables:
  users: {zzzz: 1, include_base: true, additional_columns: [{name: name, sql_type: TEXT, zzzz: 1}]}
  tags:
    mongo_collection: users
    arrays: [{field: tags, zzzz: 1}]
    columns: [{name: tag, sql_type: TEXT, nullable: false, item_field: .}]
  visits: {zzzz: 1, source_table: visits, columns: [{name: id, sql_type: BIGINT, primary_key: true, zzzz: 1}]}
"""
#: What ends the words of one command of a line.
_NEXT = {"&&", "||", "|", ";", ">"}
_COMMANDS = {"smartdiet": cli, "python -m smartdiet_assets_tests.benchmarks": benchmarks}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_readme = pytest.mark.parametrize("path", READMES, ids=name_of)


@cache
def blocks_of(path: Path) -> list[tuple[str, str]]:
    """The blocks of code of a README, each with its language."""
    return _BLOCK.findall(path.read_text())


@cache
def prose_of(path: Path) -> str:
    """A README without its blocks of code."""
    return _BLOCK.sub("", path.read_text())


@cache
def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a README."""
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose_of(path)))
    return set(slugs)


def first_cells(path: Path) -> set[str]:
    """What the first column of the tables of a README has in backticks."""
    rows = (line.split("|")[1] for line in prose_of(path).splitlines() if line.lstrip().startswith("|"))
    return {span for row in rows for span in _SPAN.findall(row)}


def test_there_are_readmes_where_a_person_looks_for_them() -> None:
    asked_for = {"checks", "compare", "doctor", "infer", "refresh"}
    assert {name_of(path) for path in READMES} >= {
        "README.md",
        "config/README.md",
        "smartdiet_assets/README.md",
        "smartdiet_assets_tests/README.md",
        "smartdiet_assets_tests/benchmarks/README.md",
        *(f"smartdiet_assets/{folder}/README.md" for folder in asked_for),
    }


def test_the_first_one_is_short() -> None:
    assert MAIN.read_text().count("\n") <= MOST_LINES


@each_readme
def test_every_link_leads_somewhere(path: Path) -> None:
    links = _LINK.findall(_SPAN.sub("", prose_of(path)))
    for link in links:
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme in ("http", "https"), link
            assert "." in parts.netloc, link
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if parts.fragment:
            assert parts.fragment in anchors_of(target), link


def test_every_readme_is_linked_from_the_first_one() -> None:
    linked = {(MAIN.parent / urlsplit(link).path).resolve() for link in _LINK.findall(prose_of(MAIN))}
    assert linked >= set(READMES) - {MAIN}


@cache
def list_places() -> str:
    """Every file and folder of the project, each in a line of its own, folders with their slash."""
    folders = [ROOT / name for name in ("config", "smartdiet_assets", "smartdiet_assets_tests")]
    found = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return "".join(f"/{name_of(path)}{'/' * path.is_dir()}\n" for path in found)


@each_readme
def test_every_file_named_is_there(path: Path) -> None:
    """Modules and folders, named in backticks by their path or the end of it."""
    for span in _SPAN.findall(prose_of(path)):
        if re.fullmatch(r"[\w./]+(\.(py|md|yaml)|/)", span):
            assert f"/{span}\n" in list_places(), span


def commands_in(line: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of this project in a line of a shell, each with its arguments."""
    line = re.sub(r"^\$ ", "", line.strip())
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from commands_in(inner)
    try:
        words = shlex.split(re.sub(r"[\[\]…]", "", line), comments=True)
    except ValueError:
        return
    while words:
        command = list(takewhile(lambda word: word not in _NEXT, words))
        words = words[len(command) + 1 :]
        for name in _COMMANDS:
            if command[: len(name.split())] == name.split():
                yield name, command[len(name.split()) :]


def resolve(command: click.Command, arguments: list[str]) -> tuple[click.Command, list[str]]:
    """Find the command that the first arguments name, and what is left of them."""
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        _, found, arguments = command.resolve_command(click.Context(command), arguments)
        assert found is not None
        command = found
    return command, arguments


def parse(command: click.Command, arguments: list[str]) -> None:
    """Parse arguments as the command would, and run nothing; what it does not know is a click.UsageError."""
    command, arguments = resolve(command, arguments)
    command.make_context("", list(arguments))


def test_what_is_no_command_of_ours_does_not_parse() -> None:
    parse(cli, ["refresh", "mongo", "--dry-run"])
    for wrong in (["sink"], ["sync", "--everything"], ["refresh", "mysql"], ["check", "--sample", "many"]):
        with pytest.raises(click.UsageError):
            parse(cli, wrong)
    assert list(commands_in("$ pip install x && smartdiet demo  # all")) == [("smartdiet", ["demo"])]
    assert list(commands_in("export DAGSTER_HOME=$(smartdiet home)")) == [("smartdiet", ["home"])]


@each_readme
def test_every_command_shown_parses(path: Path) -> None:
    for _, block in blocks_of(path):
        for line in block.splitlines():
            for name, arguments in commands_in(line):
                parse(_COMMANDS[name], arguments)
    for span in _SPAN.findall(prose_of(path)):
        for name, arguments in commands_in(span):
            # A command may be named there without what it needs.
            if resolve(_COMMANDS[name], arguments)[1]:
                parse(_COMMANDS[name], arguments)


@each_readme
def test_every_path_a_command_is_given_is_there(path: Path) -> None:
    shown = [line for language, block in blocks_of(path) if language == "bash" for line in block.splitlines()]
    for text in (*shown, *_SPAN.findall(prose_of(path))):
        for word in re.findall(r"(?:^|\s)((?:config|smartdiet_assets(?:_tests)?)/[\w./]+)", text):
            assert (ROOT / word).exists(), word


@each_readme
def test_every_yaml_shown_can_be_read(path: Path) -> None:
    for language, block in blocks_of(path):
        if language == "yaml":
            assert isinstance(yaml.safe_load(block), dict)


def test_every_command_and_every_option_is_documented() -> None:
    shown = MAIN.read_text()
    everything = "\n".join(path.read_text() for path in READMES)
    for name, command in cli.commands.items():
        assert f"smartdiet {name}" in shown, name
        for one in (command, *(command.commands.values() if isinstance(command, click.Group) else ())):
            for parameter in one.params:
                for option in parameter.opts:
                    assert not option.startswith("--") or option in everything, f"{name} {option}"


def test_every_variable_is_documented_and_no_other() -> None:
    documented = {word for word in first_cells(CONFIGURATION) if re.fullmatch(r"[A-Z][A-Z0-9_]+", word)}
    # Another test compares those of the example with those that are read.
    assert documented == set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_key_of_a_schema_file_is_documented(tmp_path: Path) -> None:
    (tmp_path / "schemas.yaml").write_text(UNKNOWN_KEYS)
    with pytest.raises(SchemaFileError) as caught:
        load_schema(tmp_path / "schemas.yaml")
    expected = re.findall(r"unknown key 'zzzz'; expected (.+)", str(caught.value))
    assert len(expected) == UNKNOWN_KEYS.count("zzzz")
    documented = {word for span in _SPAN.findall(prose_of(CONFIGURATION)) for word in re.findall(r"\w+", span)}
    assert {key for keys in expected for key in keys.split(", ")} <= documented


def test_every_reason_and_every_check_is_documented() -> None:
    assert set(Reason) <= first_cells(CONFIGURATION)
    assert set(KINDS) <= first_cells(ROOT / "smartdiet_assets" / "checks" / "README.md")
