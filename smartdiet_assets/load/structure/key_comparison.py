"""Comparing the keys, foreign keys and indexes of two tables: pure. Not here: columns (`column_comparison`)."""

from collections.abc import Iterator, Sequence

from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.difference import NONE, Difference, spell_names
from smartdiet_assets.load.structure.live import LiveForeignKey, LiveIndex, LiveTable


def is_served(columns: Sequence[str], live: LiveTable) -> bool:
    """Tell whether a live key or index begins with the columns."""
    return any(_serves(index, columns) for index in (*live.indexes, *live.keys))


def _serves(index: LiveIndex, columns: Sequence[str]) -> bool:
    return index.plain and index.columns[: len(columns)] == tuple(columns)


def compare_primary_key(left: LiveTable, right: LiveTable, declared: bool) -> Iterator[Difference]:
    """List how the primary key differs."""
    wanted, present = left.primary_key, right.primary_key
    if _is_same_key(wanted, present, declared):
        return
    run = [alteration.drop_index(right, present)] if present else []
    run += [alteration.add_index(right, wanted)] if wanted else []
    needed = wanted.columns if wanted and not present else ()
    yield Difference(
        right.name,
        "primary key",
        "",
        _name_key(wanted),
        _name_key(present),
        tuple(run),
        needed,
        related=present,
    )


def _is_same_key(wanted: LiveIndex | None, present: LiveIndex | None, declared: bool) -> bool:
    if wanted is None or present is None:
        return wanted is present
    if declared:
        return set(wanted.columns) == set(present.columns) and not present.deferrable
    return (wanted.columns, wanted.deferrable) == (present.columns, present.deferrable)


def _name_key(index: LiveIndex | None) -> str:
    if index is None:
        return NONE
    return f"{spell_names(index.columns)}{' DEFERRABLE' if index.deferrable else ''}"


def compare_uniques(left: LiveTable, right: LiveTable, declared: bool) -> Iterator[Difference]:
    """List how unique constraints and indexes differ."""
    rest = list(right.uniques)
    for wanted in left.uniques:
        same = [index for index in right.uniques if _is_same_unique(wanted, index, declared)]
        fitting = [index for index in same if index.deferrable == wanted.deferrable]
        if declared and wanted.deferrable:
            # The declared one spares a run some trouble; the stricter one is no fault.
            fitting = same
        rest = [index for index in rest if index not in (same if declared else fitting)]
        if fitting:
            continue
        name = f"{spell_names(wanted.columns)}"
        added = alteration.add_index(right, wanted)
        if not declared or not same:
            yield Difference(right.name, "unique", name, _describe_unique(wanted), NONE, (added,), wanted.columns)
            continue
        run = (alteration.drop_index(right, same[0]), added)
        strict = f"{spell_names(wanted.columns)}, not deferrable"
        yield Difference(right.name, "unique", name, strict, _name_key(same[0]), run, related=same[0])
    for index in rest:
        if declared and left.primary_key and _is_same_unique(left.primary_key, index, declared):
            continue
        dropped = (alteration.drop_index(right, index),)
        name = index.name if declared else spell_names(index.columns)
        yield Difference(right.name, "unique", name, NONE, index.definition, dropped, related=index)


def _is_same_unique(wanted: LiveIndex, index: LiveIndex, declared: bool) -> bool:
    if declared:
        return index.plain and index.nulls_distinct and set(index.columns) == set(wanted.columns)
    return (wanted.form, wanted.valid) == (index.form, index.valid)


def _describe_unique(index: LiveIndex) -> str:
    return "unique" if not index.name else f"{index.form}{' DEFERRABLE' if index.deferrable else ''}"


def compare_foreign_keys(left: LiveTable, right: LiveTable, declared: bool) -> Iterator[Difference]:
    """List how foreign keys differ."""
    rest = list(right.foreign_keys)
    for wanted in left.foreign_keys:
        same = [key for key in rest if _is_same_foreign_key(wanted, key)]
        valid = [key for key in same if key.validated or not wanted.validated]
        if valid:
            rest = [key for key in rest if key not in (same if declared else valid[:1])]
            continue
        name = ", ".join(wanted.columns)
        if same:
            rest = [key for key in rest if key not in same]
            run = [alteration.validate_foreign_key(right, same[0])]
            yield Difference(
                right.name, "foreign key", name, wanted.definition, same[0].definition, tuple(run), related=same[0]
            )
            continue
        # Whatever else these columns point with is exchanged, and told in the same line.
        others = [key for key in rest if key.columns == wanted.columns and not _is_wanted(key, left)]
        rest = [key for key in rest if key not in others]
        taken = {key.name for key in right.foreign_keys if key not in others}
        run = [alteration.drop_foreign_key(right, key) for key in others]
        run.append(alteration.add_foreign_key(right, wanted, taken))
        was = "; ".join(key.definition for key in others) or NONE
        yield Difference(
            right.name,
            "foreign key",
            name,
            wanted.definition,
            was,
            tuple(run),
            () if others else wanted.columns,
            related=others[0] if others else None,
        )
    for key in rest:
        run = [alteration.drop_foreign_key(right, key)]
        name = ", ".join(key.columns)
        yield Difference(right.name, "foreign key", name, NONE, key.definition, tuple(run), related=key)


def _is_wanted(key: LiveForeignKey, left: LiveTable) -> bool:
    return any(_is_same_foreign_key(wanted, key) for wanted in left.foreign_keys)


def _is_same_foreign_key(wanted: LiveForeignKey, key: LiveForeignKey) -> bool:
    """Tell whether two foreign keys say the same, validated or not."""
    if wanted.plain and key.plain:
        return (wanted.columns, wanted.parent, wanted.parent_columns) == (key.columns, key.parent, key.parent_columns)
    ending = " NOT VALID"
    return wanted.plain == key.plain and (wanted.definition.removesuffix(ending) == key.definition.removesuffix(ending))


def compare_indexes(left: LiveTable, right: LiveTable, declared: bool) -> Iterator[Difference]:
    """List how other indexes differ. A declared one may be served by another that stays."""
    # An index over a column that nothing declares goes with it.
    staying = [index for index in right.indexes if set(index.columns) <= set(left.columns)]
    serving = [*staying, *_list_kept_keys(left, right)] if declared else []
    rest = list(right.indexes)
    for wanted in left.indexes:
        if declared:
            same = [index for index in staying if _serves(index, wanted.columns)]
        else:
            same = [index for index in rest if _is_same_index(wanted, index)]
        rest = [index for index in rest if index not in same]
        if same or any(_serves(index, wanted.columns) for index in serving):
            continue
        name = spell_names(wanted.columns)
        run = (alteration.add_index(right, wanted),)
        left_text = f"index {name}" if declared else wanted.form
        yield Difference(right.name, "index", name, left_text, NONE, run, wanted.columns)
    for index in rest:
        run = (alteration.drop_index(right, index),)
        name = spell_names(index.columns)
        yield Difference(
            right.name, "index", name, NONE, index.form, run, undeclared=declared and index.valid, related=index
        )


def _list_kept_keys(left: LiveTable, right: LiveTable) -> list[LiveIndex]:
    """List the keys of a live table that a declaration has too."""
    kept = [index for index in right.uniques if any(_is_same_unique(key, index, True) for key in left.keys)]
    same = right.primary_key and _is_same_key(left.primary_key, right.primary_key, True)
    return [*kept, right.primary_key] if right.primary_key and same else kept


def _is_same_index(wanted: LiveIndex, index: LiveIndex) -> bool:
    return (wanted.form, wanted.valid) == (index.form, index.valid)
