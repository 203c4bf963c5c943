"""Autonomy: what a playbook may do alone for a diagnosis, and the grants that people give it.

Rules that this module keeps:
1. A grant is for a playbook and a diagnosis that it names, by an administrator, with a reason, for at most 90 days.
2. High and critical impact always need a person: there is no grant for them.
3. A grant ends by its time, by a person, or by a bad run (`healing.runs.ending`); each of them stands in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from healing import ledger
from healing.models import Playbook, Record, User
from selfheal import trust
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import Impact

PERMISSION = "healing.configure"
MAX_REASON = 2_000


@dataclass(frozen=True)
class Standing:
    """A playbook for a diagnosis, its record, and whether it may act alone now and why."""

    playbook: Playbook
    record: Record
    alone: bool
    why: str

    @property
    def refused(self) -> str:
        """Why nobody can grant it autonomy, in words; empty: an administrator can."""
        return trust.grantable(Impact(self.playbook.impact))

    @property
    def bound(self) -> float | None:
        """Lower bound of the share of held runs since the last bad one."""
        return trust.wilson_lower(self.record.streak, self.record.streak)


def standings(playbooks: Iterable[Playbook], at: datetime) -> list[Standing]:
    """Every diagnosis that the playbooks name, with or without a record."""
    found = list(playbooks)
    rows = Record.objects.filter(playbook__in=[playbook.name for playbook in found]).select_related("granted_by")
    records = {(row.playbook, row.diagnosis): row for row in rows}
    return [
        _standing(playbook, records.get((playbook.name, diagnosis)), diagnosis, at)
        for playbook in found
        for diagnosis in playbook.diagnoses
    ]


def standing_of(record: Record, at: datetime) -> Standing | None:
    """None: the playbook is not there any more, or is not for this diagnosis."""
    playbook = Playbook.objects.filter(name=record.playbook, active=True).first()
    if playbook is None or record.diagnosis not in playbook.diagnoses:
        return None
    return _standing(playbook, record, record.diagnosis, at)


def grant(playbook_name: str, diagnosis: str, days: int, reason: str, user: User, at: datetime) -> Standing:
    """Let a playbook act alone for a diagnosis, for `days`. A further grant takes the place of the one before.

    Raises NotAllowed (role, impact), Invalid naming the field.
    """
    playbook = _playbook(playbook_name, diagnosis)
    _check(user, reason)
    refused = trust.grantable(Impact(playbook.impact))
    if refused:
        raise NotAllowed(f"{playbook.name}: {refused}")
    if not 1 <= days <= trust.GRANT_DAYS:
        raise Invalid(f"a grant is for 1 to {trust.GRANT_DAYS} days", field="days")
    return _write(playbook, diagnosis, at + timedelta(days=days), reason, user, at)


def revoke(playbook_name: str, diagnosis: str, reason: str, user: User, at: datetime) -> Standing:
    """End a grant before its time; what was earned stays. Raises Conflict where there is none, else as `grant` does."""
    playbook = _playbook(playbook_name, diagnosis)
    _check(user, reason)
    return _write(playbook, diagnosis, None, reason, user, at)


def _write(playbook: Playbook, diagnosis: str, until: datetime | None, reason: str, user: User, at: datetime) -> Standing:
    with transaction.atomic():
        record = Record.objects.select_for_update().get_or_create(playbook=playbook.name, diagnosis=diagnosis)[0]
        before = record.granted_until
        if until is None and not record.granted(at):
            raise Conflict(f"{record} has no grant")
        record.granted_until = until
        if until:
            record.granted_by, record.granted_reason = user, reason
        record.save(update_fields=["granted_until", "granted_by", "granted_reason"])
        payload = {
            "playbook": playbook.name,
            "diagnosis": diagnosis,
            "reason": reason,
            "before": {"granted_until": before and ledger.instant(before)},
            "after": {"granted_until": until and ledger.instant(until)},
        }
        action = "autonomy.granted" if until else "autonomy.revoked"
        ledger.append(actor=user.username, action=action, resource=f"record:{record.pk}", payload=payload, at=at)
    return _standing(playbook, record, diagnosis, at)


def _standing(playbook: Playbook, record: Record | None, diagnosis: str, at: datetime) -> Standing:
    record = record or Record(playbook=playbook.name, diagnosis=diagnosis)
    return Standing(playbook, record, *trust.autonomy(record.standing, Impact(playbook.impact), at))


def _playbook(name: str, diagnosis: str) -> Playbook:
    playbook = Playbook.objects.filter(name=name, active=True).first()
    if playbook is None:
        raise Invalid(f"there is no playbook {name!r}", field="playbook")
    if diagnosis not in playbook.diagnoses:
        raise Invalid(f"{name} is for {', '.join(playbook.diagnoses)}, not for {diagnosis!r}", field="diagnosis")
    return playbook


def _check(user: User, reason: str) -> None:
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role admin")
    if not 0 < len(reason.strip()) <= MAX_REASON or "\x00" in reason:
        raise Invalid(f"says why, in 1 to {MAX_REASON:,} characters", field="reason")
