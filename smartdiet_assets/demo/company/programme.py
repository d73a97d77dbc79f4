"""The company's programme: what users read, attend and cook."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

from smartdiet_assets.demo.company import words
from smartdiet_assets.demo.company.clock import DAY_MS, local_midnight, moment
from smartdiet_assets.demo.company.plan import MEALS_OF_MENU, Plan
from smartdiet_assets.demo.company.shapes import add_dates, entity, set_array, some_ids
from smartdiet_assets.schema.documents import Document

#: The shares of the kinds of event: 60 % webinars, 15 % individual and 5 % collective challenges, 20 % menus.
_EVENT_KINDS = "wmwiwmwcwiwmwwiwmwww"
_KIND_NAMES = {"w": "webinar", "i": "individualChallenge", "c": "collectiveChallenge", "m": "menu"}


def event_kind(event: int) -> str:
    return _KIND_NAMES[_EVENT_KINDS[event % 20]]


def describe_contents(plan: Plan, rng: Random) -> Iterator[Document]:
    """Describe the contents; how often one is read follows Zipf's law, and one in twenty is never read."""
    users = plan.counts["users"]
    count = plan.counts["contents"]
    for number in range(count):
        document: Document = {
            "creator": plan.id_of("users", plan.dietitian(number)),
            "name": f"{words.TOPICS[number % 6]} {number}" + (" 🍎" if number % 11 == 6 else ""),
            "type": ("ARTICLE", "VIDEO", "INFOGRAPHY", "PODCAST", "DOCUMENT")[number % 5],
            "contents": "<p>Un peu de tout, un peu de chaque.</p>",
            "picture": f"/img/a{number}.png",
            "duration": rng.randrange(1, 30),
            "key": plan.foreign_id("keys", number % 7),
            "default": number % 2 == 0,
            "active": number % 13 != 0,
            "dummy": 0,
        }
        rank = plan.spread(number, count) + 1
        reads = 0 if number % 20 == 5 else min(users, int(users / 3 / rank**0.94) + rng.randrange(3))
        readers = [plan.id_of("users", user) for user in rng.sample(range(users), reads)]
        set_array(rng, document, "viewed_by", readers)
        if number % 5:
            document["url"] = f"https://contenus.example/{number}"
        else:
            document["extra_url"], document["source"] = "https://ailleurs.example/", "Une revue"
        set_array(rng, document, "linked_contents", some_ids(plan, rng, "contents", 3))
        for field in ("likes", "pins", "shares"):
            set_array(rng, document, field, readers[: rng.randrange(4)])
        set_array(rng, document, "targets", some_ids(plan, rng, "targets", 3))
        yield entity(plan, rng, "contents", number, document)


def describe_events(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["events"]):
        kind = event_kind(number)
        created = plan.created_ms("events", number)
        start = moment(created) + timedelta(days=20, minutes=rng.randrange(600))
        document: Document = {"__t": kind, "name": f"{kind} {number}", "picture": "/img/v.png"}
        document["description"] = "Ouvert à tout le monde 🌱"
        if kind == "menu":
            monday = created // DAY_MS + 21
            monday -= (monday + 3) % 7
            document["start_date"], document["end_date"] = local_midnight(monday), local_midnight(monday + 7)
            document["shopping_list"] = [{"name": words.FOODS[number % 16], "quantity": 2.5}, {"name": "Sel"}]
            document["document"] = f"/doc/m{number}.pdf"
            set_array(rng, document, "targets", some_ids(plan, rng, "targets", 3))
        # Later webinars and challenges lack their dates.
        elif number % 6 != 2:
            document["start_date"], document["end_date"] = start, start + timedelta(minutes=45)
        if kind == "webinar":
            document["url"], document["animator"] = f"https://direct.example/{number}", "Une diététicienne"
            set_array(rng, document, "companies", some_ids(plan, rng, "companies", 5))
        elif kind == "individualChallenge":
            document.update(
                hardness=("EASY", "HARD")[number % 2], trick="Une chose à la fois",
                success_message="Bravo 🎉", fail_message="La prochaine fois !",
                trophy_on_picture="/img/on.png", trophy_off_picture="/img/off.png",
                spoons_count_for_trophy=1 + number % 5,
            )  # fmt: skip
        elif kind == "collectiveChallenge":
            document["spoons"] = 10 * (1 + number % 5)
            document["company"] = plan.id_of("companies", number % plan.counts["companies"])
        yield entity(plan, rng, "events", number, document)


def describe_menurecipes(plan: Plan, rng: Random) -> Iterator[Document]:
    """Describe the meals of the menus: 14 each, and some recipes twice in one menu."""
    recipes = plan.counts["recipes"]
    number = 0
    for event in range(plan.counts["events"]):
        if event_kind(event) != "menu":
            continue
        created = plan.created_ms("events", event)
        chosen = [rng.randrange(recipes) for _ in range(MEALS_OF_MENU - 2)]
        for meal in range(MEALS_OF_MENU):
            document: Document = {
                "_id": plan.make_id("menurecipes", number, created),
                "menu": plan.make_id("events", event, created),
                "recipe": plan.id_of("recipes", chosen[meal % len(chosen)]),
                "day": str(meal // 2),
                "period": str(meal % 2),
            }
            number += 1
            yield add_dates(rng, document, created)
