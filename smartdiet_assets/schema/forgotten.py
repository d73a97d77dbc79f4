"""Documents that a person asked to be forgotten: their ids as digests, so that nobody reads who they were.

A digest is of the text by which a plain document column would show the id, with a salt of the mirror. It does not
depend on the key of the pseudonyms: what is forgotten stays out when that changes.
"""

import hmac
import secrets
from dataclasses import dataclass, field


def make_salt() -> str:
    """Make the salt of a mirror's digests."""
    return secrets.token_hex(32)


def digest_id(salt: str, text: str) -> str:
    """Give the digest of an id, by the text that a document column would show."""
    return hmac.digest(bytes.fromhex(salt), text.encode("utf-8", "surrogatepass"), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is left out of a table.

    Attributes:
        digests: by table, the digests of its documents, each with that of the document it was forgotten for.
        spread: of documents that go along, as they point at a forgotten one; added to while documents are read.
    """

    salt: str
    digests: dict[str, dict[str, str]]
    spread: dict[str, str] = field(default_factory=dict)
