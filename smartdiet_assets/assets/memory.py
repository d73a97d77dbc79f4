"""What a sensor remembers from tick to tick, as JSON."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Memory(BaseModel):
    """Something that is remembered, or a part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read it; what is absent or of another version is empty, which at worst has something asked or said again."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()

    def dump(self) -> str:
        """Write it, without what has its default."""
        return self.model_dump_json(exclude_defaults=True)
