"""What is noted about values of one kind: texts, numbers, dates.

Here: counters that grow by a value and never keep one, but for the extremes of numbers, which only choose a type.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from bson.decimal128 import Decimal128

from smartdiet_assets.transform.text import is_valid_unicode

#: Zones a local midnight is looked for in, after those that the declared tables use already. One for each pair of
#: offset and summer time that people live in; a comment only names a candidate.
ZONES = (
    "UTC", "Europe/Paris", "Europe/London", "Europe/Athens", "Europe/Moscow", "America/New_York", "America/Chicago",
    "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo",
    "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)? ?([Zz]|[+-][0-9:]{2,6})?"
)
#: Numbers that are the same when written again: no code with a leading zero, no phone number.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?", re.ASCII)
_MAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}\.[^@\s.]{2,}")
#: With a + or a leading 0, and separators.
_PHONE = re.compile(r"(\+[0-9]|0)[0-9 .()/-]{6,18}[0-9]", re.ASCII)
#: Whole numbers that a double holds exactly.
_EXACT = 2**53


@dataclass(slots=True)
class TextFacts:
    """How many texts there are and of what form; lengths in characters."""

    count: int = 0
    longest: int = 0
    nul: int = 0
    broken: int = 0
    iso_days: int = 0
    iso_times: int = 0
    numbers: int = 0
    mails: int = 0
    phones: int = 0

    def add(self, value: str) -> None:
        """Note a text."""
        self.count += 1
        size = len(value)
        self.longest = max(self.longest, size)
        if "\0" in value:
            self.nul += 1
        if not is_valid_unicode(value):
            self.broken += 1
        if size <= 40:
            if size >= 10 and value[4:5] == "-":
                if _ISO_DAY.fullmatch(value):
                    self.iso_days += 1
                elif _ISO_TIME.fullmatch(value):
                    self.iso_times += 1
            elif _NUMBER.fullmatch(value):
                self.numbers += 1
            elif _PHONE.fullmatch(value):
                self.phones += 1
        if "@" in value and _MAIL.fullmatch(value):
            self.mails += 1


@dataclass(slots=True)
class NumberFacts:
    """How large numbers are; `whole_doubles` are doubles without a fraction, `odd` are NaN and the infinities."""

    low: int = 0
    high: int = 0
    doubles: int = 0
    whole_doubles: int = 0
    odd: int = 0
    digits_before: int = 0
    digits_after: int = 0
    #: A decimal that is infinite: only an unconstrained NUMERIC holds it.
    infinite: bool = False

    def add_integer(self, value: int) -> None:
        """Note an int or a long."""
        self.low, self.high = min(self.low, value), max(self.high, value)

    def add_double(self, value: float) -> None:
        """Note a double."""
        self.doubles += 1
        if value - value != 0:
            self.odd += 1
        elif value.is_integer():
            self.whole_doubles += 1

    def add_decimal(self, value: Decimal128) -> None:
        """Note a decimal: its digits before and after the point."""
        exact = value.to_decimal()
        if not exact.is_finite():
            self.odd += 1
            self.infinite = self.infinite or exact.is_infinite()
            return
        exponent = exact.as_tuple().exponent
        assert isinstance(exponent, int)  # it is finite
        self.digits_after = max(self.digits_after, -exponent)
        if exact:
            self.digits_before = max(self.digits_before, exact.adjusted() + 1)

    @property
    def beyond_doubles(self) -> bool:
        """Whether a whole number has more digits than a double keeps."""
        return self.low < -_EXACT or self.high > _EXACT


@dataclass(slots=True)
class DateFacts:
    """How many dates there are, and in which of the zones every one of them is a midnight."""

    count: int = 0
    out_of_range: int = 0
    zones: tuple[str, ...] = field(default=ZONES)

    def add(self, value: datetime) -> None:
        """Note a date, naive UTC."""
        self.count += 1
        if self.zones:
            # No zone of today is off by anything but quarters of an hour.
            odd = value.minute % 15 or value.second or value.microsecond
            self.zones = () if odd else tuple(zone for zone in self.zones if _is_midnight(value, zone))


def prefer_zones(declared: Iterable[str]) -> tuple[str, ...]:
    """Order the zones to look for a midnight in: UTC, those declared already, the others."""
    return tuple(dict.fromkeys(("UTC", *declared, *ZONES)))


@lru_cache(8192)
def _is_midnight(value: datetime, zone: str) -> bool:
    try:
        local = value.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    except OverflowError:
        return False
    return local.hour == 0 and local.minute == 0
