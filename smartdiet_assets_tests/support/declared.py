"""Small declarations for the tests of DDL. Here: schema texts and reading them. Not here: rows."""

from pathlib import Path
from tempfile import TemporaryDirectory

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema

#: One table of each shape, a default of each kind, a secondary unique constraint, a unique column with a child.
CLINIC = """
tables:
  companies:
    include_base: true
    additional_columns:
      - {name: code, sql_type: VARCHAR(10), nullable: false}
    unique_constraints: [[code]]
  users:
    description: One row per user.
    include_base: true
    additional_columns:
      - {name: email, sql_type: VARCHAR(255), nullable: false, description: "The user's address."}
      - {name: role, sql_type: VARCHAR(100), nullable: false, default: "it's"}
      - {name: active, sql_type: BOOLEAN, default: true}
      - {name: height, sql_type: "NUMERIC(5,2)", default: 1.5}
      - {name: points, sql_type: SMALLINT, default: -1}
      - {name: born, sql_type: DATE, default: "2000-01-02"}
      - {name: settings, sql_type: JSONB, default: '{"a": 1}'}
      - {name: company_id, sql_type: VARCHAR, foreign_key: companies(id)}
      - {name: company_code, sql_type: VARCHAR(10), foreign_key: companies(code)}
    unique_constraints: [[email]]
  user_friends:
    mongo_collection: users
    import_strategy: smart_diff
    arrays:
      - {field: friends}
    columns:
      - {name: user_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: users(id)}
      - {name: friend_id, sql_type: VARCHAR, nullable: false, item_field: ".", foreign_key: users(id)}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[user_id, friend_id]]
  diary:
    columns:
      - {name: id, sql_type: SERIAL, primary_key: true}
      - {name: user_id, sql_type: VARCHAR, nullable: false, mongo_field: user, foreign_key: users(id)}
      - {name: day, sql_type: DATE, nullable: false}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[user_id, day]]
    winner: [updated_at DESC]
"""


def declare(text: str = CLINIC, *changes: tuple[str, str]) -> Schema:
    """Read a schema text after replacing parts of it, each of which must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    with TemporaryDirectory() as folder:
        path = Path(folder, "schemas.yaml")
        path.write_text(text)
        return load_schema(path)
