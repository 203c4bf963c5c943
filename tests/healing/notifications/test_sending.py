"""Sending: claimed once, tried again, given up; a signed webhook that a receiver can verify."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from healing.models import Channel, LedgerOutbox, Notification
from healing.notifications import deliver, roads, sending, writing
from healing.notifications.roads import Outcome
from selfheal.messages import Facts

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def told(at: datetime, channel: Channel | None, **fields: Any) -> Notification:
    values = {
        "event": "run.failed",
        "subject": "run:1",
        "title": "Run failed: x",
        "body": "- Why: y",
        "payload": {"type": "run.failed", "timestamp": at.isoformat(), "data": {"what": "x"}},
        "created_at": at,
        "due_at": at,
    }
    return Notification.objects.create(channel=channel, **values | fields)


class Receiver:
    """A program that hears webhooks: `.status` is what it answers, `.got` what it was sent."""

    def __init__(self) -> None:
        self.status, self.got, self.location = 204, [], ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def hook(db: Any, receiver: Receiver, tmp_path: Any) -> Channel:
    (tmp_path / "HOOK").write_text(SECRET + "\n")
    return Channel.objects.create(name="hook", kind="webhook", url=receiver.url, signing_secret="HOOK")


@pytest.fixture
def now() -> datetime:
    """The real time: the receiver refuses what is five minutes off."""
    return timezone.now()


def test_a_receiver_verifies_the_signature_and_the_id_stays_the_same_over_retries(
    now: datetime, hook: Channel, receiver: Receiver
) -> None:
    row = told(now, hook)
    receiver.status = 503
    deliver(now)
    row.refresh_from_db()
    assert (row.attempts, row.sent_at, row.error, row.due_at) == (1, None, "answered 503", now + sending.AGAIN)
    deliver(now + timedelta(seconds=29))
    receiver.status = 200
    deliver(now + timedelta(seconds=30))
    deliver(now + timedelta(hours=1))
    row.refresh_from_db()
    assert (row.attempts, row.due_at, row.error) == (2, None, "")
    assert row.sent_at == now + timedelta(seconds=30)
    assert len(receiver.got) == 2
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {f"msg_{row.pk.hex}"}
    for headers, body in receiver.got:
        assert Webhook(SECRET).verify(body, headers) == {
            "type": "run.failed",
            "timestamp": now.isoformat(),
            "data": {"what": "x"},
        }
    headers, body = receiver.got[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"run.failed", b"run.healed"), headers)


def test_410_switches_the_channel_off_with_an_entry(now: datetime, hook: Channel, receiver: Receiver) -> None:
    told(now, hook)
    receiver.status = 410
    deliver(now)
    hook.refresh_from_db()
    assert not hook.active
    leaves = [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id")]
    assert [leaf["action"] for leaf in leaves] == ["channel.off", "notification.given_up"]
    assert Notification.objects.get().due_at is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "http://169.254.169.254/latest"}, "no channel may reach"),
        ({"url": "http://[fd00:ec2::254]/"}, "no channel may reach"),
        ({"url": "http://127.0.0.1:9/x"}, "refused"),
        ({"signing_secret": "NONE"}, "secret NONE cannot be read"),
        ({"signing_secret": "BAD"}, "secret BAD must be whsec_"),
    ],
)
def test_what_cannot_be_sent_says_why_without_the_secret(
    now: datetime, hook: Channel, tmp_path: Any, change: dict[str, str], words: str
) -> None:
    (tmp_path / "BAD").write_text("not base64 PLANTED")
    Channel.objects.filter(pk=hook.pk).update(**change)
    told(now, hook)
    deliver(now)
    row = Notification.objects.get()
    assert words in row.error
    assert "PLANTED" not in row.error
    assert row.due_at == now + sending.AGAIN


def test_a_redirect_is_not_followed(now: datetime, hook: Channel, receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, receiver.url
    told(now, hook)
    deliver(now)
    assert len(receiver.got) == 1
    assert Notification.objects.get().error == "answered 302; redirects are not followed"


def test_attempts_come_later_each_time_and_end(at: datetime, channel: Channel, people: Any) -> None:
    people.deaf = "answered 500"
    told(at, channel)
    waits, now = [], at
    while True:
        deliver(now)
        row = Notification.objects.get()
        if row.due_at is None:
            break
        waits.append((row.due_at - now).total_seconds())
        now = row.due_at
    assert waits == [30, 60, 120, 240, 480, 960, 1920]
    assert (row.attempts, row.error, row.sent_at) == (8, "answered 500", None)


def test_a_row_is_claimed_once_and_a_dead_worker_leaves_it_to_the_next(at: datetime, channel: Channel) -> None:
    row = told(at, channel)
    assert [len(sending._claim(row, at)), len(sending._claim(row, at))] == [1, 0]
    row.refresh_from_db()
    assert at + sending.LEASE <= row.due_at < at + sending.LEASE + timedelta(seconds=1)
    assert len(sending._claim(row, at + sending.LEASE + timedelta(seconds=1))) == 1


def test_whoever_comes_too_late_with_a_result_writes_nothing(at: datetime, channel: Channel) -> None:
    row = told(at, channel)
    (slow,) = sending._claim(row, at)
    (quick,) = sending._claim(row, at + timedelta(minutes=3))
    sending.finish([slow], Outcome(True), at)
    assert Notification.objects.get().sent_at is None
    sending.finish([quick], Outcome(True), at)
    sending.finish([slow], Outcome(False, "timeout"), at)
    assert (Notification.objects.get().sent_at, Notification.objects.get().error) == (at, "")


def test_what_is_due_for_people_goes_as_one_message(at: datetime, channel: Channel, people: Any) -> None:
    for number in range(12):
        told(at, channel, title=f"title {number}", created_at=at + timedelta(microseconds=number))
    deliver(at)
    ((title, body),) = people.heard
    assert title == "12 messages, the first: title 0"
    assert body.endswith("and 2 more: <https://more>")
    assert Notification.objects.filter(sent_at=at).count() == 12


def test_in_a_storm_what_comes_further_waits_for_the_next_full_minute(at: datetime, channel: Channel, people: Any) -> None:
    from django.db import transaction

    with transaction.atomic():
        for second in range(30):
            writing.tell("run.failed", Facts("x"), subject="run:1", at=at + timedelta(seconds=second + 5))
    for second in range(0, 120, 5):
        deliver(at + timedelta(seconds=second))
    assert len(people.heard) == 4  # three of the first ten, which came second by second, then the others together
    assert people.heard[-1][0].startswith("20 messages")


def test_what_is_too_old_wakes_nobody(at: datetime, channel: Channel, people: Any) -> None:
    told(at, channel)
    deliver(at + timedelta(hours=7))
    assert people.heard == []
    assert (Notification.objects.get().due_at, Notification.objects.get().error) == (None, sending.TOO_OLD)
    assert json.loads(bytes(LedgerOutbox.objects.get().leaf))["action"] == "notification.given_up"


def test_a_receiver_that_fails_does_not_hold_up_the_others(now: datetime, hook: Channel, receiver: Receiver, people: Any) -> None:
    receiver.status = 500
    for number in range(20):
        told(now - timedelta(seconds=number), hook)
    told(now, Channel.objects.create(name="ops", kind="apprise", url="json://x"))
    deliver(now)
    assert (len(receiver.got), len(people.heard)) == (1, 1)
    assert sorted(Notification.objects.filter(channel=hook).values_list("attempts", flat=True)) == [0] * 19 + [1]
    assert not Notification.objects.filter(due_at__lte=now).exists()


def test_what_is_long_over_is_deleted_and_what_waits_is_not(at: datetime, channel: Channel) -> None:
    told(at - timedelta(days=91), channel, due_at=None)
    kept = {told(at - timedelta(days=91), channel).pk, told(at - timedelta(days=89), channel, due_at=None).pk}
    assert sending.prune(at) == 1
    assert set(Notification.objects.values_list("pk", flat=True)) == kept


def test_a_plugin_that_raises_keeps_nothing_else_from_being_sent(
    at: datetime, channel: Channel, hook: Channel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roads, "_people", lambda *_: 1 / 0)
    told(at, channel)
    told(at, hook)
    deliver(at)
    assert len(receiver.got) == 1
    assert Notification.objects.get(channel=channel).error == "ZeroDivisionError while sending"


def test_apprise_is_given_the_revealed_address_and_tells_what_failed_without_it(
    now: datetime, channel: Channel, receiver: Receiver, tmp_path: Any
) -> None:
    (tmp_path / "TOKEN").write_text("PLANTED/and more")
    Channel.objects.update(url=receiver.url.replace("http://", "json://") + "/${secret.TOKEN}")
    told(now, channel, title="Run failed: x", body="- Why: y <z>")
    deliver(now)
    ((_, body),) = receiver.got
    assert json.loads(body)["title"] == "Run failed: x"
    assert Notification.objects.get().sent_at == now
    receiver.server.shutdown()
    receiver.server.server_close()
    told(now, channel)
    deliver(now)
    row = Notification.objects.get(sent_at=None)
    assert "Connection error" in row.error
    assert "PLANTED" not in row.error
