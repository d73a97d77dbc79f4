"""Whether the mirror shows what its source holds: facts fetched in a few statements, judged by pure functions."""
