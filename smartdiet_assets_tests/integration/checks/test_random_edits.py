"""After any history of edits and syncs, a mirror that is up to date passes every check but the one for rejects."""

import os

from hypothesis import Phase, given, settings

from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.checked import Checked

EXAMPLES = int(os.environ.get("SMARTDIET_ORACLE_EXAMPLES", "3"))


@settings(
    max_examples=EXAMPLES,
    derandomize=bool(os.environ.get("CI")),
    # A history is short as it is, and takes seconds.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    print_blob=True,
)
@given(history=compact.days())
def test_a_mirror_that_is_up_to_date_passes(unlimited: Checked, history: list[compact.Edit | compact.Sync]) -> None:
    unlimited.mirrored.forget()
    again = Checked(unlimited.mirrored)
    for step in history:
        if isinstance(step, compact.Edit):
            again.application.save(
                step.collection,
                step.number,
                compact.birth(step.collection, step.number),
                dict(step.fields),
                step.undated,
                step.at_once,
            )
        else:
            again.mirrored.run(tables=step.tables)
    again.sync()
    for moment in ("up to date", "behind"):
        failures = {
            key: outcome.sentence
            for key, outcome in again.failures().items()
            if key[1] not in ("no_rejects", "rejects_under_limit") and outcome.is_error
        }
        assert not failures, moment
        for step in history:
            if isinstance(step, compact.Edit):
                again.save(step.collection, step.number, **dict(step.fields))
