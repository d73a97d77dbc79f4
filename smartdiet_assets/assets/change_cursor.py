"""What the sensor remembers from tick to tick: what it asked for, at which position in the data.

Here: the cursor, its JSON form, and the key of a request.
Not here: what is decided from it (`assets.change_decisions`).
Positions are watermarks, dates and counts; never a value of a document.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from smartdiet_assets.assets.memory import Memory


class RunAsked(Memory):
    """The last run asked for a collection.

    Attributes:
        run_key: by which the instance finds the run.
        base: from where changes were counted; as long as it stays, the run has not mirrored everything.
        position: what was there beyond the base.
        attempt: how often a run was asked for at this base, 1 the first time.
        asked_at: when, naive UTC.
        ahead: documents dated after the server's clock at the time; the run reads them too.
    """

    run_key: str
    base: str
    position: str
    attempt: int
    asked_at: datetime
    ahead: int = 0


class CollectionMemory(Memory):
    """What is remembered of a collection.

    Attributes:
        asked: the last run asked for.
        known_ahead: documents dated after the server's clock that a run has read.
        ahead_since: since when there are more of them than that, naive UTC.
    """

    asked: RunAsked | None = None
    known_ahead: int = 0
    ahead_since: datetime | None = None


class ChangeCursor(Memory):
    """The sensor's cursor.

    Attributes:
        started: when the sensor was started whose operator was told about indexes; None before the first time.
        unindexed: the date fields without an index, by collection.
        collections: one entry for each collection something is remembered of.
    """

    started: float | None = None
    unindexed: Mapping[str, tuple[str, ...]] = {}
    collections: Mapping[str, CollectionMemory] = {}


def compose_run_key(asked: Mapping[str, tuple[str, str, int]]) -> str:
    """Compose the key of a request from base, position and attempt of its collections.

    A key deduplicates for ever: the same data asked for again has the same key, unless the run before it failed.
    """
    text = json.dumps(sorted(asked.items()))
    return f"changes-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
