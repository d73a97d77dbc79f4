"""Names of tables and columns, from names of collections and fields."""

import re
import unicodedata
from collections.abc import Iterable

from smartdiet_assets.schema.columns import MAX_IDENTIFIER
from smartdiet_assets.schema.reading import quote
from smartdiet_assets.transform.text import is_valid_unicode

#: Names that mean something to the mirror or to PostgreSQL in every table.
_TAKEN = (
    "id", "created_at", "updated_at", "deleted_at", "document_id", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid",
)  # fmt: skip
#: PostgreSQL's reserved words: a column of such a name needs quotes in every query.
_RESERVED = frozenset(
    """all analyse analyze and any array as asc asymmetric authorization between binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role current_schema
    current_time current_timestamp current_user default deferrable desc distinct do else end except false fetch for
    foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral leading
    left like limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing
    primary references returning right select session_user similar some symmetric system_user table tablesample then to
    trailing true union unique user using variadic verbose when where window with""".split()  # noqa: SIM905 - as a list it would be one word a line
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER = re.compile(r"[^a-z0-9]+")
#: Fields that have no place in analytics, whatever they hold.
_SECRET = re.compile(
    r"(?:^|_)(password|passwd|pwd|secret|token|iban|rib|bic|api_?key|private_key|credit_?card|card_number|cvv|salt|"
    r"hash|otp|pin_code|ssn)s?(?:_|$)"
)
#: Names that are rather values: ids, numbers, dates, addresses.
_VALUE = re.compile(
    r"[0-9]+|[0-9a-f]{24}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]{2,4}[-/._][0-9]{1,2}([-/._][0-9]{1,4})?.*"
    r"|.*@.*|.*://.*|\+?[0-9][0-9 .()-]{5,}",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_LONGEST_NAME = 100


def build_snake_case(name: str) -> str:
    """Spell a name in lower case, with underscores between its words and ASCII letters only; "" where none is left."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub("_", name)).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub("_", plain).strip("_")


def build_singular(name: str) -> str:
    """Guess the singular of a plural, by its ending."""
    for ending, replaced in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name[: -len(ending)] + replaced
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 2 else name


class Names:
    """The names of one table's columns, or of one file's tables, each given once."""

    def __init__(self, taken: Iterable[str] = (), prefix: str = "source") -> None:
        self._taken = set(taken)
        self._prefix = prefix

    def claim(self, wanted: str, *, own: bool = False) -> str:
        """Give a free name that is like the wanted one, a path of fields or a name of ours.

        Args:
            own: the name means what such a name always means (`id`, `created_at`, `document_id`).
        """
        name = wanted if own else build_snake_case(wanted) or "field"
        if not own:
            if name[0].isdigit():
                name = f"n_{name}"
            if name in _TAKEN:
                name = f"{self._prefix}_{name}"
            elif name in _RESERVED:
                name = f"{name}_value"
        name = name[:MAX_IDENTIFIER]
        number, free = 1, name
        while free in self._taken:
            number += 1
            suffix = f"_{number}"
            free = name[: MAX_IDENTIFIER - len(suffix)] + suffix
        self._taken.add(free)
        return free


def build_reference_name(path: str) -> str:
    """Name the column of a reference: `user` is `user_id`, `users` and `user._id` too."""
    name = build_singular(build_snake_case(path))
    return name if name.endswith("_id") or name == "id" else f"{name}_id"


def is_secret(path: str) -> bool:
    """Tell whether a field looks like a secret or bank details, by its name."""
    return bool(_SECRET.search(build_snake_case(path)))


def is_value(name: str) -> bool:
    """Tell whether a field's name is rather a value (an id, a number, a date, an address), and must not be shown."""
    return len(name) > _LONGEST_NAME or bool(_VALUE.fullmatch(name)) or not is_valid_unicode(name)


def find_path_fault(name: str) -> str:
    """Say why a field cannot be asked for by a path; "" when it can."""
    if not name:
        return "a field without a name cannot be asked for"
    if name.startswith("$"):
        return f"{quote(name)} begins with $: no path leads there"
    if "." in name:
        return f"{quote(name)} has a dot in its name: a path would mean a field below another"
    return ""
