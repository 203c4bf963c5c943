"""A code from a phone beside the password: who needs one, how it is set up, what a code does.

Rules that this module keeps:
1. Whoever has set it up is asked for it, and whoever has a role of SELF_HEAL_SECOND_FACTOR_ROLES must set it up. Until then a
   session may do nothing else: no page, no read over the API, no approval.
2. A code is taken once; after a wrong one the next is looked at only after 1, 2, 4, … seconds (django-otp keeps both).
3. Recovery codes are shown once and kept as hashes. One is used up by its use.
4. Setting up, taking away, new codes, a used recovery code and a wrong code each stand in the log; no code and no secret does.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from base64 import b32encode
from datetime import datetime
from typing import Any, Literal

import segno
from django.conf import settings
from django.db import transaction
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from healing import ledger, sessions
from healing.access import role_of
from healing.models import User
from selfheal.errors import Conflict, Invalid

RECOVERY_CODES = 10
Road = Literal["", "code", "enrolment"]


def is_demanded(user: User) -> bool:
    """Whether the role of `user` must have a second factor. A superuser counts as an administrator."""
    roles = settings.SELF_HEAL_SECOND_FACTOR_ROLES
    return bool(roles) and (role_of(user) in roles or (user.is_superuser and "admin" in roles))


def missing(user: Any) -> Road:
    """What a signed-in person still has to do before anything else; the empty string: nothing."""
    if not user.is_authenticated or getattr(user, "otp_device", None):
        return ""
    if device_of(user):
        return "code"
    return "enrolment" if is_demanded(user) else ""


def device_of(user: User) -> TOTPDevice | None:
    """What makes the codes of `user`; None: no second factor."""
    return TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).first()


def is_set_up(user: User) -> bool:
    return device_of(user) is not None


def begin(user: User) -> TOTPDevice:
    """A device to be set up: the same each time until it is confirmed. Raises Conflict where there is one already."""
    if device_of(user):
        raise Conflict("there is a second factor already; take it away first")
    begun = TOTPDevice.objects.filter(user_id=user.pk, confirmed=False).order_by("pk").first()
    return begun or TOTPDevice.objects.create(user_id=user.pk, confirmed=False, name="phone")


def drawn(device: TOTPDevice) -> str:
    """The QR code of a device as SVG to stand in a page."""
    return str(segno.make(device.config_url, error="m").svg_inline(scale=5, border=2, dark="#000", light="#fff", omitsize=True))


def secret_of(device: TOTPDevice) -> str:
    """What to type where no camera is at hand, in groups of four."""
    text = b32encode(device.bin_key).decode()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def confirm(user: User, code: str, at: datetime) -> tuple[TOTPDevice, list[str]]:
    """Set it up, with the first code of the phone; the device and its recovery codes. Raises Invalid for a code that is wrong."""
    device = begin(user)
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().get(pk=device.pk)
        if device.verify_token(_bare(code)):
            device.confirmed = True
            device.save(update_fields=["confirmed"])
            codes = _fresh_codes(user)
            _log(user, "second_factor.set_up", user.username, at)
            return device, codes
    raise Invalid(_wrong(device, at))


def verify(user: User, code: str, at: datetime) -> Device:
    """The device that the code is of: the phone, or the sheet of recovery codes. Raises Invalid for a code that is wrong.

    A refused code is counted, so this is called outside a transaction that its error would undo.
    """
    typed = _bare(code)
    with transaction.atomic():
        device = _asked(user, typed)
        if device is not None and device.verify_is_allowed()[0]:
            recovery = isinstance(device, StaticDevice)
            if device.verify_token(_hashed(typed) if recovery else typed):
                if recovery:
                    left = device.token_set.count()
                    _log(user, "second_factor.recovery_code_used", user.username, at, left=left)
                return device
            _log(user, "second_factor.refused", user.username, at, "refused")
    raise Invalid(_wrong(device, at))


def new_codes(user: User, at: datetime) -> list[str]:
    """Recovery codes in the place of those that there are. Raises Conflict without a second factor."""
    if device_of(user) is None:
        raise Conflict("there is no second factor")
    with transaction.atomic():
        _log(user, "second_factor.new_recovery_codes", user.username, at)
        return _fresh_codes(user)


def codes_left(user: User) -> int:
    return sum(device.token_set.count() for device in StaticDevice.objects.filter(user_id=user.pk))


def remove(user: User, actor: str, at: datetime, but: str | None = None) -> None:
    """Take it away, and end the sessions of `user` but the one with the key `but`. Raises Conflict where there is none."""
    with transaction.atomic():
        had = device_of(user) is not None
        TOTPDevice.objects.filter(user_id=user.pk).delete()
        StaticDevice.objects.filter(user_id=user.pk).delete()
        if not had:
            raise Conflict(f"{user.username} has no second factor")
        _log(user, "second_factor.removed", actor, at)
        sessions.end_all(user, actor, "the second factor was taken away", at, but)


def _asked(user: User, typed: str) -> Any:
    """The device that such a code would be of, locked where the database can."""
    model: Any = TOTPDevice if typed.isdigit() and len(typed) <= 8 else StaticDevice
    return model.objects.select_for_update().filter(user_id=user.pk, confirmed=True).first()


def _fresh_codes(user: User) -> list[str]:
    device, _ = StaticDevice.objects.get_or_create(user_id=user.pk, defaults={"name": "recovery codes"})
    device.token_set.all().delete()
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    for code in codes:
        device.token_set.create(token=_hashed(code))
    return ["-".join(code[i : i + 4] for i in range(0, 16, 4)) for code in codes]


def _bare(code: str) -> str:
    """The code as it is compared: people type spaces and dashes."""
    return code[:64].replace(" ", "").replace("-", "").lower()


def _hashed(code: str) -> str:
    """80 random bits are not guessed back from their hash; 16 characters are what a row of django-otp holds."""
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _wrong(device: Any, at: datetime) -> str:
    why = device.verify_is_allowed()[1] if device else None
    if not why or "locked_until" not in why:
        return "the code is wrong, or was used already"
    seconds = max(1, math.ceil((why["locked_until"] - at).total_seconds()))
    return f"the code is wrong, or was used already; the next one is looked at in {seconds} s"


def _log(user: User, action: str, actor: str, at: datetime, result: str = "ok", **payload: Any) -> None:
    more = {"name": user.username, **payload}
    ledger.append(actor=actor, action=action, resource=f"user:{user.pk}", payload=more, at=at, result=result)
