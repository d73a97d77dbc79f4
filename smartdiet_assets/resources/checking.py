"""What the check of a resource answers: one sentence before a run, or a finding for each thing looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

#: `not_examined` is no fault of its own: what it depends on has failed, or nobody asked for it.
Status = Literal["passed", "warning", "failed", "not_examined"]


class CheckResult(BaseModel):
    """Whether a server can be used, and in one sentence why not ("" when it can)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    ok: bool
    sentence: str = ""


class Finding(BaseModel):
    """What one thing looked at came to.

    Attributes:
        part: what was examined: `settings`, `schema`, `dagster`, or the server by its name, such as `mongodb`.
        check: which of its checks, such as `indexes`.
        sentence: what was found; of a fault, also what to do.
        details: what the sentence sums up, one line each.
        statements: what resolves it, to be run as they are. They hold names only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str
    check: str
    status: Status
    sentence: str
    details: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.status == "failed"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is examined, such as a server: gives its findings their common name."""

    name: str

    def passed(self, check: str, sentence: str, *, details: Sequence[str] = ()) -> Finding:
        return self._build(check, "passed", sentence, details, ())

    def warned(
        self, check: str, sentence: str, *, details: Sequence[str] = (), statements: Sequence[str] = ()
    ) -> Finding:
        return self._build(check, "warning", sentence, details, statements)

    def failed(
        self, check: str, sentence: str, *, details: Sequence[str] = (), statements: Sequence[str] = ()
    ) -> Finding:
        return self._build(check, "failed", sentence, details, statements)

    def skipped(self, check: str, sentence: str) -> Finding:
        return self._build(check, "not_examined", sentence, (), ())

    def _build(
        self, check: str, status: Status, sentence: str, details: Sequence[str], statements: Sequence[str]
    ) -> Finding:
        return Finding(
            part=self.name,
            check=check,
            status=status,
            sentence=sentence,
            details=tuple(details),
            statements=tuple(statements),
        )
