"""What holds for a load unless somebody says otherwise; apart, so that it can be known without importing the load."""

#: Seconds a run waits for another one of the same table, or for anybody else's lock.
LOCK_TIMEOUT = 60.0
#: How many documents tried before one run tries again.
RETRY_LIMIT = 2_000
