"""A deterministic Matomo: visits, page views and the texts they point at, and a day on which they change."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from pymysql.connections import Connection

from smartdiet_assets.demo.analytics_tables import compose_matomo_tables
from smartdiet_assets.demo.company.clock import END

#: The real one's visits at scale 1.
VISITS = 200_000
_DAYS = 180
_ROWS_PER_INSERT = 500
_SECTIONS = ("Accueil", "Recettes", "Journal", "Coaching", "Rendez-vous", "Événements", "Profil", "Quiz")
_PAGES_PER_SECTION = 25
_URL, _TITLE, _EVENT_CATEGORY, _EVENT_ACTION = 1, 4, 10, 11
_HTTPS = 2
_BROWSERS = (("CH", "Blink", "126.0"), ("FF", "Gecko", "127.0"), ("SF", "WebKit", "17.5"), ("CM", "Blink", "125.0"))
_SYSTEMS = (("WIN", "10"), ("AND", "14"), ("IOS", "17.5"), ("MAC", "14.5"), ("LIN", ""))
_PLACES = (
    ("Paris", "fr", "IDF", 48.8534, 2.3488),
    ("Lyon", "fr", "ARA", 45.7485, 4.8467),
    ("Gand", "be", "VOV", 51.05, 3.71667),
)
_SEARCHES = ("sans gluten", "dîner léger", "petit-déj 🥐", "fibres")

_ACTION_COLUMNS = ("idaction", "name", "hash", "type", "url_prefix")
_VISIT_COLUMNS = (
    "idvisit", "idsite", "idvisitor", "visit_last_action_time", "config_id", "location_ip", "profilable", "user_id",
    "visit_first_action_time", "visit_goal_buyer", "visit_goal_converted", "visitor_returning",
    "visitor_seconds_since_first", "visitor_count_visits", "visit_entry_idaction_name", "visit_entry_idaction_url",
    "visit_exit_idaction_name", "visit_exit_idaction_url", "visit_total_actions", "visit_total_interactions",
    "visit_total_searches", "referer_keyword", "referer_type", "referer_url", "location_browser_lang",
    "config_browser_engine", "config_browser_name", "config_browser_version", "config_client_type",
    "config_device_type", "config_os", "config_os_version", "visit_total_events", "visitor_localtime",
    "config_resolution", "config_cookie", "visit_total_time", "location_city", "location_country",
    "location_latitude", "location_longitude", "location_region", "last_idlink_va", "custom_dimension_1",
)  # fmt: skip
_VIEW_COLUMNS = (
    "idlink_va", "idsite", "idvisitor", "idvisit", "idaction_url_ref", "idaction_name_ref", "custom_float",
    "pageview_position", "server_time", "idpageview", "idaction_name", "idaction_url", "search_cat", "search_count",
    "time_spent_ref_action", "idaction_event_action", "idaction_event_category", "time_network", "time_server",
    "time_transfer", "time_dom_processing", "time_dom_completion", "time_on_load", "time_spent",
)  # fmt: skip

ProgressListener = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DayOfVisits:
    """What a day did to the analytics."""

    visits_continued: int
    visits: int
    views: int
    actions: int

    def __str__(self) -> str:
        return (
            f"{self.visits:,} visits began, {self.visits_continued:,} went on, "
            f"{self.views:,} pages were viewed, {self.actions:,} of them for the first time"
        )


def create_matomo_tables(connection: Connection, prefix: str = "matomo_") -> None:
    """Create the tables of an empty Matomo."""
    with connection.cursor() as cursor:
        for statement in compose_matomo_tables(prefix):
            cursor.execute(statement)


def write_analytics(
    connection: Connection,
    seed: int,
    scale: float,
    on_progress: ProgressListener = lambda done, total: None,
    *,
    end: datetime = END,
) -> dict[str, int]:
    """Fill empty tables with the visits of half a year before `end`; return how many rows each table got.

    Args:
        scale: 1 is the size of the real one.
        on_progress: told how many visits are written, and how many there will be.
    """
    random = Random(f"analytics {seed}")
    writer = _Writer(connection)
    actions = _compose_actions()
    writer.insert("log_action", _ACTION_COLUMNS, actions)
    total = max(20, round(VISITS * scale))
    begin, step = end - timedelta(days=_DAYS), timedelta(days=_DAYS) / total
    views = 0
    for first in range(0, total, _ROWS_PER_INSERT):
        numbers = range(first, min(first + _ROWS_PER_INSERT, total))
        visits: list[tuple[object, ...]] = []
        pages: list[tuple[object, ...]] = []
        for number in numbers:
            visit, viewed = _compose_visit(random, number + 1, begin + number * step, views)
            visits.append(visit)
            pages += viewed
            views += len(viewed)
        writer.insert("log_visit", _VISIT_COLUMNS, visits)
        writer.insert("log_link_visit_action", _VIEW_COLUMNS, pages)
        on_progress(numbers[-1] + 1, total)
    return {"matomo_log_action": len(actions), "matomo_log_visit": total, "matomo_log_link_visit_action": views}


def apply_day_of_visits(connection: Connection, seed: int, day: datetime) -> DayOfVisits:
    """Let a day pass: visits go on in place, new ones begin, pages are viewed that nobody viewed before.

    Args:
        day: midnight of the day, naive UTC; all times written are in its 24 hours.
    """
    random = Random(f"analytics {seed} {day}")
    writer = _Writer(connection)
    last_visit, last_view, last_action = writer.fetch_newest_keys()
    new = [
        _compose_action(last_action + 1, f"app.example/nouveautes/{day:%Y-%m-%d}", _URL),
        _compose_action(last_action + 2, f"Nouveautés du {day:%d/%m/%Y}", _TITLE),
    ]
    writer.insert("log_action", _ACTION_COLUMNS, new)
    views: list[tuple[object, ...]] = []
    continued = range(max(1, last_visit - 9), last_visit + 1)
    for idvisit in continued:
        moment = day + timedelta(minutes=random.randrange(30))
        key = last_view + len(views) + 1
        idvisitor = _visitor(idvisit)
        views.append(_compose_view(random, key, idvisit, idvisitor, moment, 7, 0, (last_action + 1, last_action + 2)))
        writer.execute(
            "UPDATE matomo_log_visit SET visit_last_action_time = %s, visit_total_actions = visit_total_actions + 1, "
            "visit_exit_idaction_url = %s, visit_exit_idaction_name = %s, last_idlink_va = %s, "
            "visit_total_time = TIMESTAMPDIFF(SECOND, visit_first_action_time, %s) WHERE idvisit = %s",
            (moment, last_action + 1, last_action + 2, key, moment, idvisit),
        )
    visits = []
    begun = max(5, last_visit // _DAYS)
    for number in range(1, begun + 1):
        moment = day + timedelta(hours=22) * (number / begun)
        visit, viewed = _compose_visit(random, last_visit + number, moment, last_view + len(views))
        visits.append(visit)
        views += viewed
    writer.insert("log_visit", _VISIT_COLUMNS, visits)
    writer.insert("log_link_visit_action", _VIEW_COLUMNS, views)
    return DayOfVisits(len(continued), begun, len(views), len(new))


class _Writer:
    """Inserts into the tables, many rows a statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        places = ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO matomo_{table} ({', '.join(columns)}) VALUES ({places})"
        with self._connection.cursor() as cursor:
            for first in range(0, len(rows), _ROWS_PER_INSERT):
                cursor.executemany(statement, rows[first : first + _ROWS_PER_INSERT])

    def execute(self, statement: str, values: Sequence[object]) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def fetch_newest_keys(self) -> tuple[int, int, int]:
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT coalesce(max(idvisit), 0) FROM matomo_log_visit), "
                "(SELECT coalesce(max(idlink_va), 0) FROM matomo_log_link_visit_action), "
                "(SELECT coalesce(max(idaction), 0) FROM matomo_log_action)"
            )
            visit, view, action = map(int, cursor.fetchone() or (0, 0, 0))
            return visit, view, action


