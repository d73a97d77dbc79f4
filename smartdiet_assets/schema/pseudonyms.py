"""What protects the values of a column, and the key of the pseudonyms: no value ever leaves here but protected.

A pseudonym is the first 32 hexadecimal digits of HMAC-SHA-256 over the text that the column would have shown. The key
itself is in no record, log or representation; `fingerprint` tells one key from another.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

#: The variable that holds the key.
KEY_VARIABLE = "SMARTDIET_PSEUDONYM_KEY"
#: Hexadecimal digits of a pseudonym: 128 bits.
PSEUDONYM_LENGTH = 32
#: Characters a key has at least.
SHORTEST_KEY = 16
_FINGERPRINT_LENGTH = 16
#: What stands for every value of a redacted column, by the family of its type or its name, as documents would give it.
REDACTED: dict[str, object] = {
    "text": "redacted",
    "number": 0,
    "instant": datetime(1970, 1, 1),
    "boolean": False,
    "time": "00:00:00",
    "jsonb": {},
    "uuid": "00000000-0000-0000-0000-000000000000",
    "bytea": b"",
}
#: Names what is derived from the key beside pseudonyms. No value of a text column holds a NUL.
_SEAL, _FINGERPRINT = "\0seal", "\0fingerprint"


class Protection(BaseModel):
    """How the values of a column are protected.

    Attributes:
        how: `pseudonym`; `redact`, a constant; `year` and `month`, what is kept of a date; `prefix`, of a text.
        characters: how many are kept of a text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["pseudonym", "redact", "year", "month", "prefix"]
    characters: int = 0

    def __str__(self) -> str:
        """Spell it as the records do."""
        return f"{self.how} {self.characters}" if self.how == "prefix" else self.how


@dataclass(frozen=True)
class Pseudonyms:
    """The pseudonyms of one key."""

    key: bytes = field(repr=False)

    def __call__(self, text: str) -> str:
        """Give the pseudonym of a text."""
        return hmac.digest(self.key, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:PSEUDONYM_LENGTH]

    @cached_property
    def fingerprint(self) -> str:
        """What tells the key from another one, and nothing about it."""
        return hmac.digest(self.key, _FINGERPRINT.encode(), "sha256").hex()[:_FINGERPRINT_LENGTH]

    def seal(self, text: str) -> str:
        """Encrypt a text, the same to the same, so that who has the key can read it back."""
        return self._cipher.encrypt(text.encode("utf-8", "surrogatepass"), None).hex()

    def unseal(self, sealed: str) -> str:
        """Read back what `seal` wrote."""
        return self._cipher.decrypt(bytes.fromhex(sealed), None).decode("utf-8", "surrogatepass")

    @cached_property
    def _cipher(self) -> "AESSIV":
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        return AESSIV(hmac.digest(self.key, _SEAL.encode(), "sha512"))

    def __getstate__(self) -> dict[str, bytes]:
        """Leave out the cipher, which no other process can take."""
        return {"key": self.key}


def build_pseudonyms(key: str) -> Pseudonyms | None:
    """Build the pseudonyms of a key as the variable holds it; None without one."""
    return Pseudonyms(key.encode()) if key else None
