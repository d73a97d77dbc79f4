"""After any history of edits and syncs every table holds what the oracle says, and nothing is rewritten."""

import os

from hypothesis import HealthCheck, given, note, settings

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.integration.mirror import compact
from smartdiet_assets_tests.integration.mirror.application import Application
from smartdiet_assets_tests.integration.mirror.mirrored import Mirrored

EXAMPLES = int(os.environ.get("SMARTDIET_ORACLE_EXAMPLES", "25"))
randomly = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)


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


def relive(mirrored: Mirrored, history: list[compact.Step]) -> None:
    """Go through a history, and look after every sync."""
    mirrored.forget()
    application = Application(mirrored.mongo)
    for number, step in enumerate(history):
        if isinstance(step, compact.Edit):
            birth = compact.birth(step.collection, step.number)
            fields = dict(step.fields)
            application.save(
                step.collection, step.number, birth, fields, step.undated, step.at_once, silent=step.silent
            )
        elif isinstance(step, compact.Deletion):
            application.delete(step.collection, step.number)
        elif isinstance(step, compact.Reconcile):
            mirrored.reconcile()
        else:
            differences = mirrored.sync(WindowRequest(step.kind), step.tables)
            assert not differences, f"after step {number}:\n" + "\n".join(differences)
    assert not mirrored.sync(), "after the last step"
    before = mirrored.versions()
    for request in (WindowRequest("newest"), WindowRequest("full")):
        note(f"a {request.kind} run of unchanged data")
        assert not mirrored.sync(request)
        assert mirrored.versions() == before, f"a {request.kind} run of unchanged data wrote rows"
