"""What a person sees of the mirror in Dagit: the whole graph, and a table's page after a run. Not here: the test."""

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.ui.conftest import CONFIG

PICTURES = Path(__file__).with_name("pictures")
#: A load tells how far it is only when it takes long.
SYNC_AS_IF_IT_TOOK_LONG = """
import sys
from smartdiet_assets.assets import progress as shown
from smartdiet_assets.cli import main
from smartdiet_assets.mirror import progress, reading
from smartdiet_assets_tests.support.running import SessionHere
reading._SECONDS_BETWEEN_REPORTS = reading._SECONDS_TO_ESTIMATE = 0.0
progress._SECONDS_BETWEEN_LINES = shown._SECONDS_TO_OBSERVE = 0.0
sys.argv = ["smartdiet", "sync", "--wait"]
main(SessionHere())
"""


def sync_as_if_it_took_long() -> None:
    """Mirror everything in a process of its own, which tells all the time how far it is."""
    subprocess.run(
        [sys.executable, "-c", SYNC_AS_IF_IT_TOOK_LONG],
        check=True,
        capture_output=True,
        timeout=180,
        env={**os.environ, "BATCH_SIZE": "30"},
    )


def see_the_whole_graph(page: Page, dagit: str) -> None:
    tables = load_schema(CONFIG / "schemas.yaml").tables
    page.goto(f"{dagit}/asset-groups/")
    groups = sorted({table.group for table in tables.values()})
    for group in groups:
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=60_000)
    page.get_by_text("Hide navigation").click()
    for group in groups:
        page.locator(f"button:has(div[title='{group}'])").first.click()
        page.keyboard.press("ArrowRight")  # opens it
    for name in tables:
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=30_000)
    keep(page, "graph")


def see_what_a_run_did(page: Page, dagit: str) -> None:
    page.goto(f"{dagit}/assets/user_events")
    for text in ("Which users are registered for which events.", "references users(id)", "MongoDB", "Postgres"):
        expect(page.get_by_text(text).first).to_be_visible(timeout=30_000)
    for key in ("inserted", "deleted", "unchanged", "rejected", "watermark"):
        expect(page.get_by_text(key, exact=True).first).to_be_attached(timeout=30_000)
    page.goto(f"{dagit}/assets/user_events?view=events")
    expect(page.get_by_text("documents_read").first).to_be_visible(timeout=30_000)
    keep(page, "table")


def see_how_far_it_was(page: Page, dagit: str) -> None:
    page.goto(f"{dagit}/assets/users?view=events")
    page.locator("[aria-label=observation]").last.click(timeout=30_000)
    expect(page.get_by_text(" of about ").first).to_be_visible(timeout=30_000)
    keep(page, "progress")


def keep(page: Page, name: str) -> None:
    """Renew the README's pictures when asked to: SMARTDIET_PICTURES=1 pytest smartdiet_assets_tests/ui."""
    if os.environ.get("SMARTDIET_PICTURES"):
        page.wait_for_timeout(2_000)
        page.screenshot(path=PICTURES / f"{name}.png")
