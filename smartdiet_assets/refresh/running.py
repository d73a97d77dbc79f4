"""The steps of every refresh, whatever the database: plan, show, guard the target, run."""

import time
from collections.abc import Callable
from typing import Protocol

from smartdiet_assets.refresh.plan import RefreshOutcome, RefreshPlan
from smartdiet_assets.refresh.progress import Progress
from smartdiet_assets.refresh.target import check_sides, check_target


class Refresh(Protocol):
    """One database's way of being refreshed."""

    def plan(self) -> RefreshPlan:
        """Find out what there is on both sides and what will be done; reads only.

        Raises:
            SmartdietError: a side cannot be read.
        """

    def run(self, plan: RefreshPlan, progress: Progress) -> RefreshOutcome:
        """Carry a plan out: into new items, swapped in at the end.

        Raises:
            SmartdietError: it failed; the message says in what state the target is.
        """


def prepare_refresh(
    refresh: Refresh, show: Callable[[RefreshPlan], None], *, target_name: str | None, dry_run: bool
) -> RefreshPlan:
    """Plan a refresh, show the plan, and refuse it where the target is not the one that was named.

    Args:
        show: shows the plan; called before the target is checked, so that it is always seen.
        target_name: what was typed for the target's name.
        dry_run: nothing will be written, so that nothing need be typed; a wrong name is still refused.

    Raises:
        SmartdietError: a side cannot be read, or the target was not named as it must be.
    """
    plan = refresh.plan()
    show(plan)
    check_sides(plan)
    if not dry_run or target_name is not None:
        check_target(plan, target_name)
    return plan


def run_refresh(refresh: Refresh, plan: RefreshPlan, progress: Progress, *, dry_run: bool) -> RefreshOutcome:
    """Carry out a plan that was shown and checked; with `dry_run`, nothing.

    Raises:
        SmartdietError: it failed; the message says in what state the target is.
    """
    if dry_run:
        return RefreshOutcome(plan, dry_run=True)
    started = time.perf_counter()
    outcome = refresh.run(plan, progress)
    outcome.seconds = time.perf_counter() - started
    return outcome
