"""The plan of a refresh in sentences, target first; names and counts, no user, password or value."""

import shlex

from smartdiet_assets.refresh.plan import RefreshPlan, Side
from smartdiet_assets.refresh.target import needs_name


def describe_plan(plan: RefreshPlan) -> list[str]:
    """Describe a plan in lines, the target first."""
    target = plan.target
    there = [item for item in plan.items if item.target_count is not None]
    count = sum(item.target_count or 0 for item in there)
    item = plan.item if len(there) == 1 else f"{plan.item}s"
    copied = sum(item.copied for item in plan.items)
    removed = [item.name for item in plan.items if item.action == "remove"]
    lines = [
        f"Target: {_describe_side(target)}; there now: {len(there)} {item}, {count:,} {plan.record}",
        f"Source: {_describe_side(plan.source)}",
        f"Will be written: {copied} {plan.item}{'' if copied == 1 else 's'}, swapped in at the end",
    ]
    if removed:
        lines.append(f"Will be REMOVED from the target, as the source has no such {plan.item}: {', '.join(removed)}")
    if needs_name(target):
        lines.append(f"Asks for: --target-name {shlex.quote(target.database)}")
    return [*lines, *plan.notes]


def _describe_side(side: Side) -> str:
    return f"database {side.database} of {side.server} ({side.place})"
