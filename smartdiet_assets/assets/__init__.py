"""The Dagster graph: table assets, partitions and jobs, and the one place where the stages are called in order."""
