"""Rows of a run that cannot all be: read twice, orphans, shared unique values, best of a key."""
