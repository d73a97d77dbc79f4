"""Whether alerts arrive: a test message is sent where they go, and what comes back is said.

Only where somebody asks for it: others read the channel. Not here: what else is told, and when (`assets.alerts`).
"""

from collections.abc import Collection, Iterator
from uuid import uuid4

from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.webhook import Letter, WebhookError, build_webhook, send_letter

ALERTS = Part("alerts")
_URL, _FORM = "SMARTDIET_ALERT_URL", "SMARTDIET_ALERT_FORM"


def examine_webhook(environment: Environment, unusable: Collection[str]) -> Iterator[Finding]:
    """Send a test message, once.

    Args:
        unusable: the variables that cannot be used.
    """
    if faulty := [name for name in (_URL, _FORM) if name in unusable]:
        yield ALERTS.skipped("webhook", f"No test message was sent: {', '.join(faulty)} cannot be used.")
        return
    webhook = build_webhook(environment.alert_url, environment.alert_form)
    if webhook is None:
        yield ALERTS.failed("webhook", f"Nobody would be told: set {_URL} to the URL of a webhook.")
        return
    identity = f"test-{uuid4().hex[:16]}"
    lines = ("smartdiet doctor sent this. An alert looks like it, and says what is wrong and what to do.",)
    how = "" if environment.alert_form else f", by its URL ({_FORM} says otherwise where that is wrong)"
    try:
        answer = send_letter(webhook, Letter(identity, "smartdiet: a test message", lines, {"state": "test"}))
    except WebhookError as error:
        yield ALERTS.failed(
            "webhook",
            f"The test message, in the form {webhook.form}{how}, was not taken: {error}. Compare {_URL} with the URL"
            " the service shows, and see whether this machine may reach it.",
        )
        return
    yield ALERTS.passed("webhook", f"A test message was taken, in the form {webhook.form}{how}: {answer}.")
