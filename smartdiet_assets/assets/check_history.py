"""What the checks found before, as the Dagster instance keeps it; and keeping there what was found outside of Dagster.

Here: the last result of a check, whether a new one says anything beyond it, and the run that records such news. Not
here: evaluating checks (`checks`), or their steps in the graph (`assets.checks`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.assets.location import REPOSITORY_TAGS, locate_runs
from smartdiet_assets.assets.naming import build_plain_names
from smartdiet_assets.checks.outcome import CheckOutcome, Number
from smartdiet_assets.schema.model import Schema

CHECK_JOB = "checks"
#: When a result that is shown again was found; its own date is that of the run that shows it.
EVALUATED = "evaluated"
_SEVERITIES = {"ERROR": dg.AssetCheckSeverity.ERROR, "WARN": dg.AssetCheckSeverity.WARN}
#: For how long a result is taken for what would be found now.
_STANDS_FOR = timedelta(days=1)
#: Behind how many runs that ended without a result the last result is looked for.
_RUNS_WITHOUT_RESULT = 25


@dataclass(frozen=True, slots=True)
class LastResult:
    """What a check found when it was last evaluated."""

    evaluation: dg.AssetCheckEvaluation
    at: datetime

    @property
    def stands(self) -> bool:
        """Whether it is that of a passed check, and not old."""
        return self.evaluation.passed and datetime.now(UTC) - self.at < _STANDS_FOR

    def repeat(self) -> dg.AssetCheckResult:
        """Build the result that shows it again, and says from when it is."""
        metadata, description = dict(self.evaluation.metadata), self.evaluation.description or ""
        if EVALUATED not in metadata:
            metadata[EVALUATED] = dg.MetadataValue.timestamp(self.at)
            description = f"{description} (Evaluated {self.at:%Y-%m-%d %H:%M} UTC.)".lstrip()
        return dg.AssetCheckResult(
            asset_key=self.evaluation.asset_key,
            check_name=self.evaluation.check_name,
            passed=self.evaluation.passed,
            severity=self.evaluation.severity,
            description=description,
            metadata=metadata,
        )


def fetch_last_result(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> LastResult | None:
    """Fetch what a check found last; None where it never was evaluated, or not in its last runs."""
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=_RUNS_WITHOUT_RESULT)
    return next((found for record in history if (found := read_record(record)) is not None), None)


def record_outcomes(schema: Schema, instance: dg.DagsterInstance, outcomes: Sequence[CheckOutcome]) -> None:
    """Record what `smartdiet check` found as a run of the job `checks`: what is news, for each result costs an event.

    What passes as it did, or fails with the sentence it had, is shown already; not when it is old, or older than the
    last run of its table, for then Dagit takes the check for one that was not evaluated.
    """
    tables = build_plain_names(schema).keys
    keys = [dg.AssetCheckKey(tables[outcome.table], outcome.kind) for outcome in outcomes]
    known = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    since = _fetch_last_materialisations(instance, {key.asset_key for key in keys})
    news = [
        outcome
        for key, outcome in zip(keys, outcomes, strict=True)
        if not _is_shown(outcome, read_record(known[key]) if key in known else None, since[key.asset_key])
    ]
    if not news:
        return

    # An op: checks of the graph would be planned first, each with an event more, and give an output, which is one more.
    @dg.op(name="record_checks", description="What `smartdiet check` found, where it is news.", out=dg.Out(dg.Nothing))
    def record_checks() -> Iterator[dg.AssetCheckEvaluation]:
        for outcome in news:
            yield _build_evaluation(outcome, tables[outcome.table])

    @dg.job(name=CHECK_JOB, tags=build_tags(schema, {outcome.table for outcome in outcomes}, CHECK_JOB))
    def job() -> None:
        record_checks()

    with locate_runs(instance):
        job.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=REPOSITORY_TAGS,
        )


def build_check_result(outcome: CheckOutcome, key: dg.AssetKey) -> dg.AssetCheckResult:
    """Build what Dagit shows of an outcome; `key` is its table's."""
    return dg.AssetCheckResult(asset_key=key, check_name=outcome.kind, **_describe(outcome))


def _build_evaluation(outcome: CheckOutcome, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(asset_key=key, check_name=outcome.kind, **_describe(outcome))


def _describe(outcome: CheckOutcome) -> dict[str, Any]:
    return {
        "passed": outcome.passed,
        "severity": _SEVERITIES[outcome.severity],
        "description": outcome.sentence,
        "metadata": {name: _build_metadata(value) for name, value in outcome.numbers.items() if value is not None},
    }


def _fetch_last_materialisations(
    instance: dg.DagsterInstance, keys: Collection[dg.AssetKey]
) -> Mapping[dg.AssetKey, datetime]:
    """Fetch when tables were materialised last; a day ago where they were not since: what is older is old anyway."""
    found = dict.fromkeys(keys, datetime.now(UTC) - _STANDS_FOR)
    for record in instance.get_asset_records(list(keys)):
        if (last := record.asset_entry.last_materialization_record) is not None:
            key = record.asset_entry.asset_key
            found[key] = max(found[key], datetime.fromtimestamp(last.timestamp, UTC))
    return found


def _is_shown(outcome: CheckOutcome, last: LastResult | None, since: datetime) -> bool:
    """Whether an outcome says no more than what was found last, after a moment."""
    if last is None or last.at <= since or last.evaluation.passed != outcome.passed:
        return False
    found = (_SEVERITIES[outcome.severity], outcome.sentence)
    return outcome.passed or (last.evaluation.severity, last.evaluation.description) == found


def read_record(record: Any) -> LastResult | None:
    """Read a record of Dagster's; None where it is that of a run that has not evaluated the check (yet)."""
    evaluation = record.evaluation
    if not isinstance(evaluation, dg.AssetCheckEvaluation):
        return None
    match evaluation.metadata.get(EVALUATED):
        case dg.TimestampMetadataValue(value=instant):
            return LastResult(evaluation, datetime.fromtimestamp(instant, UTC))
    return LastResult(evaluation, datetime.fromtimestamp(record.event.timestamp, UTC))


def _build_metadata(value: Number) -> dg.MetadataValue[Any]:
    match value:
        case bool():
            return dg.MetadataValue.bool(value)
        case int():
            return dg.MetadataValue.int(value)
        case float():
            return dg.MetadataValue.float(value)
        case datetime():
            return dg.MetadataValue.timestamp(value.replace(tzinfo=UTC))
        case Mapping():
            return dg.MetadataValue.json(dict(value))
    return dg.MetadataValue.text(str(value))
