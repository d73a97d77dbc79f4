"""The company's time: when its history begins and ends; moments, milliseconds and days."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
EPOCH = datetime(1970, 1, 1)
DAY_MS = 86_400_000
#: The company's history. Fixed, because the same seed must give the same bytes on any day.
BEGIN = datetime(2021, 1, 4)
END = datetime(2025, 9, 30)
#: The moment of the bulk import from an older system: thousands of documents share it to the millisecond.
IMPORTED_AT = datetime(2021, 1, 2, 3, 0, 0)
#: Coachings start early enough for their days and logbooks to lie in the past.
LAST_COACHING_DAY = END - timedelta(days=90)


def milliseconds(moment: datetime) -> int:
    """Count the milliseconds of a naive UTC datetime since 1970."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def moment(ms: int) -> datetime:
    """Make a naive UTC datetime of milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=ms)


@cache
def local_midnight(day: int) -> datetime:
    """Give the UTC moment of midnight in Paris on a day, counted in days since 1970."""
    date = EPOCH + timedelta(days=day)
    return date.replace(tzinfo=PARIS).astimezone(UTC).replace(tzinfo=None)
