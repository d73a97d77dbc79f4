"""What a step of Dagster ends with where it fails."""

from collections.abc import Mapping
from typing import Any

import dagster as dg


class StepFailure(dg.Failure):
    """What a step ends with: a sentence that says what to do. Dagster repeats the step only where it is told to.

    The last try may not ask for another: Dagster would say that there were too many, and show this as the cause.
    """

    # Shown before the sentence; a class of Python itself is, without its module.
    __module__ = "builtins"

    def __init__(
        self, description: str, metadata: Mapping[str, Any] | None = None, *, allow_retries: bool = False
    ) -> None:
        super().__init__(description=description, metadata=metadata, allow_retries=allow_retries)
