"""MongoDB documents mirrored into typed, foreign-keyed PostgreSQL tables, as a Dagster asset graph."""
