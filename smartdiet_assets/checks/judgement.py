"""What the facts mean: passed or failed, how bad, and a sentence with what to do. Pure."""

from smartdiet_assets.checks.facts import MAX_RECENT, ContentFacts, RecentRows, SourceFacts, TargetFacts
from smartdiet_assets.checks.outcome import AWAY, CheckOutcome, Number, Severity
from smartdiet_assets.errors import ForwardingFailedError, ServerUnreachableError, SmartdietError
from smartdiet_assets.schema.drift import Drift, describe_drift
from smartdiet_assets.schema.model import CollectionRules, Table


def judge_rows(table: Table, target: TargetFacts, source: SourceFacts, recent: RecentRows) -> CheckOutcome:
    """Judge `rows_match_source`: rows and rejects against documents, those that changed since left out of both."""
    numbers: dict[str, Number] = {
        "rows": target.rows,
        "rejected": target.rejected,
        "flagged": target.flagged,
        "waiting": target.waiting,
        "expected": source.expected,
        "changed_since": len(source.recent),
        "collapsed": source.collapsed,
    }
    where, kind = table.origin, "rows_match_source"
    if source.expected is None:
        sentence = (
            f"Not counted: more than {len(source.recent):,} documents of {where} changed since the last run, or nothing"
            f" tells which did; content_matches compares them one by one."
        )
        return CheckOutcome(table.name, kind, True, sentence, numbers=numbers)
    rows = target.rows - target.unowned - target.flagged - (recent.rows - recent.flagged)
    waiting = target.waiting - recent.waiting
    if table.shape.has_items:
        present, explained = rows, target.rejected_items - recent.rejected_items
    else:
        present = rows + waiting + target.rejected_without_row - recent.rejected_without_row
        explained = 0
    missing = max(0, source.expected - present - explained)
    extra = max(0, present - source.expected)
    # How many items, or documents that point at what was forgotten, are left out, nobody counts.
    unexplained = 0 if target.forgotten else max(0, missing - source.before_threshold)
    numbers |= {"missing": unexplained, "extra": extra, "explained_by_threshold": missing - unexplained}
    if unexplained and target.rejected_whole and table.shape.has_items:
        sentence = (
            f"{unexplained:,} items of {where} are not rows, and {target.rejected_whole:,} documents are rejected"
            f" whole: `smartdiet rejects {table.name}` lists them; content_matches compares the others."
        )
        return CheckOutcome(table.name, kind, False, sentence, "WARN", numbers)
    if unexplained:
        what = "items" if table.shape.has_items else table.source_kind.items
        sentence = (
            f"{unexplained:,} {what} of {where} are neither a row nor a reject:"
            f" run `smartdiet sync {table.name} --full`, which writes only what differs."
        )
        return CheckOutcome(table.name, kind, False, sentence, numbers=numbers)
    if extra and table.on_delete != "keep" and table.import_strategy != "array":
        sentence = (
            f"{extra:,} rows have no document in {where} any more: run `smartdiet reconcile {table.name}`,"
            " which removes or marks them."
        )
        return CheckOutcome(table.name, kind, False, sentence, "WARN", numbers)
    if source.collapsed:
        sentence = (
            f"{source.collapsed:,} items of {where} share their key ({', '.join(table.key)}) with another one of their"
            f" document: the {table.on_duplicate_item} of them is the row. Where each should be one, give the table a"
            " key that tells them apart."
        )
        return CheckOutcome(table.name, kind, False, sentence, "WARN", numbers)
    kept = f"; {extra:,} rows of deleted documents are kept, as declared" if extra else ""
    return CheckOutcome(
        table.name, kind, True, f"Rows and rejects are what {where} has up to the watermark{kept}.", numbers=numbers
    )


