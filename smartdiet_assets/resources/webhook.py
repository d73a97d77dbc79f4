"""The webhook that alerts are sent to: the forms of messages that services take, and sending one.

The URL is a secret: whoever has it can write to the channel. No message, no error and no representation repeats it, nor
what the other end says but for a short word. Here: one try. Not here: what is sent (`assets.alerts`), or trying again.
"""

import http.client
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Literal
from urllib.parse import urlsplit

from smartdiet_assets.errors import SmartdietError

#: How a message is written: as one of these services takes it, or all that is known as plain JSON.
Form = Literal["slack", "teams", "mattermost", "json"]
_SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
#: Connectors, and the workflows that came after them.
_TEAMS_HOSTS = ("webhook.office.com", "logic.azure.com", "api.powerplatform.com")
#: Any host may be a Mattermost: the path shows it.
_MATTERMOST_PATH = re.compile(r"/hooks/[a-z0-9]{26}/?")
#: Seconds for one answer of the network, and for the whole try, whatever the other end does.
_ANSWER_TIMEOUT = 5.0
_TRY_TIMEOUT = 10.0
#: The longest it may have us wait.
_LONGEST_WAIT = 3_600.0
#: What of an answer is read; services say in a word what they do not like.
_MOST_READ = 2_000
_WORD = re.compile(r"[a-z][a-z_ ]{0,60}", re.IGNORECASE)
_MARKS_OF_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKS_OF_MARKDOWN = re.compile(r"([\\`*_\[\]()#|~<>])")


class WebhookError(SmartdietError):
    """The webhook did not take a message.

    Attributes:
        wait: seconds after which it wants to be asked again, an hour at most; None where it does not say.
    """

    def __init__(self, sentence: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages go, and their form."""

    url: str = field(repr=False)
    form: Form

    def describe(self) -> str:
        """Name the webhook in a message, without its URL."""
        return {"slack": "Slack", "teams": "Teams", "mattermost": "Mattermost", "json": "the webhook"}[self.form]


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent: a title, lines below it, and for plain JSON all of it in fields.

    Attributes:
        identity: the same each time it is tried, so that a receiver can tell that it has it already.
    """

    identity: str
    title: str
    lines: tuple[str, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)


def build_webhook(url: str, form: Form | Literal[""] = "") -> Webhook | None:
    """Build the webhook of a URL, in the form given or else derived; None where there is no URL."""
    return Webhook(url, form or derive_form(url)) if url else None


def derive_form(url: str) -> Form:
    """Derive from a URL which service it is of; plain JSON where it is of none that is known."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _SLACK_HOSTS:
        return "slack"
    if any(host == known or host.endswith(f".{known}") for known in _TEAMS_HOSTS):
        return "teams"
    if _MATTERMOST_PATH.search(parts.path):
        return "mattermost"
    return "json"


def compose_body(letter: Letter, form: Form) -> dict[str, object]:
    """Compose what is posted. Names from outside are no marks: nobody is called, and nothing becomes a link."""
    if form == "slack":
        title, *lines = (text.translate(_MARKS_OF_SLACK) for text in (letter.title, *letter.lines))
        return {"text": "\n".join([title, *lines]), "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    if form == "mattermost":
        title, *lines = (_MARKS_OF_MARKDOWN.sub(r"\\\1", text) for text in (letter.title, *letter.lines))
        # A zero-width space behind an @: without it people are called whatever stands before it.
        return {"text": "\n".join([f"**{title}**", *lines]).replace("@", "@\u200b")}
    if form == "teams":
        blocks = [{"type": "TextBlock", "text": _MARKS_OF_MARKDOWN.sub(r"\\\1", letter.title), "weight": "Bolder"}]
        blocks += [{"type": "TextBlock", "text": _MARKS_OF_MARKDOWN.sub(r"\\\1", line)} for line in letter.lines]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [{**block, "wrap": True} for block in blocks],
        }
        return {
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
        }
    return {"id": letter.identity, "title": letter.title, "lines": list(letter.lines), **letter.fields}


def send_letter(webhook: Webhook, letter: Letter, *, seconds: float = _TRY_TIMEOUT) -> str:
    """Send a message, once; say what came back.

    Args:
        seconds: after which the try is given up, wherever it is: resolving a name has no timeout of its own.

    Raises:
        WebhookError: it was not taken, or nobody knows whether it was.
    """
    body = json.dumps(compose_body(letter, webhook.form)).encode()
    request = urllib.request.Request(
        webhook.url,
        body,
        {
            "Content-Type": "application/json",
            "User-Agent": "smartdiet",
            # What a receiver may know a message by that it took, while its answer was lost.
            "Idempotency-Key": letter.identity,
        },
    )
    return _give_up_after(seconds, lambda: _post(webhook, request))


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a message goes where the URL says, and nowhere else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        return None


def _post(webhook: Webhook, request: urllib.request.Request) -> str:
    name = webhook.describe()
    try:
        # Proxies are those of the environment.
        with urllib.request.build_opener(_StayHere).open(request, timeout=_ANSWER_TIMEOUT) as response:
            text = response.read(_MOST_READ).decode(errors="replace")
            status = int(response.status)
    except urllib.error.HTTPError as error:
        raise _judge_refusal(name, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WebhookError(f"{name} could not be reached ({_name_cause(error)})") from None
    if webhook.form == "teams" and "HTTP error" in text:
        # Its connectors answer 200 for what Teams itself refused.
        raise WebhookError(f"{name} answered HTTP {status}, and that it was not delivered")
    return f"HTTP {status}{_format_word(text)}"


def _judge_refusal(name: str, error: urllib.error.HTTPError) -> WebhookError:
    with error:
        try:
            word = _format_word(error.read(_MOST_READ).decode(errors="replace"))
        except (OSError, http.client.HTTPException):
            word = ""
    if 300 <= error.code < 400:
        return WebhookError(f"{name} answered HTTP {error.code}: it sends us elsewhere, which is not followed")
    asked = error.headers.get("Retry-After", "")
    # Of any number of digits; `float` of many is infinite, which no time is.
    wait = min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else None
    return WebhookError(f"{name} answered HTTP {error.code}{word}", wait)


def _format_word(text: str) -> str:
    """Format what an answer says where it is a word or a few; anything longer might repeat what it was sent."""
    word = text.strip()
    return f" ({word})" if _WORD.fullmatch(word) else ""


def _name_cause(error: BaseException) -> str:
    """Name an error by its type, or its number: the text of some repeats the URL."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, BaseException) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror and not cause.filename:
        return cause.strerror
    return type(cause).__name__


def _give_up_after(seconds: float, act: Callable[[], str]) -> str:
    """Do something in a thread that nobody waits for longer than that."""
    outcome: list[str | BaseException] = []

    def run() -> None:
        try:
            outcome.append(act())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True, name="smartdiet webhook")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise WebhookError(f"no answer came in {seconds:g} s")
    [found] = outcome
    if isinstance(found, BaseException):
        raise found
    return found
