"""The few tables of the command line's tests. Not here: their documents (`conftest`)."""

from datetime import UTC, datetime

TABLES = """
partitions: {start: 2026-01-01}
tables:
  companies:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(10), nullable: false}
  users:
    include_base: true
    additional_columns:
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
  recipes:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(255)}
"""
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
