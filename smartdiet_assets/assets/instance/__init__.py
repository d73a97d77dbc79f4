"""Dagster's own records: where they are kept, and how they get there and are found again."""
