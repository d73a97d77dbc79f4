"""The company's coachings and their course: appointments, periods, days and logbooks."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

from smartdiet_assets.demo.company.catalogue import template_for
from smartdiet_assets.demo.company.clock import DAY_MS, EPOCH, local_midnight, moment
from smartdiet_assets.demo.company.people import DANGLING_SHARE
from smartdiet_assets.demo.company.plan import APPOINTMENTS_OF_COACHING, DAYS_OF_PERIOD, Plan
from smartdiet_assets.demo.company.shapes import add_dates, set_array, some_ids
from smartdiet_assets.schema.documents import Document

STATUSES = ("STARTED", "FINISHED", "DROPPED", "STOPPED")


def describe_coachings(plan: Plan, rng: Random, defects: bool) -> Iterator[Document]:
    for number in range(plan.counts["coachings"]):
        created = plan.coaching_created_ms(number)
        started = plan.coaching_started(number)
        offer: object = plan.id_of("offers", plan.spread(number, plan.counts["offers"]))
        document: Document = {
            "_id": plan.make_id("coachings", number, created),
            "user": plan.id_of("users", plan.coaching_user(number)),
            # Raw writes left references as text.
            "offer": str(offer) if number % 300 == 4 else offer,
            "status": "COACHING_STATUS_" + (STATUSES[number % 4] if started else "NOT_STARTED"),
            "source": "SOURCE_CALL" if number % 4 == 1 else "SOURCE_APPLICATION",
            "dummy": 0,
        }
        if defects and number % 500 == 12:
            document["user"] = plan.dangling_id("users", number)
        if started or number % 20 == 3:
            # A dietitian's account is deleted when she leaves.
            left = defects and rng.random() < 0.04
            document["diet"] = plan.dangling_id("users", 15) if left else plan.id_of("users", plan.dietitian(number))
        if started:
            document["assessment_quizz"] = plan.quizz_id(plan.assessment_of(number))
            document["progress"] = plan.quizz_id(plan.progress_of(number))
            document["mode"] = "COACHING_MODE_STRICT"
            document["food_program"] = f"/doc/f{number}.pdf"
            set_array(rng, document, "food_documents", [plan.foreign_id("documents", number % 5)][: number % 2])
        if number % 6 == 2:
            document["pack"] = plan.foreign_id("packs", number % 5)
        if number % 4 == 1:
            impact = plan.impact_quizz(number)
            document["impact_quizz"] = plan.quizz_id(impact)
            document["quizz"] = [document["impact_quizz"]]
            document["quizz_templates"] = [plan.id_of("quizzs", template_for(plan, *plan.quizz_kind(impact)))]
        set_array(rng, document, "reasons", some_ids(plan, rng, "targets", 4))
        health = some_ids(plan, rng, "targets", 2)
        if health and number % 10 == 7:
            document["health_reason"] = health[0]
        else:
            set_array(rng, document, "health_reasons" if number % 10 == 8 else "health_reason", health)
        yield add_dates(rng, document, created)


def describe_appointments(plan: Plan, rng: Random, defects: bool) -> Iterator[Document]:
    types = plan.counts["appointmenttypes"]
    number = 0
    for coaching in range(plan.counts["coachings"]):
        if not plan.coaching_started(coaching):
            continue
        created = plan.coaching_created_ms(coaching)
        user: object = plan.id_of("users", plan.coaching_user(coaching))
        diet = plan.id_of("users", plan.dietitian(coaching))
        for order in range(1, APPOINTMENTS_OF_COACHING[coaching % 8] + 1):
            booked = created + (order - 1) * 12 * DAY_MS
            start = moment((booked // DAY_MS + 3) * DAY_MS) + timedelta(minutes=7 * 60 + 15 * rng.randrange(44))
            document: Document = {
                "_id": plan.make_id("appointments", number, booked),
                "coaching": plan.coaching_id(coaching),
                "diet": diet,
                "appointment_type": plan.id_of("appointmenttypes", (coaching * 3 + (order > 1)) % types),
                "start_date": start,
                "end_date": start + timedelta(minutes=45),
                "smartagenda_id": str(100_000 + number),
            }
            # Early documents have neither a user nor a rank.
            if number % 20 != 13:
                dangling = defects and rng.random() < DANGLING_SHARE
                document["user"] = plan.dangling_id("users", number) if dangling else user
                document["order"] = float(order) if number % 33 == 6 else order
            if number % 4 != 2:
                document["validated"] = number % 9 != 0
            if order > 1:
                document["progress"] = plan.quizz_id(plan.progress_of(coaching))
                document["note"], document["synthesis"] = "Va mieux.\nContinuer.", "Bonne progression"
                document["visio_url"] = f"https://visio.example/{number}"
            logbooks = [template_for(plan, "LOGBOOK", coaching)]
            set_array(rng, document, "logbooks", [plan.id_of("quizzs", quizz) for quizz in logbooks])
            questions = [plan.id_of("quizzquestions", question) for question in range(order % 3)]
            set_array(rng, document, "objectives", questions)
            followed = plan.questions_of(plan.progress_of(coaching))[: order % 3]
            made = plan.quizz_created_ms(plan.progress_of(coaching))
            objectives = [plan.make_id("userquizzquestions", question, made) for question in followed]
            set_array(rng, document, "user_objectives", objectives)
            number += 1
            yield add_dates(rng, document, booked)


def describe_periods(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["periods"]):
        coaching, order = plan.period_of(number)
        yield add_dates(rng, {
            "_id": plan.period_id(number),
            "coaching": plan.coaching_id(coaching),
            "number_of_days": float(DAYS_OF_PERIOD) if number % 19 == 4 else DAYS_OF_PERIOD,
            "order": order,
            "status": ("active", "done", "paused")[number % 3],
        }, (plan.period_day(number) - 1) * DAY_MS)  # fmt: skip


def describe_days(plan: Plan, rng: Random, defects: bool) -> Iterator[Document]:
    periods = plan.counts["periods"]
    for number in range(plan.counts["days"]):
        period, offset = divmod(number, DAYS_OF_PERIOD)
        period = min(period, periods - 1)
        day = plan.period_day(period) + offset
        created = (plan.period_day(period) - 1) * DAY_MS + 3_600_000
        document: Document = {
            "_id": plan.make_id("days", number, created),
            "period": plan.period_id(period),
            # Most are local midnights; some were written as UTC midnights. Both mean the same day in Paris.
            "date": EPOCH + timedelta(days=day) if number % 10 == 9 else local_midnight(day),
        }
        if number % 7 != 6:
            document["is_success"] = number % 3 != 0 if number % 11 else None
        if number % 10 == 0:
            document["userQuizz"] = plan.quizz_id(plan.impact_quizz(number // 10))
        chosen = some_ids(plan, rng, "contents", 3)
        if defects and rng.random() < DANGLING_SHARE:
            chosen.append(plan.dangling_id("contents", number))
        set_array(rng, document, "contents", chosen)
        coaching, order = plan.period_of(period)
        logbooks = plan.logbooks_on(coaching, (order - 1) * DAYS_OF_PERIOD + offset)
        set_array(rng, document, "main_logbooks", [plan.quizz_id(logbook) for logbook in logbooks[: number % 4]])
        yield add_dates(rng, document, created)


def describe_coachinglogbooks(plan: Plan, rng: Random, defects: bool) -> Iterator[Document]:
    """Describe the logbooks: one to four a day and user, in streaks; 1.4 % have no user."""
    for number in range(plan.counts["coachinglogbooks"]):
        coaching, day, created = plan.logbook(number)
        dangling = defects and rng.random() < DANGLING_SHARE
        document: Document = {
            "_id": plan.make_id("coachinglogbooks", number, created),
            "coaching": plan.dangling_id("coachings", number) if dangling else plan.coaching_id(coaching),
            "day": local_midnight(day),
            "logbook": plan.make_id("userquizzs", number, created),
        }
        if number % 71 != 5:
            document["user"] = plan.id_of("users", plan.coaching_user(coaching))
        elif number % 2:
            document["user"] = None
        yield add_dates(rng, document, created)