def judge_freshness(table: Table, target: TargetFacts, source: SourceFacts) -> CheckOutcome:
    """Judge `data_is_fresh` by the age of the oldest change that is not mirrored, on the source's clock."""
    oldest = source.oldest_unmirrored
    delay = (source.clock - oldest).total_seconds() if oldest is not None else 0.0
    limit = source.max_delay.total_seconds()
    numbers: dict[str, Number] = {
        "watermark": target.watermark,
        "newest_change": source.newest_change or target.watermark,
        "oldest_unmirrored": oldest,
        "delay_seconds": round(delay, 3),
        "max_delay_seconds": limit,
        "changed_since": len(source.recent),
    }
    untold, unknown_for = _describe_untold(table, source), 0.0
    if untold:
        unknown_for = (source.clock - target.last_run).total_seconds() if target.last_run else limit
        numbers |= {"untold": source.untold, "unknown_for_seconds": round(unknown_for, 3)}
        untold += f" only a run tells what changed, and the last one ended {_duration(unknown_for)} ago"
    number = len(source.recent)
    count = f"{'more than ' if source.more_recent else ''}{number:,} change{'s' if number > 1 else ''}"
    wait = "wait" if number > 1 else "waits"
    if delay > limit:
        sentence = (
            f"{count} of {table.origin} {wait}, the oldest for {_duration(delay)}; max_delay is"
            f" {_duration(limit)}: run `smartdiet sync {table.name}`, and see why the"
            " sensor or schedule did not."
        )
        return CheckOutcome(table.name, "data_is_fresh", False, sentence, numbers=numbers)
    if unknown_for > limit:
        sentence = (
            f"{untold}; max_delay is {_duration(limit)}: run `smartdiet sync {table.name}`, and see why the sensor"
            " or schedule did not."
        )
        return CheckOutcome(table.name, "data_is_fresh", False, sentence, "WARN", numbers)
    sentence = "Every change is mirrored." if not source.recent else f"{count} {wait}, none for too long."
    if untold:
        sentence = f"{untold}; beside that: {sentence}"
    return CheckOutcome(table.name, "data_is_fresh", True, sentence, numbers=numbers)


def judge_content(table: Table, content: ContentFacts) -> CheckOutcome:
    """Judge `content_matches`."""
    numbers: dict[str, Number] = {
        "documents_compared": content.compared,
        "documents_different": content.different,
        "rows_missing": content.rows_missing,
        "rows_extra": content.rows_extra,
        "rows_different": content.rows_different,
        "rejects_missing": content.rejects_missing,
        "documents_left_out": content.left_out,
    }
    if content.columns:
        numbers["columns"] = dict(sorted(content.columns.items()))
    if content.different:
        columns = f", in {', '.join(sorted(content.columns))}" if content.columns else ""
        sentence = (
            f"{content.different:,} of {content.compared:,} documents compared differ from their rows{columns}:"
            f" run `smartdiet sync {table.name} --full`, and find who else writes to the table or edits documents"
            " without moving their date."
        )
        return CheckOutcome(table.name, "content_matches", False, sentence, numbers=numbers)
    return CheckOutcome(
        table.name,
        "content_matches",
        True,
        f"{content.compared:,} documents give the rows they should.",
        numbers=numbers,
    )


def judge_rejects(table: Table, target: TargetFacts) -> CheckOutcome:
    """Judge `no_rejects`: a warning, as everything else is loaded."""
    numbers: dict[str, Number] = {"rejected": target.rejected}
    if target.rejected:
        numbers["reasons"] = dict(sorted(target.reasons.items()))
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(target.reasons.items()))
        sentence = (
            f"{target.rejected:,} documents are not loaded ({reasons}): `smartdiet rejects {table.name}` lists them;"
            " correct them or the declaration, and the next run reads them again."
        )
        return CheckOutcome(table.name, "no_rejects", False, sentence, "WARN", numbers)
    return CheckOutcome(table.name, "no_rejects", True, "No document is rejected.", "WARN", numbers)


def judge_reject_limit(table: Table, target: TargetFacts) -> CheckOutcome:
    """Judge `rejects_under_limit`; a share is of the rows and the rejects."""
    kind, limit = "rejects_under_limit", table.max_rejects
    numbers: dict[str, Number] = {"rejected": target.rejected, "max_rejects": str(limit) if limit else None}
    if limit is None:
        return CheckOutcome(table.name, kind, True, "No max_rejects is declared.", numbers=numbers)
    if limit.allows(target.rejected, target.rows + target.rejected):
        return CheckOutcome(table.name, kind, True, f"Rejects are within max_rejects ({limit}).", numbers=numbers)
    sentence = (
        f"{target.rejected:,} documents are rejected, more than max_rejects ({limit}) allows:"
        f" `smartdiet rejects {table.name}` tells why; correct them, or the declaration."
    )
    return CheckOutcome(table.name, kind, False, sentence, numbers=numbers)


def judge_orphans(table: Table, target: TargetFacts) -> CheckOutcome:
    """Judge `no_orphans`; a foreign key that is not there only costs a search."""
    found = {column: count for column, count in target.unconstrained.items() if count}
    numbers: dict[str, Number] = {"orphans": sum(found.values()), "foreign_keys_missing": len(target.unconstrained)}
    if found:
        numbers["columns"] = found
        sentence = (
            f"{sum(found.values()):,} rows have no parent ({', '.join(sorted(found))}): run `smartdiet sync"
            f" {table.name} --full` after the parents', then add the foreign key as structure_matches says."
        )
        return CheckOutcome(table.name, "no_orphans", False, sentence, numbers=numbers)
    how = "Foreign keys are there and valid." if not target.unconstrained else "Searched: every row has its parents."
    return CheckOutcome(table.name, "no_orphans", True, how, numbers=numbers)


