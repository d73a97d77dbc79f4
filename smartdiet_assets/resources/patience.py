"""Trying again what failed for a reason that may pass by itself: how often, and after which waits."""

import time
from collections.abc import Callable
from typing import TypeVar

from smartdiet_assets.errors import StartAgainError

#: Tries after the first one.
RETRIES = 3
#: Seconds before the first of them; each further one waits twice as long (RETRY_DELAY).
RETRY_DELAY = 2.0
Result = TypeVar("Result")


class Patience:
    """How long one server is waited for, shared by all that is asked of it.

    After a wait in vain nothing is waited for again until something succeeds: many questions to a server that is gone
    cost one wait.
    """

    def __init__(self, delay: float = RETRY_DELAY, retries: int = RETRIES) -> None:
        self._delay = delay
        self._retries = retries
        self._spent = False

    def run(self, attempt: Callable[[], Result], may_pass: Callable[[Exception], bool]) -> Result:
        """Run an attempt until it succeeds, fails for good, or has failed too often; raises what the last one did.

        Args:
            attempt: does all of it again each time.
            may_pass: tells whether an error is worth another try.
        """
        number = 0
        while True:
            try:
                result = attempt()
            except StartAgainError:
                continue
            except Exception as error:
                if not may_pass(error):
                    raise
                if self._spent or number == self._retries:
                    self._spent = True
                    raise
            else:
                self._spent = False
                return result
            time.sleep(self._delay * 2**number)
            number += 1