def _compose_actions() -> list[tuple[object, ...]]:
    """Compose the texts: address and title of each page side by side, then events."""
    actions: list[tuple[object, ...]] = []
    for section in _SECTIONS:
        for page in range(_PAGES_PER_SECTION):
            slug = section.lower().replace("é", "e")
            actions.append(_compose_action(len(actions) + 1, f"app.example/{slug}/{page}", _URL))
            actions.append(_compose_action(len(actions) + 1, f"{section} {page} – SmartDiet", _TITLE))
    actions.append(_compose_action(len(actions) + 1, "Recette", _EVENT_CATEGORY))
    actions.append(_compose_action(len(actions) + 1, "Ajout aux favoris ♥", _EVENT_ACTION))
    return actions


def _compose_action(number: int, name: str, kind: int) -> tuple[object, ...]:
    return number, name, zlib.crc32(name.encode()), kind, _HTTPS if kind == _URL else None


def _compose_visit(
    random: Random, idvisit: int, begin: datetime, views_before: int
) -> tuple[tuple[object, ...], list[tuple[object, ...]]]:
    """Compose a visit and its page views, which are numbered from `views_before` on."""
    idvisitor = _visitor(idvisit)
    moment = begin.replace(microsecond=0)
    views: list[tuple[object, ...]] = []
    previous, spent = (0, 0), 0
    for position in range(1, random.choice((1, 2, 2, 3, 4, 6)) + 1):
        page = _pick_page(random)
        key = views_before + len(views) + 1
        views.append(_compose_view(random, key, idvisit, idvisitor, moment, position, spent, page, previous))
        previous, spent = page, random.randrange(5, 240)
        last, moment = moment, moment + timedelta(seconds=spent)
    first_page, last_page = (views[index][11:9:-1] for index in (0, -1))
    browser, engine, version = random.choice(_BROWSERS)
    system, release = random.choice(_SYSTEMS)
    city, country, region, latitude, longitude = random.choice(_PLACES)
    returning = random.random() < 0.6
    local = begin + timedelta(hours=2)
    visit = (
        idvisit, 1 if random.random() < 0.9 else 2, idvisitor, last, random.randbytes(8),
        bytes((81, 2, random.randrange(256), 0)),
        1, f"{random.getrandbits(96):024x}" if random.random() < 0.7 else None,
        begin.replace(microsecond=0), 0, int(random.random() < 0.05), int(returning),
        random.randrange(10_000_000) if returning else 0, random.randrange(2, 40) if returning else 1,
        first_page[1], first_page[0], last_page[1], last_page[0], len(views), len(views),
        int(random.random() < 0.1), random.choice(_SEARCHES) if random.random() < 0.2 else None,
        random.choice((1, 2, 3, 6)), "https://www.example.org/?q=é" if random.random() < 0.3 else None,
        random.choice(("fr", "fr-fr", "nl-be", "en")), engine, browser, version, 1, random.choice((0, 1, 2)), system,
        release, 0, f"{local:%H:%M:%S}", random.choice(("1920x1080", "390x844", "1366x768")), 1,
        int((last - begin).total_seconds()) if last > begin else 0, city, country, latitude, longitude, region,
        views[-1][0], random.choice(("starter", "premium", None)),
    )  # fmt: skip
    return visit, views


