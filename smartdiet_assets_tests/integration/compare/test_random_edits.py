"""After any history of edits and syncs no document differs from its rows, and a row that is altered then does."""

import os

from hypothesis import Phase, given, settings

from smartdiet_assets.compare.documents import compare_documents
from smartdiet_assets_tests.integration.checks.conftest import unlimited  # noqa: F401
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.reading import read_once

EXAMPLES = int(os.environ.get("SMARTDIET_ORACLE_EXAMPLES", "3"))
#: Tables whose rows are found again by what identifies them: a column of each that is not part of that.
ALTERED = {"events": "places", "people": "ratio", "person_events": "joined_at"}


def list_differing(checked: Checked) -> dict[str, int]:
    mirrored = checked.mirrored
    found = compare_documents(
        mirrored.connection, read_once(mirrored.mongo), mirrored.schema, list(mirrored.schema.tables), limit=5
    )
    return {c.table: c.missing + c.extra + c.different for c in found if c.fault or not c.equal}


@settings(
    max_examples=EXAMPLES,
    derandomize=bool(os.environ.get("CI")),
    # A history is short as it is, and takes seconds.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    print_blob=True,
)
@given(history=compact.days())
def test_only_what_was_altered_differs(
    unlimited: Checked,  # noqa: F811
    history: list[compact.Edit | compact.Sync],
) -> None:
    unlimited.mirrored.forget()
    again = Checked(unlimited.mirrored)
    for step in history:
        if isinstance(step, compact.Edit):
            birth = compact.birth(step.collection, step.number)
            again.application.save(step.collection, step.number, birth, dict(step.fields), step.undated, step.at_once)
        else:
            again.mirrored.run(tables=step.tables)
    again.sync()
    assert list_differing(again) == {}, "up to date"
    expected = {}
    for table, column in ALTERED.items():
        value = "'1999-01-01'" if column == "joined_at" else "7"
        altered = again.execute(
            f"UPDATE {table} SET {column} = {value}"
            f" WHERE ctid = (SELECT min(ctid) FROM {table}) AND {column} IS DISTINCT FROM {value}"
        )
        expected |= {table: 1} if altered else {}
    # Rows of undated documents, and earlier rows of rejected ones, are not compared.
    assert list_differing(again).items() <= expected.items()
    for step in history:
        if isinstance(step, compact.Edit):
            again.save(step.collection, step.number, **dict(step.fields))
    assert set(list_differing(again)) <= set(expected), "behind"
