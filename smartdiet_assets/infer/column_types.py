"""Which column type holds what was seen at a path, and what has to be said about it.

A type that keeps every value is preferred; where nearly all values are of one family, the column has its type and the
few others become NULL, with a remark that says so.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from smartdiet_assets.infer.observation import (
    ARRAY,
    BINARY,
    BOOL,
    DATE,
    DECIMAL,
    DOUBLE,
    FAR_DATE,
    INT,
    LONG,
    OBJECT,
    OBJECT_ID,
    OTHER,
    STRING,
    TIMESTAMP,
    UUID,
    Observed,
)  # fmt: skip

#: From this share of one family on, the others are taken for mistakes; so is a single one among so many.
_DOMINANT, _MANY = 0.99, 20
#: The same for ids: a reference is worth more than the odd value beside it.
_DOMINANT_IDS = 0.9
#: The longest text that is a VARCHAR; nothing is cut, the difference is what a reader expects.
LONGEST_VARCHAR = 255
_INTEGER = 2**31
#: Digits beyond those seen that a NUMERIC leaves room for before the point.
_ROOM = 4
_MOST_DIGITS = 38
_FAMILIES: dict[str, str] = {
    OBJECT_ID: "text", STRING: "text", INT: "number", LONG: "number", DOUBLE: "number", DECIMAL: "number",
    BOOL: "bool", DATE: "date", FAR_DATE: "date", TIMESTAMP: "date", UUID: "uuid", BINARY: "bytes",
    OBJECT: "json", ARRAY: "json", OTHER: "json",
}  # fmt: skip
#: What a text column spells, each value by its own text.
_SPELLED = frozenset({OBJECT_ID, STRING, INT, LONG, DOUBLE, DECIMAL, BOOL, DATE, TIMESTAMP, UUID, BINARY})


@dataclass(frozen=True, slots=True)
class Decision:
    """The type of a column; `sql_type` is empty where nothing was seen to tell one."""

    sql_type: str
    on_invalid: str = ""
    remarks: tuple[str, ...] = ()


def decide_type(seen: Observed, *, complete: bool) -> Decision:
    """Decide the type of a column that holds what was seen.

    Args:
        complete: every document was read, so that the extremes are those of all values.
    """
    if not seen.count:
        return Decision("")
    families: Counter[str] = Counter()
    for kind, number in seen.kinds.items():
        families[_FAMILIES[kind]] += number
    (family, _), *others = families.most_common()
    if not others:
        return _decide_family(family, seen, complete)
    return _decide_mixture(family, seen, complete)


def are_rare(odd: int, whole: int) -> bool:
    """Tell whether odd values are so few that the others decide."""
    return odd <= (1 - _DOMINANT) * whole or (odd == 1 and whole >= _MANY)


def describe_shares(kinds: Mapping[str, int]) -> str:
    """Describe kinds by their shares, the most frequent first: `97% int, 3% string`."""
    total = sum(kinds.values())
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{describe_share(number, total)} {kind}" for kind, number in ordered)


def describe_share(number: int, total: int) -> str:
    """Describe a share; one that is not all is never shown as 100%, nor one that is something as 0%."""
    percent = 100 * number / total if total else 0.0
    if number == total:
        return "100%"
    if percent > 99:
        return f"{min(percent, 99.99):.2f}".rstrip("0").rstrip(".") + "%" if percent < 99.995 else ">99.99%"
    if number and percent < 1:
        return f"{percent:.2f}".rstrip("0").rstrip(".") + "%" if percent >= 0.005 else "<0.01%"
    return f"{percent:.0f}%"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _decide_family(family: str, seen: Observed, complete: bool) -> Decision:
    if family == "text":
        return _decide_text(seen)
    if family == "number":
        return _decide_number(seen, complete)
    if family == "date":
        return _decide_date(seen)
    if family == "json":
        remarks = (describe_shares(seen.kinds),) if len(seen.kinds) > 1 else ()
        return Decision("JSONB", remarks=remarks)
    if family == "bytes":
        return Decision("BYTEA")
    return Decision({"bool": "BOOLEAN", "uuid": "UUID"}[family])


def _decide_mixture(family: str, seen: Observed, complete: bool) -> Decision:
    shares = describe_shares(seen.kinds)
    if not seen.kinds.keys() - {UUID, BINARY}:
        return Decision("BYTEA", remarks=(shares,))
    spelled = not seen.kinds.keys() - _SPELLED
    odd = sum(number for kind, number in seen.kinds.items() if _FAMILIES[kind] != family)
    rare = are_rare(odd, seen.count) or seen.kinds[OBJECT_ID] >= _DOMINANT_IDS * seen.count
    strings = seen.kinds[STRING]
    if family == "number" and strings and seen.text.numbers == strings and not seen.kinds.keys() - {
        INT, LONG, DOUBLE, DECIMAL, STRING,
    }:  # fmt: skip
        return Decision("NUMERIC", remarks=(f"{shares}; every string is a number",))
    if family != "json" and rare and not (spelled and family == "text"):
        decided = _decide_family(family, seen, complete)
        keeps = "TEXT" if spelled else "JSONB"
        become = "becomes" if odd == 1 else "become"
        remark = f"{shares}: {odd:,} of {seen.count:,} {become} NULL, sql_type: {keeps} would keep {_them(odd)}"
        return Decision(decided.sql_type, "null", (remark, *decided.remarks))
    if spelled:
        decided = _decide_text(seen)
        return Decision("TEXT", decided.on_invalid, (shares, *decided.remarks))
    return Decision("JSONB", remarks=(shares,))


def _decide_text(seen: Observed) -> Decision:
    text, remarks = seen.text, []
    if len(seen.kinds) > 1 and not seen.kinds.keys() - {OBJECT_ID, STRING}:
        remarks.append(describe_shares(seen.kinds))
    if text.count == seen.count:
        if text.iso_days == text.count:
            remarks.append("every text is an ISO day: sql_type: DATE would read it")
        elif text.iso_days + text.iso_times == text.count:
            remarks.append("every text is an ISO date: sql_type: TIMESTAMP would read it (a zone is ignored)")
        elif text.numbers == text.count:
            remarks.append("every text is a number: sql_type: NUMERIC would read it")
    on_invalid = ""
    if text.nul or text.broken:
        on_invalid = "clamp"
        odd = text.nul + text.broken
        remarks.append(f"characters that PostgreSQL cannot store in {odd:,} of {text.count:,}: left out by clamp")
    return Decision("VARCHAR" if text.longest <= LONGEST_VARCHAR else "TEXT", on_invalid, tuple(remarks))


def _decide_number(seen: Observed, complete: bool) -> Decision:
    numbers, kinds = seen.numbers, {kind for kind in seen.kinds if _FAMILIES[kind] == "number"}
    only = {kind: number for kind, number in seen.kinds.items() if kind in kinds}
    remarks = [describe_shares(only)] if len(kinds) > 1 else []
    if DECIMAL in kinds:
        whole, after = numbers.digits_before, numbers.digits_after
        if kinds - {DECIMAL}:
            return Decision("NUMERIC", remarks=tuple(remarks))
        fits = f"NUMERIC({whole + _ROOM + after},{after})"
        if numbers.infinite or whole + _ROOM + after > _MOST_DIGITS:
            return Decision("NUMERIC")
        if complete:
            return Decision(fits)
        return Decision("NUMERIC", remarks=(f"{fits} would hold the sample",))
    if DOUBLE in kinds:
        if numbers.beyond_doubles:
            remarks.append("some whole numbers have more digits than a double keeps")
            return Decision("NUMERIC", remarks=tuple(remarks))
        if numbers.whole_doubles == numbers.doubles:
            remarks.append("every double is a whole number: sql_type: BIGINT would hold them")
        return Decision("DOUBLE PRECISION", remarks=tuple(remarks))
    small = numbers.low >= -_INTEGER and numbers.high < _INTEGER
    return Decision("INTEGER" if small and LONG not in kinds else "BIGINT", remarks=tuple(remarks))


def _decide_date(seen: Observed) -> Decision:
    dates, remarks, on_invalid = seen.dates, [], ""
    if dates.out_of_range:
        on_invalid = "clamp"
        remarks.append(
            f"{dates.out_of_range:,} of {seen.count:,} beyond the years 1 to 9999: moved to their end by clamp"
        )
    if seen.kinds[TIMESTAMP]:
        remarks.append(f"{describe_share(seen.kinds[TIMESTAMP], seen.count)} are BSON timestamps: whole seconds")
    if dates.count and dates.zones:
        zone = dates.zones[0]
        how = "" if zone == "UTC" else f" with timezone: {zone}"
        remarks.append(f"every date is a midnight of {zone}: sql_type: DATE{how} would hold the day")
    return Decision("TIMESTAMP", on_invalid, tuple(remarks))
