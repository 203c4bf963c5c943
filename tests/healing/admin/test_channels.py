"""Channels and notifications on the pages: for whom, logged, and without a secret."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import access
from healing.models import Channel, JobRun, LedgerOutbox, Notification, Token
from healing.notifications import roads
from healing.notifications.roads import Outcome
from tests.factories import make_service

from .conftest import text_of

pytestmark = pytest.mark.django_db

LIST, NEW = "/admin/healing/channel/", "/admin/healing/channel/new/"
SAID = {
    "name": "ops",
    "kind": "apprise",
    "url": "slack://${secret.SLACK}/PLANTED-path",
    "signing_secret": "",
    "events": ["run.failed", "approval.requested"],
    "least_impact": "high",
    "services": ["web"],
}


@pytest.fixture(autouse=True)
def _secrets(settings: Any, tmp_path: Any) -> None:
    settings.SELF_HEAL_SECRETS_DIR = tmp_path
    (tmp_path / "SLACK").write_text("PLANTED-slack-token")


def entries() -> list[dict[str, Any]]:
    leaves = [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id")]
    return [leaf for leaf in leaves if leaf["action"].startswith("channel.")]


def test_an_administrator_declares_changes_and_removes_a_channel_and_the_log_says_what_was_before(sign_in: Any) -> None:
    make_service("web")
    client = sign_in("root", "admin")
    assert client.post(NEW, SAID).status_code == 302
    channel = Channel.objects.get()
    page = f"{LIST}{channel.pk}/"
    assert client.post(f"{page}edit/", {**SAID, "least_impact": "low", "url": "slack://${secret.SLACK}/other"}).status_code == 302
    client.post(f"{page}act/off/")
    client.post(f"{page}act/remove/")
    declared, changed, off, removed = entries()
    assert declared["payload"]["after"]["events"] == ["run.failed", "approval.requested"]
    assert changed["payload"]["before"]["least_impact"] == "high"
    assert changed["payload"]["after"]["least_impact"] == "low"
    assert changed["payload"]["address_changed"] is True
    assert (off["payload"]["after"]["active"], removed["payload"]["after"]) == (False, None)
    assert {leaf["actor"] for leaf in entries()} == {"root"}
    assert not Channel.objects.exists()


def test_no_page_and_no_entry_shows_more_of_an_address_than_where_it_leads(sign_in: Any) -> None:
    make_service("web")
    client = sign_in("root", "admin")
    client.post(NEW, SAID)
    page = f"{LIST}{Channel.objects.get().pk}/"
    for address in (LIST, f"{page}change/"):
        assert "slack://" in text_of(client.get(address))
        assert "PLANTED" not in text_of(client.get(address))
    form = text_of(client.get(f"{page}edit/"))
    assert "${secret.SLACK}" in form
    assert "PLANTED-slack-token" not in form
    assert "PLANTED" not in json.dumps(entries())


@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_channels_are_for_administrators(sign_in: Any, role: str) -> None:
    channel = Channel.objects.create(name="ops", kind="apprise", url="json://x")
    client = sign_in("vera", role)
    for address in (LIST, NEW, f"{LIST}{channel.pk}/change/", f"{LIST}{channel.pk}/edit/"):
        assert client.get(address).status_code == 403
    for address in (NEW, f"{LIST}{channel.pk}/edit/", f"{LIST}{channel.pk}/act/remove/", f"{LIST}{channel.pk}/act/test/"):
        assert client.post(address, SAID).status_code == 403
    assert "/admin/healing/channel/" not in text_of(client.get("/admin/"))
    assert Channel.objects.get() == channel


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "mailto://ann:hunter22@mail.example"}, "Holds a password"),
        ({"url": "mailto://ann:${secret.SLACK}@mail.example"}, ""),
        ({"url": "${secret.SLACK}"}, ""),
        ({"url": "not an address"}, "without blanks"),
        ({"url": "nonsense"}, "Is an apprise address such as"),
        ({"kind": "webhook", "url": "https://hooks.example/x"}, "Names the file in SELF_HEAL_SECRETS_DIR"),
        ({"kind": "webhook", "url": "ftp://hooks.example/x", "signing_secret": "HOOK"}, "must be an absolute http or https URL"),
        ({"kind": "webhook", "url": "https://hooks.example/x", "signing_secret": "../HOOK"}, "Names the file"),
        ({"kind": "webhook", "url": "https://hooks.example/x", "signing_secret": "HOOK"}, ""),
    ],
)
def test_an_address_is_checked_when_it_is_declared(sign_in: Any, change: dict[str, str], words: str) -> None:
    make_service("web")
    response = sign_in("root", "admin").post(NEW, {**SAID, **change})
    if words:
        assert words.lower() in text_of(response).lower()
    assert Channel.objects.count() == (0 if words else 1)


@pytest.mark.parametrize("went", [Outcome(True), Outcome(False, "answered 404")])
def test_a_test_message_is_sent_at_once_and_the_page_says_how_it_went(
    sign_in: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, went: Outcome
) -> None:
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    monkeypatch.setattr(roads, "_people", lambda *_: went)
    channel = Channel.objects.create(name="ops", kind="apprise", url="json://x")
    client = sign_in("root", "admin")
    assert client.get(f"{LIST}{channel.pk}/act/test/").status_code == 405
    page = text_of(client.post(f"{LIST}{channel.pk}/act/test/", follow=True))
    assert ("The test message was sent." if went.ok else "The test message was not sent: answered 404.") in page
    row = Notification.objects.get()
    assert (row.event, row.due_at, row.error) == ("channel.test", None, went.error)
    assert entries()[-1]["action"] == "channel.tested"


def test_pages_say_that_nobody_is_paged_in_observe_mode(sign_in: Any, settings: Any) -> None:
    client = sign_in("root", "admin")
    channel = Channel.objects.create(name="ops", kind="apprise", url="json://x")
    pages = (LIST, f"{LIST}{channel.pk}/change/", "/admin/healing/notification/")
    assert not any("nobody is told" in text_of(client.get(page)) for page in pages)
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    assert all("nobody is told" in text_of(client.get(page)) for page in pages)


def test_the_list_of_notifications_says_how_each_went_and_links_to_what_it_is_about(sign_in: Any) -> None:
    at = timezone.now()
    values = {"event": "run.failed", "title": "Run failed: <b>x</b> @\u200bhere", "created_at": at, "subject": "kill_switch"}
    for more in (
        {"sent_at": at},
        {"due_at": at},
        {"due_at": at, "attempts": 2, "error": "answered 500"},
        {"attempts": 8, "error": "answered 500"},
        {"error": "not sent: the request is answered"},
    ):
        Notification.objects.create(**values, **more)
    client = sign_in()
    page = text_of(client.get("/admin/healing/notification/"))
    for word in ("sent", "waiting", "tried again", "given up", "not sent", "SELF_HEAL_NOTIFY_URLS"):
        assert word in page
    assert "&lt;b&gt;x&lt;/b&gt; @here" in page
    row = text_of(client.get(f"/admin/healing/notification/{Notification.objects.first().pk}/change/"))
    assert '<a href="/admin/healing/control/1/change/">kill switch</a>' in row


def test_a_token_that_ends_soon_is_marked(sign_in: Any) -> None:
    client, at = sign_in("root", "admin"), timezone.now()
    access.create_token(client.user, ["read"], timedelta(days=30), "later", "root", at)
    assert "ends soon" not in text_of(client.get("/admin/healing/token/"))
    Token.objects.update(expiry=at + timedelta(days=6))
    assert "ends soon" in text_of(client.get("/admin/healing/token/"))


def test_the_first_page_says_when_the_watchdog_is_silent(sign_in: Any) -> None:
    JobRun.objects.create(job="Watchdog", started_at=timezone.now(), error="the alert Watchdog has not come for 12 min")
    page = text_of(sign_in().get("/admin/"))
    assert "alerts may not arrive" in page
    assert "has not come for 12 min" in page
