"""Include and exclude lists: names, or patterns with `*` and `?`, of collections, tables or schemas. Pure."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from smartdiet_assets.errors import ConfigurationError, UnknownNamesError


def split_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Split lists as an option gives them: several values, each with commas.

    Raises:
        ConfigurationError: one is empty, as where a shell's variable is not set; no list at all would mean everything.
    """
    names = []
    for text in texts:
        found = [name for part in text.split(",") if (name := part.strip())]
        if not found:
            raise ConfigurationError("a list of names is empty; leave the option out where everything is meant")
        names += found
    return tuple(names)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the name, or fits it."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def choose_names(
    names: Sequence[str], includes: Sequence[str], excludes: Sequence[str], what: str, also: Sequence[str] = ()
) -> list[str]:
    """Choose the names that are included (all, where none is) and not excluded, in their order.

    Args:
        what: what a name is, for the message.
        also: further names that may be excluded, as what is only in the target is to stay.

    Raises:
        UnknownNamesError: a name or pattern fits nothing: it was misspelled.
    """
    unknown = [pattern for pattern in includes if not any(matches(name, [pattern]) for name in names)]
    unknown += [pattern for pattern in excludes if not any(matches(name, [pattern]) for name in (*names, *also))]
    if unknown:
        raise UnknownNamesError(f"there is no {what} {', '.join(unknown)}")
    return [name for name in names if (not includes or matches(name, includes)) and not matches(name, excludes)]
