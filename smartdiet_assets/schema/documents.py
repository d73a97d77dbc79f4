"""What a document is to whoever does not know its collection."""

from typing import Any

#: A decoded document, or a command of MongoDB: what a field holds, only the server knows.
Document = dict[str, Any]
