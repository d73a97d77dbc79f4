"""A place in a collection's change stream: how it is kept as text, and which time it stands for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson import Timestamp, json_util
from bson.errors import BSONError

#: Of a token that MongoDB made: a key whose first part is a time.
_TIME_FIRST = 0x82


@dataclass(frozen=True, slots=True)
class ChangePosition:
    """A place in the stream of one collection.

    Attributes:
        namespace: the collection with its database, `db.collection`.
        token: the server's resume token.
        time: the server's time that the stream was read up to.
    """

    namespace: str
    token: Mapping[str, object]
    time: Timestamp

    def to_text(self) -> str:
        """Write the position as one line of canonical extended JSON."""
        content = {"namespace": self.namespace, "time": self.time, "token": self.token}
        return json_util.dumps(content, json_options=json_util.CANONICAL_JSON_OPTIONS)

    @classmethod
    def from_text(cls, text: str) -> "ChangePosition":
        """Read back what `to_text` wrote.

        Raises:
            ValueError: the text is something else.
        """
        match json_util.loads(text, json_options=json_util.CANONICAL_JSON_OPTIONS):
            case {"namespace": str(namespace), "token": dict(token), "time": Timestamp() as time}:
                return cls(namespace, token, time)
        raise ValueError("not a position in a change stream")


def read_token_time(token: Mapping[str, Any] | None) -> Timestamp | None:
    """Read which time a resume token stands for; None where it does not tell: then the server's word counts.

    MongoDB's begins with the time, as bytes in the order of keys. Others put a document there that holds it.
    """
    try:
        data = bytes.fromhex((token or {})["_data"])
    except (KeyError, TypeError, ValueError):
        return None
    if len(data) > 8 and data[0] == _TIME_FIRST:
        return Timestamp(int.from_bytes(data[1:5]), int.from_bytes(data[5:9]))
    try:
        return next((value for value in bson.decode(data).values() if isinstance(value, Timestamp)), None)
    except (BSONError, ValueError):
        return None
