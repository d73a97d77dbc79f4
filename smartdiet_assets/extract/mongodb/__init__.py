"""Documents out of MongoDB."""
