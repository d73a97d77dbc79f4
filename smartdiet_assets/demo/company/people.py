"""The company's people: users (customers, dietitians, staff) and the messages between them.

Everyone is invented.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from bson import ObjectId

from smartdiet_assets.demo.company import words
from smartdiet_assets.demo.company.clock import PARIS, moment
from smartdiet_assets.demo.company.plan import Plan
from smartdiet_assets.demo.company.shapes import add_dates, choose_some, set_array, some_ids
from smartdiet_assets.schema.documents import Document

EVENT_ARRAYS = ("passed_events", "skipped_events", "failed_events", "routine_events", "replayed_events")
#: One reference in 200 dangles.
DANGLING_SHARE = 0.005


def describe_user(plan: Plan, rng: Random, number: int, user_id: ObjectId, created_ms: int) -> Document:
    """Describe a user without arrays and dates."""
    role = plan.role_of(number)
    firstname, lastname = rng.choice(words.FIRSTNAMES), rng.choice(words.LASTNAMES)
    document: Document = {
        "_id": user_id,
        "firstname": firstname,
        "lastname": lastname,
        "email": f"personne{number}@{words.EMAIL_DOMAINS[number % 3]}",
        "role": role,
        "pseudo": f"{firstname[0]}{lastname[:2]}".upper(),
        # Never mirrored; here so that a test can prove it.
        "password": "$2b$10$inventedinventedinventedinventedinventedinventedinve",
        "active": number % 17 != 0,
        "cguAccepted": True,
        "dataTreatmentAccepted": True,
        "dummy": 0,
    }
    if number % 6 == 1:
        document["picture"] = f"/img/u{number}.png"
    if number % 5 < 3:
        document["phone"] = f"+336{number:08d}"[:12]
    if number % 4 != 3:
        document["birthdate" if number % 8 == 2 else "birthday"] = _birthday(rng)
    if role == "CUSTOMER":
        document["company"] = plan.id_of("companies", plan.spread(number, plan.counts["companies"]))
        document["gender"] = ("FEMALE", "MALE", "FEMALE", "NON_BINARY")[number % 4]
        document["height"] = 150 + number % 45 + (0.5 if number % 10 == 1 else 0)
        document["child_count"] = float(number % 4) if number % 13 == 2 else number % 4
        document["last_activity"] = moment(created_ms + rng.randrange(86_400_000))
        if number % 3 == 1:
            document["company_code"] = f"CODE{number % 300:04d}"
            document.update(insurer=f"Assureur {number % 6}", population=f"P{number % 9}", sso_id=f"sso-{number:x}")
        if number % 2:
            targets = plan.counts["targets"]
            document["activity_target"] = plan.id_of("targets", (number * 6 + 2) % targets)
            document["home_target"] = plan.id_of("targets", (number * 6 + 3) % targets)
    elif role == "EXTERNAL_DIET":
        document.update(
            registration_status="DIET_REGISTRATION_STATUS_ACTIVE", job="Diététicienne",
            zip_code=f"{number % 95:02d}000", siret=f"{number:014d}", adeli=f"{number:09d}",
            diet_coaching_enabled=True, diet_visio_enabled=number % 200 == 7, smartagenda_id=str(number),
            iban="FR0000000000000000000000000", diet_site_enabled=False, address=f"{number} rue des Prés",
            website="https://cabinet.example",
            company_name=f"Cabinet {number}", signed_charter="/doc/charte.pdf",
            registration_warning="REGISTRATION_WARNING_SIRET", description="Je consulte le samedi",
        )  # fmt: skip
    return document


def describe_users(plan: Plan, rng: Random, defects: bool) -> Iterator[Document]:
    targets = plan.counts["targets"]
    for number in range(plan.counts["users"]):
        created = plan.created_ms("users", number)
        document = describe_user(plan, rng, number, plan.make_id("users", number, created), created)
        set_array(rng, document, "registered_events", _registrations(plan, rng, number, created, defects))
        for field in ("targets", "specificity_targets", "health_targets", "objective_targets"):
            items = [plan.id_of("targets", target) for target in choose_some(rng, targets, 6 if number % 3 else 1)]
            set_array(rng, document, field, items)
        for field in EVENT_ARRAYS:
            set_array(rng, document, field, some_ids(plan, rng, "events", 2))
        if document["role"] == "EXTERNAL_DIET":
            document["networks"] = [plan.foreign_id("networks", number % 9)]
            set_array(rng, document, "reasons", some_ids(plan, rng, "targets", 5))
            set_array(rng, document, "customer_companies", some_ids(plan, rng, "companies", 5))
        yield add_dates(rng, document, created)


def describe_messages(plan: Plan, rng: Random, defects: bool) -> Iterator[Document]:
    for number in range(plan.counts["messages"]):
        created = plan.created_ms("messages", number)
        pair = [plan.id_of("users", plan.customer(number)), plan.id_of("users", plan.dietitian(number))]
        sender, receiver = reversed(pair) if number % 2 else pair
        if defects and rng.random() < DANGLING_SHARE:
            sender = plan.dangling_id("users", number)
        document: Document = {
            "_id": plan.make_id("messages", number, created),
            "sender": sender,
            "content": words.MESSAGES[number % 6],
            "conversation": plan.foreign_id("conversations", number // 4),
        }
        if number % 10 == 6:
            document["group"] = plan.foreign_id("groups", number % 50)
        else:
            # Raw writes left references as text.
            document["receiver"] = str(receiver) if number % 400 == 3 else receiver
        if number % 40 == 1:
            document["attachment"] = f"/doc/p{number}.pdf"
        set_array(rng, document, "likes", [receiver] if number % 25 == 0 else [])
        set_array(rng, document, "pins", [receiver] if number % 50 == 7 else [])
        yield add_dates(rng, document, created)


def _registrations(plan: Plan, rng: Random, number: int, created_ms: int, defects: bool) -> list[object]:
    """List up to 30 registrations, none for 60 % of the users; old ones are bare ids."""
    if rng.random() < 0.6:
        return []
    registered: list[object] = []
    for event in some_ids(plan, rng, "events", int(30 * rng.random() ** 3) + 1) or [plan.id_of("events", 0)]:
        if defects and rng.random() < DANGLING_SHARE:
            event = plan.dangling_id("events", number)
        if rng.random() < 0.1:
            registered.append(event)
        else:
            date = moment(created_ms) + timedelta(days=rng.randrange(300))
            item_id = plan.make_id("subdocuments", number * 40 + len(registered), created_ms)
            registered.append({"event": event, "date": date, "_id": item_id})
    return registered


def _birthday(rng: Random) -> datetime:
    local = datetime(1950, 1, 1, tzinfo=PARIS) + timedelta(days=rng.randrange(20_000))
    return local.astimezone(UTC).replace(tzinfo=None)
