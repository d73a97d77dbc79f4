"""The users' quizzes: clones of templates, their questions with answers, and free multiple answers.

Most of the company's documents come from here, so this part has to be fast.
"""

from collections.abc import Iterator
from random import Random

from bson import ObjectId

from smartdiet_assets.demo.company import words
from smartdiet_assets.demo.company.catalogue import question_type, questions_of_template, template_for
from smartdiet_assets.demo.company.clock import moment
from smartdiet_assets.demo.company.plan import Plan
from smartdiet_assets.demo.company.shapes import add_dates, edited_after
from smartdiet_assets.schema.documents import Document

#: A template question as answering needs it: id, kind of answer, id of its first choice.
_Question = tuple[ObjectId, str, ObjectId]


def read_templates(plan: Plan) -> list[tuple[Document, list[_Question]]]:
    """List the quiz templates: what a clone copies, and the questions."""
    choices = plan.counts["templateitems"]
    templates = []
    for number in range(plan.counts["quizzs"]):
        copied: Document = {
            "quizz": plan.id_of("quizzs", number),
            "name": f"Questionnaire {number}",
            "key": plan.foreign_id("keys", number % 7),
        }
        asked = []
        for question in questions_of_template(plan, number):
            first_choice = plan.id_of("templateitems", question % choices)
            asked.append((plan.id_of("quizzquestions", question), question_type(question), first_choice))
        templates.append((copied, asked))
    return templates


def describe_quizz(
    plan: Plan, rng: Random, templates: list[tuple[Document, list[_Question]]], quizz: int
) -> tuple[Document, list[Document], list[Document]]:
    """Describe a user's quiz, its questions and the items of its free multiple answers."""
    kind, number = plan.quizz_kind(quizz)
    created_ms = plan.quizz_created_ms(quizz)
    created = moment(created_ms)
    edited = edited_after(rng, created)
    copied, asked = templates[template_for(plan, kind, number)]
    make_id, random = plan.make_id, rng.random
    questions: list[Document] = []
    items: list[Document] = []
    question_ids: list[object] = []
    for place, question_number in enumerate(plan.questions_of(quizz)):
        template_question, answer_kind, first_choice = asked[place % len(asked)]
        question_id = make_id("userquizzquestions", question_number, created_ms)
        question_ids.append(question_id)
        question: Document = {"_id": question_id, "quizz_question": template_question}
        chance = random()
        # One question in five is not answered.
        if chance >= 0.2:
            if answer_kind == "TEXT_MULTIPLE":
                items.append(_free_answer(plan, rng, question_id, question_number, created_ms))
            else:
                _answer(question, answer_kind, chance, first_choice)
            if chance > 0.98:
                question["comment"] = "À revoir ensemble"
        if not 0.5 <= chance < 0.501:
            question["creation_date"] = created
            if not 0.501 <= chance < 0.503:
                question["update_date"] = edited if chance >= 0.2 else created
        question["__v"] = 0
        questions.append(question)
    chance = random()
    document: Document = {
        "_id": make_id("userquizzs", quizz, created_ms),
        **copied,
        "type": f"QUIZZ_TYPE_{kind}",
    }
    if chance < 0.01:
        document["questions"] = [question_ids[0], *question_ids]
    elif chance > 0.995:
        document["questions"] = [{"question": question_id} for question_id in question_ids]
    else:
        document["questions"] = question_ids
    return add_dates(rng, document, created_ms), questions, items


def describe_quizzes(plan: Plan, rng: Random) -> Iterator[tuple[Document, list[Document], list[Document]]]:
    templates = read_templates(plan)
    for quizz in range(plan.counts["userquizzs"]):
        yield describe_quizz(plan, rng, templates, quizz)


def _answer(question: Document, kind: str, chance: float, first_choice: ObjectId) -> None:
    """Add the answer of a kind, derived from a number from 0.2 to 1."""
    if kind == "ENUM_SINGLE":
        question["single_enum_answer"] = first_choice
    elif kind == "SCALE_1_10":
        value = int(chance * 1_000) % 10 + 1
        question["scale_1_10_answer"] = float(value) if chance > 0.97 else value
    elif kind == "BOOLEAN":
        question["boolean_answer"] = chance > 0.5
    elif kind == "NUMERIC":
        value = int(chance * 400)
        question["numeric_answer"] = value + 0.5 if chance > 0.9 else float(value) if chance > 0.85 else value
    elif kind == "TEXT":
        question["text_answer"] = words.ANSWERS[int(chance * 1_000) % 8] + (" 😋" if chance > 0.9 else "")
    elif kind == "ENUM_MULTIPLE":
        question["qcm_answers"] = [first_choice]
    else:
        question["document_answer"] = f"https://documents.example/{int(chance * 1_000_000)}.jpg"


def _free_answer(plan: Plan, rng: Random, question_id: ObjectId, number: int, created_ms: int) -> Document:
    document: Document = {
        "_id": plan.make_id("items", number, created_ms),
        "text": words.ANSWERS[number % 8],
        "userQuizzQuestion": question_id,
    }
    return add_dates(rng, document, created_ms)
