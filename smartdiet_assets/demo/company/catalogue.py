"""The company's reference data: what the application's editors maintain."""

from collections.abc import Iterator
from random import Random

from bson import Int64

from smartdiet_assets.demo.company import words
from smartdiet_assets.demo.company.clock import moment
from smartdiet_assets.demo.company.plan import Plan
from smartdiet_assets.demo.company.shapes import add_dates, entity, set_array, some_ids
from smartdiet_assets.schema.documents import Document

CATEGORY_TYPES = ("OBJECTIVE", "SPECIFICITY", "ACTIVITY", "HOME", "HEALTH", "COACHING")
#: The kinds of quiz; of eight templates the first four are of the first four kinds, the others for patients.
QUIZZ_TYPES = ("LOGBOOK", "ASSESSMENT", "PROGRESS", "IMPACT", "PATIENT")
NUTRIENTS = (
    "calories", "proteins", "lipids", "glucids", "fibers", "vitamin_A", "vitamin_C", "vitamin_D", "vitamin_E",
    "vitamin_K", "calcium", "magnésium", "iron", "phosphore", "zinc", "sélénium", "copper",
)  # fmt: skip
#: Answer kinds by question number; single choices and scales are the most frequent.
QUESTION_TYPES = (
    "BOOLEAN", "SCALE_1_10", "ENUM_SINGLE", "NUMERIC", "TEXT", "ENUM_SINGLE", "SCALE_1_10", "ENUM_MULTIPLE",
    "BOOLEAN", "NUMERIC", "TEXT_MULTIPLE", "DOCUMENT",
)  # fmt: skip


def question_type(question: int) -> str:
    return QUESTION_TYPES[question % len(QUESTION_TYPES)]


def questions_of_template(plan: Plan, quizz: int) -> list[int]:
    """List the numbers of a template's 8 questions; neighbouring templates share some."""
    count = plan.counts["quizzquestions"]
    return [(quizz * 7 + place) % count for place in range(min(8, count))]


