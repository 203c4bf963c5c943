"""Declaring channels.

Rules that this module keeps:
1. Only who may configure changes one. Declaring a channel is what allows its host.
2. Secrets stand in an address by name only: a password in it is refused. No entry, list or message repeats more of an address
   than where it leads.
3. Every change has its entry, with before and after. A channel that goes takes what waits for it along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from healing import ledger
from healing.actions.base import SECRET
from healing.http import parse
from healing.models import Channel, Notification, Service, User
from healing.notifications import links, roads, secrets, sending
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.messages import EVENTS, ON_REQUEST, Facts, message
from selfheal.states import Impact

PERMISSION = "healing.configure"
CHOICES = [name for name in EVENTS if name != ON_REQUEST]
KINDS = ("apprise", "webhook")
MAX_NAME, MAX_URL = 100, 1_000
FIELDS = ("name", "kind", "url", "signing_secret", "events", "least_impact", "active")


def save(channel: Channel | None, said: Mapping[str, Any], user: User, at: datetime) -> Channel:
    """Declare a channel, or change one. `said`: {name, kind, url, signing_secret, events, least_impact, services}.

    Raises NotAllowed (role), Invalid naming the field, Conflict for a name that is taken.
    """
    _may(user)
    _check(said)
    services = list(Service.objects.filter(name__in=said["services"]))
    if len(services) != len(set(said["services"])):
        raise Invalid("names a service that is not declared", field="services")
    row = channel or Channel()
    before = standing(channel) if channel else None
    moved = channel is not None and channel.url != said["url"]
    for name in FIELDS[:-1]:
        setattr(row, name, said[name])
    if row.kind == "apprise":
        row.signing_secret = ""
    try:
        with transaction.atomic():
            row.save()
            row.services.set(services)
            _log("channel.changed" if channel else "channel.declared", row, before, user, at, address_changed=moved)
    except IntegrityError as error:
        raise Conflict(f"there is a channel {row.name} already") from error
    return row


def switch(channel: Channel, active: bool, user: User, at: datetime) -> None:
    """Switch it on or off; what waits for one that is off is not sent."""
    _may(user)
    before = standing(channel)
    with transaction.atomic():
        if not Channel.objects.filter(pk=channel.pk, active=not active).update(active=active):
            raise Conflict(f"{channel.name} is {'on' if active else 'off'} already")
        channel.active = active
        _log("channel.on" if active else "channel.off", channel, before, user, at)


def remove(channel: Channel, user: User, at: datetime) -> None:
    """Take it away; what was sent by it stays in the list."""
    _may(user)
    with transaction.atomic():
        _log("channel.removed", channel, standing(channel), user, at)
        Notification.objects.filter(channel=channel, due_at__isnull=False).update(due_at=None, error="not sent: channel removed")
        channel.delete()


def test(channel: Channel, user: User, at: datetime) -> Notification:
    """Send one message now, whatever the mode is: somebody asked for it. The row says how it went; it is not tried again."""
    _may(user)
    facts = Facts(what=f"{user.username} tests the channel {channel.name}", link=links.address("index"))
    said = message(ON_REQUEST, facts, secrets.known())
    row = Notification(
        channel=channel,
        event=ON_REQUEST,
        subject=f"channel:{channel.pk}",
        title=said.title,
        body=said.body,
        payload={"type": ON_REQUEST, "timestamp": at.isoformat(), "data": said.data},
        created_at=at,
        attempts=1,
        error="it is being sent",
    )
    row.save()
    outcome = roads.send(channel, [row], at)
    row.sent_at, row.error = at if outcome.ok else None, outcome.error
    with transaction.atomic():
        row.save(update_fields=["sent_at", "error"])
        payload = {"name": channel.name, "ok": outcome.ok, "error": outcome.error}
        ledger.append(actor=user.username, action="channel.tested", resource=f"channel:{channel.pk}", payload=payload, at=at)
        if outcome.gone:
            sending.switch_off(channel, outcome.error, at)
    return row


def standing(channel: Channel) -> dict[str, Any]:
    """A channel as an entry tells it: where it leads, not how one gets in."""
    row = Channel.objects.get(pk=channel.pk)
    return {
        **{name: getattr(row, name) for name in FIELDS if name != "url"},
        "address": secrets.shown(row.url),
        "services": sorted(row.services.values_list("name", flat=True)),
    }


def _check(said: Mapping[str, Any]) -> None:
    if not 0 < len(said["name"].strip()) <= MAX_NAME or not said["name"].isprintable():
        raise Invalid(f"is 1 to {MAX_NAME} printable characters", field="name")
    if said["kind"] not in KINDS:
        raise Invalid(f"is one of {', '.join(KINDS)}", field="kind")
    unknown = [name for name in said["events"] if name not in CHOICES]
    if unknown:
        raise Invalid(f"there is no event {unknown[0]!r}; there are {', '.join(CHOICES)}", field="events")
    if said["least_impact"] not in list(Impact):
        raise Invalid(f"is one of {', '.join(Impact)}", field="least_impact")
    _check_address(said["kind"], said["url"])
    if said["kind"] == "webhook" and not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", said["signing_secret"]):
        raise Invalid("names the file in SELF_HEAL_SECRETS_DIR that holds whsec_…", field="signing_secret")


def _check_address(kind: str, url: str) -> None:
    if not 0 < len(url) <= MAX_URL or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise Invalid(f"is 1 to {MAX_URL:,} characters without blanks", field="url")
    if SECRET.fullmatch(url):
        return
    bare = SECRET.sub("x", url)
    if kind == "webhook":
        try:
            parse(bare)
        except Invalid as error:
            raise Invalid(error.message.replace(": use `auth`", ": the signature says who we are"), field="url") from error
    elif not re.match(r"[a-z][a-z0-9+.-]*://", url):
        raise Invalid("is an apprise address such as slack://${secret.SLACK}/#ops: see its list of services", field="url")
    if _password(url):
        raise Invalid("holds a password: put it into a file of SELF_HEAL_SECRETS_DIR and write ${secret.NAME}", field="url")


def _password(url: str) -> str:
    """A password that stands in the address as it is."""
    held = SECRET.sub("", url.partition("://")[2].partition("/")[0].rpartition("@")[0])
    return held.partition(":")[2]


def _may(user: User) -> None:
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role admin")


def _log(action: str, channel: Channel, before: Mapping[str, Any] | None, user: User, at: datetime, **more: Any) -> None:
    after = None if action == "channel.removed" else standing(channel)
    payload = {"before": before, "after": after, **more}
    ledger.append(actor=user.username, action=action, resource=f"channel:{channel.pk}", payload=payload, at=at)
