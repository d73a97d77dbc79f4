"""What is looked at on Matomo's server itself: that it answers, who we are there, its version and clock."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pymysql
from pymysql.connections import Connection

from smartdiet_assets.resources.checking import Part
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.matomo_errors import translate_matomo_error

MATOMO = Part("matomo")
_FACTS = "SELECT VERSION(), CURRENT_USER(), CAST(UTC_TIMESTAMP(6) AS CHAR)"


@dataclass(frozen=True, slots=True)
class MatomoFacts:
    """What the server says of itself and of us; `account` is the user with the host it is known for, as 'u'@'h'.

    `clock` was read between `asked` and `answered` of ours; all of them with a zone.
    """

    version: str
    account: str
    clock: datetime
    asked: datetime
    answered: datetime


def fetch_facts(matomo: MatomoResource, connection: "Connection") -> MatomoFacts:
    """Fetch the facts.

    Raises:
        SmartdietError: the server refuses or was lost.
    """
    try:
        with connection.cursor() as cursor:
            asked = datetime.now(UTC)
            cursor.execute(_FACTS)
            (version, user, clock), *_ = cursor.fetchall()
            answered = datetime.now(UTC)
    except pymysql.Error as error:
        raise translate_matomo_error(error, f"asking {matomo.describe()}") from None
    name, _, host = user.decode("utf-8", "replace").rpartition("@")
    return MatomoFacts(
        version=version.decode("ascii", "replace"),
        account=f"{_quote(name)}@{_quote(host)}",
        clock=datetime.fromisoformat(clock.decode()).replace(tzinfo=UTC),
        asked=asked,
        answered=answered,
    )


def _quote(name: str) -> str:
    """Quote a part of an account's name for MariaDB."""
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
