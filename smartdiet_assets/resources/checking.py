"""What a resource's check answers. Not here: the checks, which are in each resource's module."""

from pydantic import BaseModel, ConfigDict


class CheckResult(BaseModel):
    """Whether a server can be used, and in one sentence why not ("" when it can)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    ok: bool
    sentence: str = ""
