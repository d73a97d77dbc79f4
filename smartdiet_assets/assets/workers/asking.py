"""What each worker's doctor finds, asked from anywhere through the broker (`smartdiet doctor --workers`)."""

from collections.abc import Iterator

from celery import Celery
from pydantic import ValidationError

from smartdiet_assets.assets.workers.broker import build_app, find_outages
from smartdiet_assets.assets.workers.worker import EXAMINE, SECONDS_TO_EXAMINE
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.schema.model import Schema

_WORKERS = Part("workers")
#: For those who are there to say so.
_SECONDS_TO_ANSWER = 3.0
_SECONDS_MORE = 5.0


def examine_workers(url: str, schema: Schema | None) -> Iterator[Finding]:
    """Have each worker's doctor look, all at a time.

    Args:
        url: of the broker; "" where none is named.
        schema: what is declared here; None where it cannot be used.
    """
    if not url:
        yield _WORKERS.failed("broker", "SMARTDIET_BROKER_URL is not set, which names the broker of the workers.")
        return
    app: Celery = build_app(url)
    try:
        answers = app.control.ping(timeout=_SECONDS_TO_ANSWER)
        names = sorted(name for answer in answers for name in answer)
        seconds = SECONDS_TO_EXAMINE + _SECONDS_MORE
        # Over once all have answered.
        asked = {"destination": names, "reply": True, "timeout": seconds, "limit": len(names)}
        answers = app.control.broadcast(EXAMINE, **asked) if names else []
        found = {name: said for answer in answers for name, said in answer.items()}
    except find_outages(app) as error:
        # The driver's text may hold the URL.
        yield _WORKERS.failed(
            "broker",
            f"SMARTDIET_BROKER_URL does not answer, or refuses the login ({type(error).__name__}).",
        )
        return
    if not names:
        yield _WORKERS.failed(
            "answer", f"No worker answered within {_SECONDS_TO_ANSWER:.0f} seconds: start one with `smartdiet worker`."
        )
        return
    for name in names:
        yield from _read(name, found.get(name), schema)


def _read(name: str, answer: object, schema: Schema | None) -> Iterator[Finding]:
    worker = Part(name)
    said = answer if isinstance(answer, dict) else {}
    try:
        findings = [Finding.model_validate(finding) for finding in said.get("findings") or ()]
    except ValidationError:
        findings = []
    if not findings:
        yield worker.failed("doctor", f"Its doctor was not done within {SECONDS_TO_EXAMINE:.0f} seconds.")
    elif schema is not None and said.get("declarations") != schema.digest:
        yield worker.failed(
            "declarations",
            "It has loaded other declarations than those here: bring its schema files up to date, and start it anew.",
        )
    else:
        yield worker.passed("declarations", "It has loaded the same declarations as are here.")
    for finding in findings:
        yield finding.model_copy(update={"part": name, "check": f"{finding.part} {finding.check}"})
