"""The company's plan: how many documents there are, their ids, their dates, and who belongs to whom.

Here: pure arithmetic on (seed, scale, number). Any document's id is computed, never remembered: a child can point at
its parent while memory stays flat at every scale.
"""

import hashlib
import struct

from bson import ObjectId

from smartdiet_assets.demo.company.clock import (
    BEGIN,
    DAY_MS,
    END,
    IMPORTED_AT,
    LAST_COACHING_DAY,
    milliseconds,
)

#: Documents per collection at scale 1, and the least a company needs to have every table filled. The others
#: follow from these: questions and free answers from `userquizzs`, appointments from `coachings`, meals from
#: `events`.
COUNTS: dict[str, tuple[int, int]] = {
    "appointmenttypes": (30, 3),
    "categories": (25, 6),
    "targets": (150, 18),
    "companies": (300, 4),
    "offers": (400, 4),
    "ingredients": (900, 6),
    "recipes": (1_200, 12),
    "quizzquestions": (900, 24),
    "quizzs": (120, 8),
    "templateitems": (2_500, 12),
    "contents": (1_500, 8),
    "events": (800, 20),
    "users": (60_000, 60),
    "coachings": (15_000, 20),
    "periods": (20_000, 24),
    "days": (280_000, 336),
    "coachinglogbooks": (563_086, 700),
    "userquizzs": (620_000, 790),
    "messages": (150_000, 150),
}

_TAGS = {
    name: number
    for number, name in enumerate(
        [
            *COUNTS, "userquizzquestions", "items", "menurecipes", "appointments",
            "keys", "conversations", "groups", "packs", "instruments", "networks", "documents",
            "subdocuments",
        ],
        start=1,
    )
}  # fmt: skip
#: Numbers from here on are of dangling references, bad documents and documents of a later day.
DANGLING, BAD, LATER = 0xD000_0000, 0xB000_0000, 0x8000_0000

_ID = struct.Struct(">I3sBI")

# How things are spread, as repeating patterns, so that an index alone tells a parent.
QUESTIONS_OF_QUIZZ = (3, 4, 5, 5, 5, 6, 6, 5)
_QUESTIONS_BEFORE = tuple(sum(QUESTIONS_OF_QUIZZ[:i]) for i in range(len(QUESTIONS_OF_QUIZZ)))
LOGBOOKS_OF_DAY = (1, 2, 3, 1, 4, 2, 1, 2)
_LOGBOOKS_BEFORE = tuple(sum(LOGBOOKS_OF_DAY[:i]) for i in range(len(LOGBOOKS_OF_DAY)))
_LOGBOOKS_PER_BLOCK = sum(LOGBOOKS_OF_DAY)
_DAY_OF_LOGBOOK = tuple(day for day, count in enumerate(LOGBOOKS_OF_DAY) for _ in range(count))
APPOINTMENTS_OF_COACHING = (4, 5, 3, 4, 6, 4, 5, 2)
#: Three coachings have four periods.
_COACHING_OF_PERIOD, _ORDER_OF_PERIOD = (0, 1, 2, 2), (1, 1, 1, 2)
DAYS_OF_PERIOD = 14
MEALS_OF_MENU = 14


_BEGIN_MS, _END_MS = milliseconds(BEGIN), milliseconds(END)
_IMPORTED_MS = milliseconds(IMPORTED_AT)
_COACHING_SPAN_MS = milliseconds(LAST_COACHING_DAY) - _BEGIN_MS


