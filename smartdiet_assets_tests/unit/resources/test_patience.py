"""How often something is tried again, and that many questions to a server that is gone cost one wait."""

import pytest

from smartdiet_assets.errors import StartAgainError, TransientError
from smartdiet_assets.resources.patience import RETRIES, Patience


class Answering:
    """Answers after some errors, and counts how often it is asked."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def may_pass(error: Exception) -> bool:
    return isinstance(error, TransientError)


@pytest.mark.parametrize("failures", range(RETRIES + 1))
def test_what_passes_in_time_is_waited_for(failures: int) -> None:
    ask = Answering(*[TransientError()] * failures)
    assert Patience(0).run(ask, may_pass) == "answer"
    assert ask.asked == failures + 1


def test_what_does_not_pass_is_given_up_and_then_asked_once_until_it_answers() -> None:
    patience, ask = Patience(0), Answering(*[TransientError()] * (RETRIES + 3))
    for expected in (RETRIES + 1, RETRIES + 2, RETRIES + 3):
        with pytest.raises(TransientError):
            patience.run(ask, may_pass)
        assert ask.asked == expected
    assert patience.run(ask, may_pass) == "answer"
    assert patience.run(Answering(TransientError()), may_pass) == "answer"


def test_what_stays_is_tried_once() -> None:
    ask = Answering(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        Patience(0).run(ask, may_pass)
    assert ask.asked == 1


def test_what_is_to_be_asked_otherwise_is_asked_at_once() -> None:
    ask = Answering(StartAgainError())
    assert Patience(3600, retries=0).run(ask, may_pass) == "answer"
