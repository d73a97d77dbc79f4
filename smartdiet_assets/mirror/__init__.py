"""One run of one table, and one pass for documents that went: the stages called in order. Knows no Dagster."""
