"""The stages of a load: how long each takes, and who is told when one is over."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Told when a stage is over: opened, begun, copied (each batch), settled, compared, rejected, merged, stored.
StageListener = Callable[[str], None]


class StageClock:
    """The clock of one load.

    Attributes:
        seconds: by stage: copy, settle, compare, merge, index, remove, state.
        tell: called with the name of a stage when it is over.
    """

    def __init__(self, listener: StageListener | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.tell: StageListener = listener or (lambda stage: None)
        self._inner_seconds = 0.0

    @contextmanager
    def timed(self, stage: str, over: str = "") -> Iterator[None]:
        """Add to the seconds of a stage, without those of stages within it; tell that it is `over`, under that name."""
        started, before = time.perf_counter(), self._inner_seconds
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed - (self._inner_seconds - before)
            self._inner_seconds = before + elapsed
        if over:
            self.tell(over)
