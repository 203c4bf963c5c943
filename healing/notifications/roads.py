"""The two roads out: apprise, to people; a signed webhook, to programs.

Rules that this module keeps:
1. Both are bounded in time and follow no redirect.
2. A webhook goes to the address that an administrator declared; link-local and metadata addresses it never reaches
   (`healing.http`). It is signed as Standard Webhooks has it: the id is that of the notification, the same each time.
3. Nothing is raised: what went wrong is an `Outcome`, without the secrets of the address.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from standardwebhooks import Webhook

from healing.http import Guard, Unreachable, fetch
from healing.models import Channel, Notification
from healing.notifications import links, secrets
from selfheal.canonical import dumps
from selfheal.errors import Invalid, NotAllowed
from selfheal.messages import harmless, together

logger = logging.getLogger(__name__)

SECONDS = 10.0  # for one attempt
KEY_BYTES = range(16, 129)  # Standard Webhooks wants 24 to 64


@dataclass(frozen=True)
class Outcome:
    """`gone`: the receiver wants nothing more, ever."""

    ok: bool
    error: str = ""
    gone: bool = False


def send(channel: Channel | None, rows: Sequence[Notification], at: datetime) -> Outcome:
    """Send these rows over the channel: one message by apprise, however many they are; a webhook takes one row."""
    try:
        if channel is not None and channel.kind == "webhook":
            return _webhook(channel, rows[0], at)
        return _people(channel, rows)
    except Invalid as error:
        return Outcome(False, harmless(error.message, secrets.known()))
    except Exception as error:  # a plugin of apprise may raise anything, and the others must go out all the same
        logger.exception("a notification could not be sent over %s", channel or "SELF_HEAL_NOTIFY_URLS")
        return Outcome(False, f"{type(error).__name__} while sending")


def _people(channel: Channel | None, rows: Sequence[Notification]) -> Outcome:
    import apprise  # half a second, and needed by whoever sends only

    hidden: list[str] = []
    urls = [channel.url] if channel else list(settings.SELF_HEAL_NOTIFY_URLS)
    people = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
    for url in urls:
        revealed, found = secrets.reveal(url)
        hidden += found
        if not people.add(revealed):
            return Outcome(False, "apprise knows no such address: see its list of services")
    title, body = together([(row.title, row.body) for row in rows], links.address("healing_notification_changelist"))
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        sent = people.notify(title=title, body=body, body_format="markdown", timeout=SECONDS)
        why = said.getvalue()
    if sent:
        return Outcome(True)
    return Outcome(False, harmless(why, [*hidden, *secrets.known()]) or "not all could be told")


def _webhook(channel: Channel, row: Notification, at: datetime) -> Outcome:
    url, hidden = secrets.reveal(channel.url)
    body = dumps(row.payload)
    name = f"msg_{row.pk.hex}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(signing_key(channel.signing_secret)).sign(name, at, body.decode()),
    }
    try:
        answer = fetch("POST", url, Guard.of([url]), headers=headers, body=body, timeout=SECONDS)
    except NotAllowed:
        return Outcome(False, "the host leads to an address that no channel may reach: link-local, metadata, multicast, reserved")
    except (Invalid, Unreachable) as error:
        return Outcome(False, harmless(str(error), [*hidden, *secrets.known()]))
    if 200 <= answer.status < 300:
        return Outcome(True)
    if answer.status == 410:
        return Outcome(False, "answered 410: it wants nothing more", gone=True)
    note = "; redirects are not followed" if 300 <= answer.status < 400 else ""
    return Outcome(False, f"answered {answer.status}{note}")


def signing_key(name: str) -> bytes:
    """The key that signs a webhook: the secret `whsec_` and base64. Raises Invalid, which never repeats it."""
    text = secrets.read(name).strip().removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in KEY_BYTES:
        raise Invalid(f"secret {name} must be whsec_ and the base64 of 24 to 64 bytes", field="signing_secret")
    return key
