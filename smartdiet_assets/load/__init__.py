"""Writing typed rows to PostgreSQL: DDL, staging, merging, rejects and sync state, in one transaction."""