def template_for(plan: Plan, kind: str, number: int) -> int:
    """Choose the template a user's quiz of a kind is cloned from."""
    count = plan.counts["quizzs"]
    return (number % max(1, count // 8) * 8 + QUIZZ_TYPES.index(kind)) % count


def describe_appointmenttypes(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["appointmenttypes"]):
        title = ("Bilan", "Suivi", "Conseil nutrition")[number % 3]
        yield entity(plan, rng, "appointmenttypes", number, {
            "title": f"{title} {15 + number // 3 * 5 % 60} minutes",
            "duration": 15 + number // 3 * 5 % 60,
            "smartagenda_id": str(1_000 + number),
        })  # fmt: skip


def describe_categories(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["categories"]):
        document = {"name": f"Catégorie {number + 1}", "picture": f"/img/c{number}.png", "order": number}
        if number % 12 != 11:
            document["type"] = CATEGORY_TYPES[number % 6]
        yield entity(plan, rng, "categories", number, document)


def describe_targets(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["targets"]):
        yield entity(plan, rng, "targets", number, {
            "name": f"{words.GOALS[number % len(words.GOALS)]} {number // len(words.GOALS) + 1}",
            "category": plan.id_of("categories", number % plan.counts["categories"]),
            "picture": f"/img/t{number}.png",
            "dummy": 0,
        })  # fmt: skip


def describe_companies(plan: Plan, rng: Random) -> Iterator[Document]:
    types = plan.counts["appointmenttypes"]
    for number in range(plan.counts["companies"]):
        name = f"{words.COMPANIES[number % 8]} {words.PLACES[number // 8 % 8]} {number}"
        size = rng.randrange(5, 20_000)
        document: Document = {
            "name": name if number else "Particuliers",
            "activity": f"COMPANY_ACTIVITY_{words.ACTIVITIES[number % 6]}",
            # Imports left other number types than the application's own writes.
            "size": Int64(size) if number % 9 == 2 else float(size) if number % 9 == 5 else size,
            "code": f"CODE{number:04d}",
            "siret": f"{number:014d}",
            "picture": f"/img/e{number}.png",
            "registration_integrity": number % 4 == 0,
            "assessment_appointment_type": plan.id_of("appointmenttypes", number * 3 % types),
            "followup_appointment_type": plan.id_of("appointmenttypes", (number * 3 + 1) % types),
            "pack_discount": rng.randrange(0, 50) / 100,
        }
        if number % 10 == 3:
            document["parent"] = plan.id_of("companies", number // 2)
        set_array(rng, document, "reasons", some_ids(plan, rng, "targets", 4))
        yield entity(plan, rng, "companies", number, document)


def describe_offers(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["offers"]):
        created = moment(plan.created_ms("offers", number))
        duration = rng.choice((90, 180, 365, 730))
        document: Document = {
            "name": f"Offre {('Essentielle', 'Sérénité', 'Complète')[number % 3]} {number}",
            "duration": float(duration) if number % 7 == 4 else duration,
            "price": rng.randrange(1_000, 90_000) / 100,
            "validity_start": created,
            "coaching_credit": rng.randrange(0, 12),
            "nutrition_credit": rng.randrange(0, 6),
            "company": plan.id_of("companies", number % plan.counts["companies"]),
            "assessment_quizz": plan.id_of("quizzs", template_for(plan, "ASSESSMENT", number)),
            "impact_quizz": plan.id_of("quizzs", template_for(plan, "IMPACT", number)),
        }
        for kind in ("webinars", "infographies", "articles", "podcasts", "video", "groups"):
            document[f"{kind}_unlimited"] = unlimited = rng.random() < 0.4
            if not unlimited:
                document[f"{kind}_credit"] = rng.randrange(1, 30)
        yield entity(plan, rng, "offers", number, document)


def describe_ingredients(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["ingredients"]):
        yield entity(plan, rng, "ingredients", number, {
            "name": f"{words.FOODS[number % 16]} {number // 16 + 1}",
            "unit": words.UNITS[number % 8],
            "picture": f"/img/i{number}.png",
        })  # fmt: skip


def describe_recipes(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["recipes"]):
        document: Document = {
            "name": f"{words.DISHES[number % 8]} : {words.FOODS[number // 8 % 16].lower()} n° {number}",
            "duration": rng.choice((15, 20, 22.5, 45, 60)),
            "description": "Pour quatre personnes 🍲",
            "source": "Le carnet de l'équipe",
            "picture": f"/img/r{number}.png",
            "making_duration": 10,
            "cooking_duration": 12.5,
            "steps": "Laver.\nCouper.\nCuire.",
            "nutriscore": f"NUTRISCORE_{'ABCDE'[number % 5]}",
            "ecoscore": f"ECOSCORE_{'ABCDE'[number // 5 % 5]}",
            "season": ("HIVER", "PRINTEMPS", "ETE", "AUTOMNE")[number % 4],
            "targets": plan.id_of("targets", number % plan.counts["targets"]),
        }
        for nutrient in NUTRIENTS:
            if rng.random() < 0.8:
                document[nutrient] = f"{rng.randrange(1, 900)} mg"
        instruments = [plan.foreign_id("instruments", rng.randrange(40)) for _ in range(rng.randrange(4))]
        set_array(rng, document, "instruments", instruments)
        yield entity(plan, rng, "recipes", number, document)


def describe_quizzquestions(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["quizzquestions"]):
        kind = question_type(number)
        document: Document = {
            "title": f"{words.QUESTIONS[number % 8]} ({number})",
            "type": f"QUIZZ_QUESTION_TYPE_{kind}",
            "category": ("REPAS", "SOMMEIL", "HUMEUR")[number % 3],
            "synthesis_label": f"Q{number}",
        }
        if kind == "ENUM_SINGLE":
            document["correct_answer"] = plan.id_of("templateitems", number % plan.counts["templateitems"])
            document["success_message"], document["error_message"] = "Bravo !", "Pas tout à fait."
        if number % 7 == 2:
            document["enum_values"] = list(words.ANSWERS[:3])
        if number % 15 == 4:
            document["diet_private"] = plan.id_of("users", plan.dietitian(number))
        elif number % 15 == 9:
            document["diet_private"] = False
        yield entity(plan, rng, "quizzquestions", number, document)


def describe_quizzs(plan: Plan, rng: Random) -> Iterator[Document]:
    for number in range(plan.counts["quizzs"]):
        kind = QUIZZ_TYPES[min(number % 8, 4)]
        document: Document = {
            "name": f"Questionnaire {kind.lower()} {number}",
            "type": f"QUIZZ_TYPE_{kind}",
            "key": plan.foreign_id("keys", number % 7),
            "default": number % 3 == 0,
        }
        asked = [] if number % 8 == 7 else questions_of_template(plan, number)
        set_array(rng, document, "questions", [plan.id_of("quizzquestions", question) for question in asked])
        yield entity(plan, rng, "quizzs", number, document)


def describe_template_items(plan: Plan, rng: Random) -> Iterator[Document]:
    """Describe the choices of template questions; they live in `items` beside the users' free answers."""
    for number in range(plan.counts["templateitems"]):
        created = plan.created_ms("templateitems", number)
        document: Document = {
            "_id": plan.make_id("templateitems", number, created),
            "text": f"{words.ANSWERS[number % 8]} ({number})",
            "quizzQuestion": plan.id_of("quizzquestions", number % plan.counts["quizzquestions"]),
        }
        if number % 5 == 0:
            document["description"], document["picture"] = "Choix proposé par l'équipe", f"/img/q{number}.png"
            document["updated_by"] = plan.id_of("users", plan.dietitian(number))
        yield add_dates(rng, document, created)
