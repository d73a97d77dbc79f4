"""After any history of edits and syncs every table holds what the oracle says, and nothing is rewritten."""

import os

from hypothesis import given, note, settings
from hypothesis.strategies import booleans

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import Application
from smartdiet_assets_tests.support.mirrored import Mirrored

EXAMPLES = int(os.environ.get("SMARTDIET_ORACLE_EXAMPLES", "4"))
randomly = settings(
    max_examples=EXAMPLES,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)


#: The same histories again, where ids are of all types.
half_as_many = settings(randomly, max_examples=EXAMPLES // 2 + 1)


@randomly
@given(history=compact.days())
def test_every_table_equals_the_oracle_after_every_sync(mirrored: Mirrored, history: list[compact.Step]) -> None:
    relive(mirrored, history)


@randomly
@given(history=compact.days(captured=True))
def test_every_captured_table_does_too_with_deletions_and_changes_without_a_date(
    captured: Mirrored, history: list[compact.Step]
) -> None:
    relive(captured, history)


@randomly
@given(history=compact.reconciled_days())
def test_every_reconciled_table_does_too_with_deletions_found_by_a_pass(
    reconciled: Mirrored, history: list[compact.Step]
) -> None:
    relive(reconciled, history)


@half_as_many
@given(history=compact.days(captured=True), mixed=booleans())
def test_every_protected_table_does_too_and_waits_find_their_parents_by_pseudonyms(
    protected: Mirrored, history: list[compact.Step], mixed: bool
) -> None:
    relive(protected, history, mixed=mixed)


@half_as_many
@given(history=compact.days())
def test_documents_are_told_apart_by_the_types_of_their_ids(mirrored: Mirrored, history: list[compact.Step]) -> None:
    relive(mirrored, history, mixed=True)


@half_as_many
@given(history=compact.days(captured=True))
def test_captured_documents_are_too(captured: Mirrored, history: list[compact.Step]) -> None:
    relive(captured, history, mixed=True)


@half_as_many
@given(history=compact.reconciled_days())
def test_reconciled_documents_are_too(reconciled: Mirrored, history: list[compact.Step]) -> None:
    relive(reconciled, history, mixed=True)


def relive(mirrored: Mirrored, history: list[compact.Step], *, mixed: bool = False) -> None:
    """Go through a history, and look after every sync."""
    mirrored.forget()
    application = Application(mirrored.mongo, mixed=mixed)
    for number, step in enumerate(history):
        differences = take(mirrored, application, step)
        assert not differences, f"after step {number}:\n" + "\n".join(differences)
    assert not mirrored.sync(), "after the last step"
    before = mirrored.versions()
    for request in (WindowRequest("newest"), WindowRequest("full")):
        note(f"a {request.kind} run of unchanged data")
        assert not mirrored.sync(request)
        assert mirrored.versions() == before, f"a {request.kind} run of unchanged data wrote rows"


def take(mirrored: Mirrored, application: Application, step: compact.Step) -> list[str]:
    """Take a step of a history; give the differences from the oracle after a sync."""
    if isinstance(step, compact.Edit):
        birth = compact.birth(step.collection, step.number)
        fields = dict(step.fields)
        application.save(step.collection, step.number, birth, fields, step.undated, step.at_once, silent=step.silent)
    elif isinstance(step, compact.Deletion):
        application.delete(step.collection, step.number)
    elif isinstance(step, compact.Reconcile):
        mirrored.reconcile()
    else:
        return mirrored.sync(WindowRequest(step.kind), step.tables)
    return []
