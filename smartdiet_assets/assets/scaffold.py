"""What `dg scaffold defs smartdiet_assets.MongoMirrorComponent NAME` writes: `defs.yaml`, and the tables of a database.

Here: the files' texts and where the source is asked for. Not here: the tables (`infer.everything`).
"""

import json
import os
import re
import sys

import click
import dagster as dg
from pydantic import BaseModel, Field

from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.infer.composing import compose_beginning
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.resources.mongo import MongoResource, find_named_database

_SCHEMAS = "schemas.yaml"
_POSTGRES = ("HOST", "DATABASE", "USER", "PASSWORD")
_DEFS = """\
type: {type}

attributes:
  name: {name}              # what the names of jobs, sensors and resources begin with
  schema: {schema}
  key_prefix: {name}
  target_schema: {name}     # PostgreSQL's; made by the first run
  mongo:
    url: "{{{{ env.{prefix}_MONGODB_URL }}}}"
    database: {database}
  postgres:
{postgres}
    port: 5432
  # schedule: "*/10 * * * *"
  # translation: {{group_name: "raw_{{{{ table.group }}}}", owners: ["team:data"]}}

requirements:
  env: [{variables}]
"""
_HEAD = """\
# The tables of the mirror{how}. Change what you like.
"""
_EMPTY = """\
# There is none yet. This adds those of all collections, with MONGODB_URL and MONGODB_DATABASE set:
#
#   SMARTDIET_SCHEMAS=schemas.yaml smartdiet infer --all-collections --append
#
# By hand, a table begins like this:
#
#   customers:                           # the table, and the collection if it does not say mongo_collection
#     include_base: true                 # id, created_at and updated_at
#     additional_columns:
#       - {name: email, sql_type: VARCHAR}

"""


class MongoMirrorParameters(BaseModel):
    """Where the tables are inferred from; what is not given is asked for, where somebody can answer."""

    mongodb_url: str | None = Field(None, description="The MongoDB to mirror; with a password rather in its variable.")
    database: str | None = Field(None, description="Its database, where the URL names none.")


class MongoMirrorScaffolder(dg.Scaffolder[MongoMirrorParameters]):
    """Writes `defs.yaml` and `schemas.yaml`, the latter with the tables of all collections."""

    @classmethod
    def get_scaffold_params(cls) -> type[MongoMirrorParameters]:
        """Say what may be given."""
        return MongoMirrorParameters

    def scaffold(self, request: dg.ScaffoldRequest[MongoMirrorParameters]) -> None:
        """Write the files; where the source cannot be read none."""
        folder = request.target_path
        name = re.sub(r"\W", "_", folder.name, flags=re.ASCII)
        # These are the schemas of PostgreSQL itself, and of the records of all mirrors.
        refused = not name[0].isalpha() or name.startswith("pg_") or name == BOOKKEEPING_SCHEMA
        name = f"mirror_{name}" if refused else name
        prefix = name.upper()
        url, database = _choose_source(request.params, f"{prefix}_MONGODB_URL", name)
        try:
            tables = _infer_tables(url, database) if url else _HEAD.format(how="") + _EMPTY + compose_beginning()
        except BaseException as error:
            if not any(folder.iterdir()):
                folder.rmdir()
            if isinstance(error, SmartdietError):
                raise click.ClickException(f"{error}\nNothing was written.") from None
            raise
        (folder / _SCHEMAS).write_text(tables, encoding="utf-8")
        if request.scaffold_format == "python":
            dg.scaffold_component(request)
            return
        variables = [f"{prefix}_MONGODB_URL", *(f"{prefix}_POSTGRES_{field}" for field in _POSTGRES)]
        (folder / "defs.yaml").write_text(
            _DEFS.format(
                type=request.type_name,
                name=json.dumps(name),
                schema=_SCHEMAS,
                prefix=prefix,
                database=json.dumps(database),
                postgres="\n".join(_name_variable(field, f"{prefix}_POSTGRES_{field}") for field in _POSTGRES),
                variables=", ".join(variables),
            ),
            encoding="utf-8",
        )
        click.echo(f"Set for Dagster, as in the .env of the project: {', '.join(variables)}.")


def _name_variable(field: str, variable: str) -> str:
    return f'    {field.lower()}: "{{{{ env.{variable} }}}}"'


def _choose_source(given: MongoMirrorParameters, variable: str, name: str) -> tuple[str, str]:
    """Choose URL and database: as given, from the variable that `defs.yaml` names, or as answered; "" for none."""
    answers = sys.stdin.isatty()
    url = given.mongodb_url or os.environ.get(variable, "")
    if not url and answers:
        question = f"The MongoDB to infer the tables from (with a password rather in {variable}); empty for none"
        url = click.prompt(question, default="", show_default=False)
    database = given.database or find_named_database(url)
    if url and not database:
        database = click.prompt("Its database", default=name) if answers else name
    return url, database or name


def _infer_tables(url: str, database: str) -> str:
    """Infer the file of the tables of a database.

    Raises:
        SmartdietError: it cannot be read, or holds nothing.
    """
    from smartdiet_assets.infer.everything import infer_collections

    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ConfigurationError("the URL of a MongoDB starts with mongodb:// or mongodb+srv://")

    def report(collection: str, number: int, of: int) -> None:
        click.echo(f"Looking at {collection} ({number} of {of}).", err=True)

    with MongoResource(url=url, database=database).open() as mongo:
        inferred = infer_collections(mongo.read, [], report=report)
    for note in inferred.notes:
        click.echo(note)
    return _HEAD.format(how=", as inferred from its documents") + inferred.text