def _compose_view(
    random: Random,
    key: int,
    idvisit: int,
    idvisitor: bytes,
    moment: datetime,
    position: int,
    spent: int,
    page: tuple[int, int],
    previous: tuple[int, int] = (0, 0),
) -> tuple[object, ...]:
    event = random.random() < 0.05
    events = len(_SECTIONS) * _PAGES_PER_SECTION * 2
    timings = [random.randrange(1, 900) for _ in range(6)]
    return (
        key, 1, idvisitor, idvisit, previous[0], previous[1] or None, round(random.random() * 10, 2) if event else None,
        position, moment, f"{random.getrandbits(24):06x}", page[1], page[0],
        random.choice(_SEARCHES) if random.random() < 0.02 else None, None, spent, events + 2 if event else None,
        events + 1 if event else None, *timings, random.randrange(300),
    )  # fmt: skip


def _pick_page(random: Random) -> tuple[int, int]:
    """Pick a page, the first ones more often; the numbers of its address and its title."""
    page = min(int(random.expovariate(1 / 40)), len(_SECTIONS) * _PAGES_PER_SECTION - 1)
    return 2 * page + 1, 2 * page + 2


def _visitor(idvisit: int) -> bytes:
    """Eight bytes that stand for a visitor, who has three visits on average."""
    return zlib.crc32(b"%d" % (idvisit // 3)).to_bytes(8, "big")
