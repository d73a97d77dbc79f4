"""What protects the values of a column, and the key of the pseudonyms: no value ever leaves here but protected.

A pseudonym is the first 32 hexadecimal digits of HMAC-SHA-256 over the text that the column would have shown. The key
itself is in no record, log or representation; `fingerprint` tells one key from another.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from smartdiet_assets.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

#: The variable that holds the key.
KEY_VARIABLE = "SMARTDIET_PSEUDONYM_KEY"
#: Hexadecimal digits of a pseudonym: 128 bits.
PSEUDONYM_LENGTH = 32
#: Characters a key has at least.
SHORTEST_KEY = 16
#: What a key has to be.
A_KEY = f"at least {SHORTEST_KEY} characters without white space around them, as `openssl rand -hex 32` makes them"
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


@runtime_checkable
class Variable(Protocol):
    """What names a variable, as `dg.EnvVar` does, which is a text as well: its name is no key."""

    def get_value(self) -> str | None:
        """Read it."""
        ...


def build_pseudonyms(key: "str | Variable") -> Pseudonyms | None:
    """Build the pseudonyms of a key, or of what a variable holds now; None without one.

    Raises:
        ConfigurationError: it is none.
    """
    text = key.get_value() if isinstance(key, Variable) else key
    if text and not is_key(text):
        raise ConfigurationError(f"the key of the pseudonyms must have {A_KEY}")
    return Pseudonyms(text.encode()) if text else None


def is_key(text: str) -> bool:
    """Whether a text can be a key: a line's end that one machine has and another has not would make two of it."""
    return len(text) >= SHORTEST_KEY and text == text.strip()
