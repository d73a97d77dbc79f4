"""A folder of one's own for a mirror, as `smartdiet init` makes it: what its files say, and how they get there.

Here: the files' texts, and writing all of them or none. Not here: the tables (`everything`), the settings' meaning
(`resources.environment`).
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer.composing import compose_beginning

SCHEMAS = "schemas.yaml"
ENV = ".env"
_HOME = ".dagster"
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
_MOST_NAMED = 3
#: The variables of the file `.env`: what is said above them, and what each is.
_VARIABLES = (
    (
        "The MongoDB that is mirrored, which is only read: mongodb:// or mongodb+srv://, with user and password where"
        "\n# it needs them (their special characters percent-encoded), and the name of the database.",
        ("MONGODB_URL", "MONGODB_DATABASE"),
    ),
    (
        "The PostgreSQL database that holds the mirror, such as an empty one of a user who owns it.",
        ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DATABASE", "POSTGRES_USER", "POSTGRES_PASSWORD"),
    ),
    ("Where Dagster keeps runs, events and its dagster.yaml; an absolute path.", ("DAGSTER_HOME",)),
)
#: The variables that the process environment may give to the file.
TAKEN = tuple(name for _, names in _VARIABLES[:2] for name in names)

_WORKSPACE = """\
# What Dagster loads here: dagster dev, dagster-webserver and dagster-daemon run.
load_from:
  - python_module:
      module_name: smartdiet_assets.definitions
      location_name: smartdiet
"""
_GITIGNORE = """\
# Passwords, and what Dagster keeps of its runs.
.env
.dagster/
.venv/
__pycache__/
"""
_HEAD = """\
# The tables of the mirror, one for each collection and one for each array whose items are rows.{how}
# A comment says what was seen of the documents where it matters. Change what you like, then: smartdiet sync
"""
_INFERRED = " They were inferred from\n# documents; what these come to hold later, `smartdiet infer --update` adds."
_EMPTY = """\
# There is none yet. As soon as .env says where MongoDB is, this adds all of them:
#
#   smartdiet infer --all-collections --append
#
# By hand, a table begins like this:
#
#   customers:                           # the table, and the collection if it does not say mongo_collection
#     include_base: true                 # id, created_at and updated_at
#     created_field: createdAt
#     updated_field: updatedAt
#     additional_columns:
#       - {name: email, sql_type: VARCHAR}
#       - {name: country_id, sql_type: VARCHAR, foreign_key: countries(id), mongo_field: address.country}

"""
_README = """\
# {name}

A mirror of MongoDB's collections{database} in PostgreSQL. `.env` says where both are; it is not in git.

```bash
smartdiet doctor    # is everything set up? Each line says what to do
smartdiet sync      # mirror everything; the next time, what changed
dagster dev         # the same in Dagit, at http://127.0.0.1:3000
```

| file | what it is |
|---|---|
| `schemas.yaml` | the tables: columns, keys, and the fields they come from |
| `.env` | the servers and passwords, for nobody else to read |
| `workspace.yaml` | what Dagster loads |
| `.dagster/` | Dagster's settings, runs and events |

| to | run |
|---|---|
| see how far each table is | `smartdiet status` |
| see what could not be loaded, and why | `smartdiet rejects` |
| compare every table with its documents | `smartdiet check` |
| add what the documents came to hold since | `smartdiet infer --update`, then `smartdiet sync --full` |
| add the tables of new collections | `smartdiet infer --all-collections --append`, then `smartdiet sync` |
"""


def compose_project(folder: Path, tables: str, given: Mapping[str, str], settings: str) -> dict[str, str]:
    """Compose the files of a project, by their paths in it.

    Args:
        folder: where it will be.
        tables: the YAML of its tables, from the file's beginning; "" where none is known yet.
        given: the variables that are known.
        settings: those of Dagster's instance.
    """
    how = _INFERRED if tables else ""
    database = f" (database `{given['MONGODB_DATABASE']}`)" if given.get("MONGODB_DATABASE") else ""
    return {
        SCHEMAS: _HEAD.format(how=how) + (tables or _EMPTY + compose_beginning()),
        ENV: _compose_env({**given, "DAGSTER_HOME": str(folder.resolve() / _HOME)}),
        "workspace.yaml": _WORKSPACE,
        ".gitignore": _GITIGNORE,
        "README.md": _README.format(name=folder.resolve().name, database=database),
        f"{_HOME}/dagster.yaml": settings,
    }


def _compose_env(given: Mapping[str, str]) -> str:
    lines = [
        "# The servers of the mirror. What is set in the environment wins over this file; an empty value counts as not",
        "# set. Nobody else may read this file, and git ignores it.",
        f"SMARTDIET_SCHEMAS={SCHEMAS}",
    ]
    for above, names in _VARIABLES:
        lines += ["", f"# {above}", *(f"{name}={_quote(given.get(name, ''))}" for name in names)]
    return "\n".join(lines) + "\n"


def _quote(value: str) -> str:
    """Write a value so that it is read as it stands, whatever it holds."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'" if value else ""


def check_folder(folder: Path) -> None:
    """Refuse a folder that has anything in it but hidden files of others (`.git`) and virtual environments.

    Raises:
        ConfigurationError: says what is there.
    """
    if not folder.exists():
        if not folder.parent.is_dir():
            raise ConfigurationError(f"the folder {folder.parent} does not exist: nothing was written")
        return
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder: nothing was written")
    own = {Path(name).parts[0] for name in compose_project(folder, "", {}, "")}
    found = sorted(
        path.name
        for path in folder.iterdir()
        if path.name in own or not (path.name.startswith(".") or (path / _VIRTUAL_ENVIRONMENT).exists())
    )
    if found:
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise ConfigurationError(
            f"{folder} is not empty, it has {', '.join(found[:_MOST_NAMED])}{more}: nothing was written; name a folder"
            " that is new or empty"
        )


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a project, all of them or none, into a folder that `check_folder` let pass.

    Raises:
        ConfigurationError: they cannot be written.
    """
    try:
        with _stage(folder) as staged:
            for name, text in files.items():
                path = staged / name
                path.parent.mkdir(exist_ok=True)
                path.touch(mode=0o600 if name == ENV else 0o666)
                path.write_text(text, encoding="utf-8")
            if folder.exists():
                _move_in(staged, folder)
            else:
                staged.rename(folder)
    except FileExistsError as error:
        made = Path(error.filename).name
        raise ConfigurationError(f"{folder} cannot be written: it has {made} by now; nothing was") from None
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}; nothing was") from None


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """Make a folder beside (or in) the one meant, which is gone afterwards."""
    around = Path(mkdtemp(prefix=".smartdiet-init-", dir=folder if folder.exists() else folder.parent))
    try:
        staged = around / "project"
        # With the rights that a new folder has.
        staged.mkdir()
        yield staged
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _move_in(staged: Path, folder: Path) -> None:
    moved: list[Path] = []
    try:
        for path in sorted(staged.iterdir()):
            target = folder / path.name
            # Its name is taken first, which fails where somebody did meanwhile: a move replaces without a word.
            target.mkdir() if path.is_dir() else target.touch(exist_ok=False)
            moved.append(target)
            path.replace(target)
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
