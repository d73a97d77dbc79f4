"""Everything wrong in a schema file is reported at once, each problem with its table, column and line."""

from pathlib import Path

import pytest

from smartdiet_assets.errors import ConfigurationError, SchemaFileError
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.unit.schema.schema_files import INVALID, load_text, read_expectations


@pytest.mark.parametrize("path", INVALID, ids=[path.stem for path in INVALID])
def test_a_file_reports_exactly_the_problems_it_ends_with(path: Path) -> None:
    """Each file of `fixtures/schemas/invalid` ends with its problems; `…` there cuts a long one short."""
    with pytest.raises(SchemaFileError) as raised:
        load_schema(path)
    expected = read_expectations(path)
    found = [str(problem) for problem in raised.value.problems]
    shortened = [
        text[: len(wanted) - 1] + "…" if wanted.endswith("…") else text
        for text, wanted in zip(found, expected, strict=False)
    ]
    assert shortened + found[len(expected) :] == expected


def test_a_problem_names_table_column_and_line(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError) as raised:
        load_text(tmp_path, "teams:\n  columns:\n  - name: id\n    sql_type: VARCHAR(0)\n")
    [problem] = raised.value.problems
    assert (problem.table, problem.column, problem.line) == ("teams", "id", 4)


def test_the_error_lists_every_problem_below_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError) as raised:
        load_text(tmp_path, "a:\n  include_base: 3\n  colums: []\n")
    assert str(raised.value).splitlines() == [
        f"{tmp_path / 'schemas.yaml'}: 3 problems",
        "  line 1: a: the table has no columns",
        "  line 2: a: 'include_base' must be true or false, not the number '3'",
        "  line 3: a: unknown key 'colums'; did you mean 'columns'?",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: 1\nb: \xff\n", "line 2: is not UTF-8 text"),
        (b"a: 1\nb: \x01\n", "line 2: is not valid YAML: special characters are not allowed"),
        (b"a: {}\n---\nb: {}\n", "line 2: is not valid YAML: expected a single document in the stream but found another document"),  # noqa: E501
        (b"a: " + b"[" * 5000, "line 1: is not valid YAML: nested too deeply"),
        (b"a: *b\n", "line 1: is not valid YAML: found undefined alias 'b'"),
    ],
    ids=["encoding", "control character", "two documents", "depth", "alias"],
)  # fmt: skip
def test_a_file_that_is_no_yaml_says_where(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "schemas.yaml"
    path.write_bytes(content)
    with pytest.raises(SchemaFileError) as raised:
        load_schema(path)
    assert [str(found) for found in raised.value.problems] == [problem]


def test_a_missing_file_is_a_problem_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError, match="cannot be read: No such file or directory"):
        load_schema(tmp_path / "nothing.yaml")


def test_a_folder_is_a_problem_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError, match="cannot be read: Is a directory"):
        load_schema(str(tmp_path))


def test_an_alias_to_its_own_mapping_ends(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError, match="the table has no columns"):
        load_text(tmp_path, "a: &a\n  <<: *a\n  mongo_collection: b\n")


def test_a_wrong_column_does_not_hide_or_invent_problems_of_others(tmp_path: Path) -> None:
    """A column whose type cannot be read still is a column, and its type is not held against others."""
    text = """
        teams:
          columns:
          - {name: id, sql_type: VARCHARR, primary_key: true}
        members:
          include_base: true
          additional_columns:
          - {name: team_id, sql_type: VARCHAR, foreign_key: teams(id)}
          - {name: club_id, sql_type: VARCHAR, foreign_key: clubs(id)}
        clubs: oops
    """
    with pytest.raises(SchemaFileError) as raised:
        load_text(tmp_path, text)
    assert [problem.line for problem in raised.value.problems] == [4, 10]


OVERLAY = """\
protect:
  people:
    name: {keep: -1}
    born: {keep: true}
    mail: Pseudonym
    nick:
    nam: redact
    active: pseudonym
    id: pseudonym
  peeple: {name: redact}
  notes:
tables: {}
"""


def test_an_overlay_reports_what_it_cannot_protect(tmp_path: Path) -> None:
    """A file that protects nothing where somebody meant to is a fault, too."""
    tables, overlay = tmp_path / "tables.yaml", tmp_path / "protected.yaml"
    columns = ", ".join(f"{{name: {name}, sql_type: TEXT}}" for name in ("name", "born", "mail", "nick"))
    tables.write_text(f"""
tables:
  people: {{include_base: true, additional_columns: [{columns}, {{name: active, sql_type: BOOLEAN}}]}}
  notes:
    include_base: true
    additional_columns: [{{name: person_id, sql_type: VARCHAR, foreign_key: people(id)}}]
""")
    overlay.write_text(OVERLAY)
    with pytest.raises(SchemaFileError) as raised:
        load_schema(tables, protected=overlay)
    forms = "pseudonym, redact, or what is kept: {keep: year}, {keep: month}, or characters of a text, {keep: 2}"
    assert [str(problem) for problem in raised.value.problems] == [
        f"line 3: people.name: 'name' must be {forms}, not {{keep: -1}}",
        f"line 4: people.born: 'born' must be {forms}, not {{keep: True}}",
        f"line 5: people.mail: 'mail' must be {forms}, not the text 'Pseudonym'",
        f"line 6: people.nick: 'nick' must be {forms}, not nothing",
        "line 7: people.nam: 'nam' is no column; did you mean 'name'?",
        "line 8: people.active: a pseudonym has 32 characters and needs a VARCHAR or TEXT that holds them, not BOOLEAN",
        "line 9: people.id: people(id) is a pseudonym and notes.person_id is not, but notes.person_id points at "
        "people(id): protect both as pseudonym, or none",
        "line 10: peeple: 'peeple' is no table; did you mean 'people'?",
        "line 11: notes: 'notes' must be a mapping of columns, not nothing",
        "line 12: unknown key 'tables'; expected protect",
    ]
    overlay.write_text("protect:  # nothing yet")
    assert not any(table.protected for table in load_schema(tables, protected=overlay).tables.values())


@pytest.mark.parametrize("key", ["short", "x" * 20 + "\n", " " * 20])
def test_a_key_that_another_machine_may_read_otherwise_is_none(tmp_path: Path, key: str) -> None:
    tables = tmp_path / "tables.yaml"
    tables.write_text("tables: {people: {include_base: true}}")
    with pytest.raises(ConfigurationError, match="at least 16 characters without white space around them") as raised:
        load_schema(tables, pseudonym_key=key)
    assert key not in str(raised.value)
