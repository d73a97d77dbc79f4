"""What a table ends with that points at one it is mirrored with, which failed."""


class KeptBackError(Exception):
    """A table above failed."""