class Plan:
    """A company of one seed and scale. All methods are pure."""

    def __init__(self, seed: int, scale: float) -> None:
        """Raises ValueError for a scale that is not above 0."""
        if not scale > 0:
            raise ValueError("scale must be above 0")
        self.seed = seed
        self.scale = scale
        self.counts = {name: max(least, round(full * scale)) for name, (full, least) in COUNTS.items()}
        self._mark = hashlib.sha256(str(seed).encode()).digest()[:3]
        self._offset = int.from_bytes(self._mark, "big")
        days_with_logbooks = self.counts["coachinglogbooks"] * len(LOGBOOKS_OF_DAY) // _LOGBOOKS_PER_BLOCK + 1
        self._days_per_coaching = -(-days_with_logbooks // self.counts["coachings"])

    @property
    def expected_documents(self) -> int:
        """Estimate the number of documents, to a few percent: exact numbers would take generating them."""
        questions = self.questions_of(self.counts["userquizzs"] - 1).stop
        appointments = self.counts["coachings"] * 37 // 10
        meals = self.counts["events"] // 5 * MEALS_OF_MENU
        free_answers = questions // 15
        return sum(self.counts.values()) + questions + appointments + meals + free_answers

    # ---------------------------------------------------------------- ids and dates

    def make_id(self, collection: str, index: int, created_ms: int) -> ObjectId:
        """Make the id of a document from its number and the moment it was created."""
        return ObjectId(_ID.pack(created_ms // 1000, self._mark, _TAGS[collection], index))

    def created_ms(self, collection: str, index: int) -> int:
        """Tell when a document was created: the first third by the bulk import, the others evenly after."""
        count = self.counts[collection]
        imported = count // 3
        if index < imported:
            return _IMPORTED_MS
        return _BEGIN_MS + (index - imported) * (_END_MS - _BEGIN_MS) // (count - imported) + index * 7919 % 997

    def id_of(self, collection: str, index: int) -> ObjectId:
        """Give the id of a document of a collection that `created_ms` knows."""
        return self.make_id(collection, index, self.created_ms(collection, index))

    def dangling_id(self, collection: str, number: int) -> ObjectId:
        """Give one of 16 ids nothing has: the reference dangles until a later day brings the document."""
        return self.make_id(collection, DANGLING + number % 16, _BEGIN_MS)

    def foreign_id(self, kind: str, index: int) -> ObjectId:
        """Give an id in a collection the company does not include (`keys`, `conversations`, …)."""
        return self.make_id(kind, index, _BEGIN_MS)

    def spread(self, number: int, count: int) -> int:
        """Choose one of `count` for a number: the same for the same seed, and spread evenly."""
        return ((number + 1) * 2_654_435_761 + self._offset) % 4_294_967_291 % count

    # ---------------------------------------------------------------- people

    @staticmethod
    def role_of(user: int) -> str:
        """Give a user's role: 98 % customers, 1 % external dietitians, the rest staff."""
        place = user % 100
        if place == 7:
            return "EXTERNAL_DIET"
        if place == 11:
            return ("DIET", "RH", "ADMIN", "SUPPORT", "SUPER_ADMIN")[user // 100 % 5]
        return "CUSTOMER"

    def customer(self, number: int, among: int | None = None) -> int:
        """Choose a customer for a number, from the first `among` users."""
        user = self.spread(number, max(1, min(among or self.counts["users"], self.counts["users"])))
        return user - 1 if user % 100 in (7, 11) else user

    def dietitian(self, number: int) -> int:
        """Choose an external dietitian for a number."""
        return self.spread(number, (self.counts["users"] + 92) // 100) * 100 + 7

    # ---------------------------------------------------------------- coachings

    def coaching_created_ms(self, coaching: int) -> int:
        since = coaching * _COACHING_SPAN_MS // self.counts["coachings"]
        return _BEGIN_MS + since + coaching * 7919 % DAY_MS

    def coaching_id(self, coaching: int) -> ObjectId:
        return self.make_id("coachings", coaching, self.coaching_created_ms(coaching))

    def coaching_user(self, coaching: int) -> int:
        """Choose whom a coaching is for: someone registered before it, as users are numbered by time."""
        users, coachings = self.counts["users"], self.counts["coachings"]
        return self.customer(coaching, (coaching + 1) * users // coachings)

    @staticmethod
    def coaching_started(coaching: int) -> bool:
        """Tell whether a coaching has appointments and quizzes; one in ten has not."""
        return coaching % 10 != 3

    def coaching_day(self, coaching: int) -> int:
        """Give the first day of a coaching's programme, in days since 1970."""
        return self.coaching_created_ms(coaching) // DAY_MS + 3

    def period_of(self, period: int) -> tuple[int, int]:
        """Give a period's coaching and its rank in it, from 1."""
        block, place = divmod(period, 4)
        return (block * 3 + _COACHING_OF_PERIOD[place]) % self.counts["coachings"], _ORDER_OF_PERIOD[place]

    def period_day(self, period: int) -> int:
        coaching, order = self.period_of(period)
        return self.coaching_day(coaching) + (order - 1) * DAYS_OF_PERIOD

    def period_id(self, period: int) -> ObjectId:
        return self.make_id("periods", period, (self.period_day(period) - 1) * DAY_MS)

    # ---------------------------------------------------------------- logbooks and quizzes of users

    def logbook(self, logbook: int) -> tuple[int, int, int]:
        """Give a logbook's coaching, its day (days since 1970) and the moment it was filled (ms)."""
        block, place = divmod(logbook, _LOGBOOKS_PER_BLOCK)
        group = block * len(LOGBOOKS_OF_DAY) + _DAY_OF_LOGBOOK[place]
        coaching, offset = divmod(group, self._days_per_coaching)
        coaching = min(coaching, self.counts["coachings"] - 1)
        day = self.coaching_day(coaching) + offset
        # Some logbooks of a day are saved at the same millisecond: then the ids decide which one is shown.
        morning = day * DAY_MS + 28_800_000
        return coaching, day, morning + (0 if logbook % 5 < 2 else place * 1_800_000 + logbook % 59_999)

    def logbooks_on(self, coaching: int, offset: int) -> range:
        """Give the logbooks of a coaching on the day `offset` days after its start."""
        group = coaching * self._days_per_coaching + offset % self._days_per_coaching
        block, place = divmod(group, len(LOGBOOKS_OF_DAY))
        first = block * _LOGBOOKS_PER_BLOCK + _LOGBOOKS_BEFORE[place]
        count = self.counts["coachinglogbooks"]
        return range(min(first, count), min(first + LOGBOOKS_OF_DAY[place], count))

    def quizz_kind(self, quizz: int) -> tuple[str, int]:
        """Give what a user's quiz is for (LOGBOOK, ASSESSMENT, PROGRESS, IMPACT), and the number of that."""
        logbooks, coachings = self.counts["coachinglogbooks"], self.counts["coachings"]
        for kind, count in (("LOGBOOK", logbooks), ("ASSESSMENT", coachings), ("PROGRESS", coachings)):
            if quizz < count:
                return kind, quizz
            quizz -= count
        return "IMPACT", quizz

    def quizz_created_ms(self, quizz: int) -> int:
        kind, number = self.quizz_kind(quizz)
        if kind == "LOGBOOK":
            return self.logbook(number)[2]
        if kind == "IMPACT":
            return _BEGIN_MS + self.spread(number, _COACHING_SPAN_MS)
        return self.coaching_created_ms(number) + 60_000

    def quizz_id(self, quizz: int) -> ObjectId:
        return self.make_id("userquizzs", quizz, self.quizz_created_ms(quizz))

    def assessment_of(self, coaching: int) -> int:
        return self.counts["coachinglogbooks"] + coaching

    def progress_of(self, coaching: int) -> int:
        return self.counts["coachinglogbooks"] + self.counts["coachings"] + coaching

    def impact_quizz(self, number: int) -> int:
        """Choose one of the quizzes that belong to no logbook and are no assessment or progress."""
        first = self.counts["coachinglogbooks"] + 2 * self.counts["coachings"]
        return first + number % (self.counts["userquizzs"] - first)

    @staticmethod
    def questions_of(quizz: int) -> range:
        """Give the numbers of the questions of a user's quiz."""
        block, place = divmod(quizz, len(QUESTIONS_OF_QUIZZ))
        first = block * sum(QUESTIONS_OF_QUIZZ) + _QUESTIONS_BEFORE[place]
        return range(first, first + QUESTIONS_OF_QUIZZ[place])
