"""The company as a stream of batches, and its way into a MongoDB database."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random

from pymongo.database import Database

from smartdiet_assets.demo.company import answers, catalogue, coaching, people, programme
from smartdiet_assets.demo.company.defects import describe_bad_documents, with_bad_documents
from smartdiet_assets.demo.company.plan import QUESTIONS_OF_QUIZZ, Plan
from smartdiet_assets.schema.documents import Document

BATCH_SIZE = 1_000

Batch = tuple[str, list[Document]]


def generate_collections(seed: int = 1, scale: float = 0.01, *, defects: bool = True) -> Iterator[Batch]:
    """Stream a company's documents, collection by collection, in batches of at most 1,000.

    Parents come before children, but for a few arrays and back references. The same arguments give the same
    bytes on any machine and day. Memory does not grow with the scale.

    Args:
        seed: the company's identity; every id and value follows from it.
        scale: 1 is the size of the real one, about 5 million documents; no table is empty at any scale.
        defects: whether to include documents that cannot become rows, and dangling references.

    Raises:
        ValueError: the scale is not above 0.
    """
    plan = Plan(seed, scale)
    for collection, describe in _streams(plan, defects).items():
        # A source of chance per collection, so that one collection's change leaves the others' bytes alone.
        rng = Random(f"{seed}:{collection}")
        if collection == "userquizzs":
            yield from _batch_quizzes(plan, rng, defects)
            continue
        name = "items" if collection == "templateitems" else collection
        documents = describe(rng)
        yield from _batch(name, with_bad_documents(plan, name, documents) if defects else documents)


def write_company(
    database: Database[Document],
    seed: int = 1,
    scale: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
    *,
    defects: bool = True,
) -> dict[str, int]:
    """Write a company into an empty database, with the indexes the application keeps on its dates.

    Args:
        progress: called after each batch with the number of documents written and the number expected.

    Returns:
        The number of documents by collection, in the order they were begun.

    Raises:
        pymongo.errors.PyMongoError: the server refused something, for one the same company a second time.
    """
    counts: dict[str, int] = {}
    done, expected = 0, Plan(seed, scale).expected_documents
    for collection, batch in generate_collections(seed, scale, defects=defects):
        database[collection].insert_many(batch, ordered=False)
        counts[collection] = counts.get(collection, 0) + len(batch)
        done += len(batch)
        if progress:
            progress(done, max(done, expected))
    # Last, because building an index is faster than keeping it.
    for collection in counts:
        for field in ("creation_date", "update_date"):
            database[collection].create_index(field)
    return counts


def _streams(plan: Plan, defects: bool) -> dict[str, Callable[[Random], Iterator[Document]]]:
    """List what describes each collection, in order; quizzes come from a stream of their own."""
    return {
        "appointmenttypes": lambda rng: catalogue.describe_appointmenttypes(plan, rng),
        "categories": lambda rng: catalogue.describe_categories(plan, rng),
        "targets": lambda rng: catalogue.describe_targets(plan, rng),
        "companies": lambda rng: catalogue.describe_companies(plan, rng),
        "quizzquestions": lambda rng: catalogue.describe_quizzquestions(plan, rng),
        "quizzs": lambda rng: catalogue.describe_quizzs(plan, rng),
        "offers": lambda rng: catalogue.describe_offers(plan, rng),
        "ingredients": lambda rng: catalogue.describe_ingredients(plan, rng),
        "recipes": lambda rng: catalogue.describe_recipes(plan, rng),
        "templateitems": lambda rng: catalogue.describe_template_items(plan, rng),
        "users": lambda rng: people.describe_users(plan, rng, defects),
        "contents": lambda rng: programme.describe_contents(plan, rng),
        "events": lambda rng: programme.describe_events(plan, rng),
        "menurecipes": lambda rng: programme.describe_menurecipes(plan, rng),
        "messages": lambda rng: people.describe_messages(plan, rng, defects),
        "userquizzs": lambda rng: iter(()),
        "coachings": lambda rng: coaching.describe_coachings(plan, rng, defects),
        "appointments": lambda rng: coaching.describe_appointments(plan, rng, defects),
        "periods": lambda rng: coaching.describe_periods(plan, rng),
        "days": lambda rng: coaching.describe_days(plan, rng, defects),
        "coachinglogbooks": lambda rng: coaching.describe_coachinglogbooks(plan, rng, defects),
    }


def _batch_quizzes(plan: Plan, rng: Random, defects: bool) -> Iterator[Batch]:
    """Stream the users' quizzes with their questions and items, the questions of a batch first."""
    quizzes: list[Document] = []
    questions: list[Document] = []
    items: list[Document] = []
    room = BATCH_SIZE - max(QUESTIONS_OF_QUIZZ)
    first: Document | None = None
    for quizz, asked, free in answers.describe_quizzes(plan, rng):
        first = first or asked[0]
        quizzes.append(quizz)
        questions += asked
        items += free
        if len(questions) > room:
            yield from _filled(quizzes, questions, items)
            quizzes, questions, items = [], [], []
    yield from _filled(quizzes, questions, items)
    if defects and first:
        yield "userquizzquestions", list(describe_bad_documents(plan, "userquizzquestions", first))


def _filled(quizzes: list[Document], questions: list[Document], items: list[Document]) -> Iterator[Batch]:
    for name, batch in (("userquizzquestions", questions), ("userquizzs", quizzes), ("items", items)):
        if batch:
            yield name, batch


def _batch(name: str, documents: Iterable[Document]) -> Iterator[Batch]:
    iterator = iter(documents)
    while batch := list(islice(iterator, BATCH_SIZE)):
        yield name, batch
