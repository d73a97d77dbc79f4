"""A first load in shards: ranges of ids, each copied in a transaction of its own, which are published as one table."""
