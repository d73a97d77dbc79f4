"""Posting a message: in the form a service takes, once, and whatever the other end does, soon over and discreet."""

import json
import logging
import time
from collections.abc import Iterator

import pytest

from smartdiet_assets.resources.webhook import (
    Form,
    Letter,
    Webhook,
    WebhookError,
    build_webhook,
    compose_body,
    derive_form,
    send_letter,
)
from smartdiet_assets_tests.support.webhook_server import WebhookServer, serve_webhook

LETTER = Letter("cause-problem", "smartdiet: A run failed: user_events", ("user_events: <!channel> @here *no*",))
SECRET = "Marked-Webhook-1a2B"


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with serve_webhook() as served:
        yield served


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/xyz", "slack"),
        ("https://hooks.slack-gov.com/services/T0/B0/xyz", "slack"),
        ("https://company.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4", "teams"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=x", "teams"),
        ("https://default1.2.environment.api.powerplatform.com/powerautomate/automations/direct/x", "teams"),
        ("https://chat.example.org/hooks/abcdefghijklmnopqrstuvwxyz", "mattermost"),
        ("https://example.org/mattermost/hooks/abcdefghij0123456789klmnop", "mattermost"),
        ("https://hooks.slack.com.example.org/services/T0/B0/xyz", "json"),
        ("https://example.org/hooks/alerts", "json"),
        ("http://127.0.0.1:8080/", "json"),
    ],
)
def test_the_form_is_derived_from_the_url(url: str, form: Form) -> None:
    assert derive_form(url) == form
    assert build_webhook(url) == Webhook(url, form)
    assert build_webhook(url, "slack") == Webhook(url, "slack")
    assert build_webhook("") is None


def test_names_from_outside_call_nobody_and_mark_nothing() -> None:
    slack = compose_body(LETTER, "slack")["text"]
    assert slack == f"{LETTER.title}\nuser_events: &lt;!channel&gt; @here *no*"
    mattermost = str(compose_body(LETTER, "mattermost")["text"])
    assert r"user\_events: \<!channel\> @" in mattermost
    assert "@here" not in mattermost
    assert r"\*no\*" in mattermost
    card = json.dumps(compose_body(LETTER, "teams"))
    assert "AdaptiveCard" in card
    assert r"\\*no\\*" in card
    assert compose_body(LETTER, "json") == {
        "id": LETTER.identity,
        "title": LETTER.title,
        "lines": list(LETTER.lines),
    }


@pytest.mark.parametrize("form", ["slack", "teams", "mattermost", "json"])
def test_a_message_is_posted_once_and_known_by_its_id(server: WebhookServer, form: Form) -> None:
    assert send_letter(Webhook(server.url, form), LETTER) == "HTTP 200 (ok)"
    assert server.bodies == [compose_body(LETTER, form)]
    assert server.identities == [LETTER.identity]


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (404, "no_service", "HTTP 404 (no_service)"),
        (403, f"token {SECRET}9 is wrong", "HTTP 403"),
        (500, "<html>" * 5000, "HTTP 500"),
        (302, "", "sends us elsewhere"),
        (308, "", "sends us elsewhere"),
    ],
)
def test_what_comes_back_is_said_and_no_secret(server: WebhookServer, status: int, text: str, said: str) -> None:
    server.status, server.text = status, text
    server.headers = {"Location": f"http://127.0.0.1:{server.port}/elsewhere"}
    with pytest.raises(WebhookError) as caught:
        send_letter(Webhook(server.url, "json"), LETTER)
    assert said in str(caught.value)
    assert str(caught.value).endswith(said) or status in (302, 308)
    assert SECRET not in repr(caught.value)
    assert server.tried == ["/" + server.url.split("/", 3)[3]], "it stays where it was sent"


def test_it_says_when_it_wants_to_be_asked_again(server: WebhookServer) -> None:
    for asked, wait in (("120", 120), ("86400", 3_600), ("9" * 20, 3_600), ("9" * 500, 3_600)):
        server.status, server.headers = 429, {"Retry-After": asked}
        with pytest.raises(WebhookError) as caught:
            send_letter(Webhook(server.url, "slack"), LETTER)
        assert caught.value.wait == wait
    server.headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with pytest.raises(WebhookError) as caught:
        send_letter(Webhook(server.url, "slack"), LETTER)
    assert caught.value.wait is None


def test_what_teams_itself_refused_is_not_taken(server: WebhookServer) -> None:
    server.text = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413"
    with pytest.raises(WebhookError, match="not delivered"):
        send_letter(Webhook(server.url, "teams"), LETTER)


def test_an_answer_without_end_is_given_up(server: WebhookServer) -> None:
    server.hangs = True
    began = time.monotonic()
    with pytest.raises(WebhookError, match=r"no answer came in 0\.5 s"):
        send_letter(Webhook(server.url, "json"), LETTER, seconds=0.5)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("url", [f"http://127.0.0.1:1/{SECRET}", f"http://nowhere.invalid/{SECRET}"])
def test_one_that_is_not_there_is_a_sentence(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(WebhookError) as caught:
        send_letter(Webhook(url, "json"), LETTER)
    assert "could not be reached" in str(caught.value)
    assert SECRET not in repr(caught.value) + caplog.text + repr(Webhook(url, "json"))
    assert caught.value.__cause__ is None