def judge_keys(table: Table, target: TargetFacts) -> CheckOutcome:
    """Judge `unique_keys`; an index that is not there only costs a search."""
    found = {columns: count for columns, count in target.keyless.items() if count}
    numbers: dict[str, Number] = {"duplicates": sum(found.values()), "unique_indexes_missing": len(target.keyless)}
    if found:
        keys = "; ".join(f"({', '.join(columns)})" for columns in found)
        sentence = (
            f"{sum(found.values()):,} rows share {keys} with another: delete them, run `smartdiet sync {table.name}"
            " --full`, then add the constraint as structure_matches says."
        )
        return CheckOutcome(table.name, "unique_keys", False, sentence, numbers=numbers)
    how = "Unique indexes are there and valid." if not target.keyless else "Searched: no two rows share a key."
    return CheckOutcome(table.name, "unique_keys", True, how, numbers=numbers)


def judge_structure(table: Table, target: TargetFacts) -> CheckOutcome:
    """Judge `structure_matches`: what a person has to resolve is an error, what the next run adds a warning."""
    numbers: dict[str, Number] = {"differences": len(target.differences), "pending": len(target.pending)}
    severity: Severity = "ERROR" if target.differences else "WARN"
    if target.differences:
        numbers["statements"] = "\n".join(target.differences)
        sentence = (
            f"The live table differs from its declaration in {len(target.differences)} places, and its runs stop:"
            " settle each by its statement or in the YAML."
        )
    elif target.pending:
        sentence = f"The next run adds {', '.join(target.pending)}: run `smartdiet sync {table.name}`."
    else:
        return CheckOutcome(table.name, "structure_matches", True, "The table is as declared.", numbers=numbers)
    return CheckOutcome(table.name, "structure_matches", False, sentence, severity, numbers)


def judge_fields(table: Table, rules: CollectionRules, drift: Drift) -> CheckOutcome:
    """Judge `no_undeclared_fields`, of the table's collection: a warning, as every declared field is mirrored."""
    kind, collection = "no_undeclared_fields", table.mongo_collection
    if rules.undeclared == "ignore":
        return CheckOutcome(table.name, kind, True, f"{collection} has undeclared: ignore, so nobody looks.")
    numbers: dict[str, Number] = {
        "undeclared": len({field.path for field in drift.undeclared}),
        "changed": len({field.path for field in drift.changed}),
        "missing": len(drift.missing),
    }
    if sentences := describe_drift(collection, drift):
        numbers["fields"] = {f"{field.path} ({field.bson_type})": field.times for field in drift.undeclared}
        return CheckOutcome(table.name, kind, False, " ".join(sentences), "WARN", numbers)
    sentence = f"No document of {collection} looked at has a field that is not declared."
    if drift.missing:
        sentence += f" None has {', '.join(drift.missing)}."
    return CheckOutcome(table.name, kind, True, sentence, "WARN", numbers)


def judge_unmirrored(table: Table, kind: str, target: TargetFacts) -> CheckOutcome:
    """Judge any check of a table that no run has finished yet."""
    what = "has not been mirrored yet" if target.exists else "is not in PostgreSQL"
    return CheckOutcome(table.name, kind, False, f"{table.name} {what}: run `smartdiet sync {table.name}`.")


def judge_incomparable(table: Table, kind: str) -> CheckOutcome:
    """Judge a check that needs the declared columns, of a table whose live ones are others."""
    sentence = "Not checked: the live columns are not the declared ones; settle structure_matches first."
    return CheckOutcome(table.name, kind, False, sentence)


def judge_away(table: Table, kind: str, fault: SmartdietError) -> CheckOutcome:
    """Judge a check that needs a server which cannot be read."""
    away = isinstance(fault, ServerUnreachableError | ForwardingFailedError)
    sentence = f"Not checked: {str(fault).rstrip('.')}."
    return CheckOutcome(table.name, kind, False, sentence, numbers={AWAY: True} if away else {})


def _describe_untold(table: Table, source: SourceFacts) -> str:
    """Describe the documents whose changes no date tells; "" where there are none."""
    where = table.origin
    if table.incremental == "none":
        return f"The dates of {where} say nothing (incremental: none):"
    if source.untold:
        several = source.untold > 1
        number = f"more than {MAX_RECENT:,}" if source.untold > MAX_RECENT else f"{source.untold:,}"
        fields = " or ".join(dict.fromkeys((table.updated_field, table.created_field)))
        return f"{number} document{'s' * several} of {where} {'have' if several else 'has'} no Date as {fields}:"
    return ""


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
