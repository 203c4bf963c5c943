"""The guardrail level: what the meta loop says it is, what a person pins it to, and what counts now.

Rules that this module keeps:
1. What is stored is what was said, and when. What counts follows from that at each look: nothing has to run for the level to fall
   back to `maintain` when the meta loop is gone.
2. A person's pin stands until a person takes it away. What the meta loop says meanwhile is stored, and counts afterwards.
3. Each change has its entry in the log, with the level before and after and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from healing import ledger, notifications
from healing.models import Control, Run, User
from selfheal import guardrails, trust
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.guardrails import SHOWN
from selfheal.states import Level, Outcome

PERMISSION = "healing.configure"
ACTOR = "meta loop"
MAX_REASON = 2_000
WENT_WRONG = (
    Q(outcome__in=trust.BAD_OUTCOMES) | Q(outcome=Outcome.ABORTED, abort_reason__in=trust.BAD_ABORTS) | Q(held=False)
)  # of a run that has started


@dataclass(frozen=True)
class Standing:
    """The level that counts and why; what the meta loop `said` and since when (None: it said nothing that still counts)."""

    level: Level
    reason: str
    said: Level
    since: datetime | None
    attention: tuple[str, ...]  # diagnoses that are looked at first
    pinned_by: str = ""
    pinned_at: datetime | None = None

    @property
    def pinned(self) -> bool:
        return bool(self.pinned_by)


def standing(at: datetime) -> Standing:
    """What counts at `at`."""
    return standing_of(Control.objects.filter(pk=1).first() or Control(), at)


def standing_of(row: Control, at: datetime) -> Standing:
    """The same, of the row as it was read."""
    pinned = Level(row.pinned_level) if row.pinned_level else None
    word = Level(row.level), row.level_at
    said, reason = guardrails.in_force(*word, reason=row.level_reason, ceiling=ceiling(), cycle=cycle(), at=at)
    heard = row.level_at is not None and not guardrails.is_late(row.level_at, cycle(), at)
    return Standing(
        level=pinned or said,
        reason=f"pinned by {row.pinned_by}: {row.pinned_reason}" if pinned else reason,
        said=said,
        since=row.level_since if heard else None,
        attention=tuple(row.attention) if heard else (),
        pinned_by=row.pinned_by if pinned else "",
        pinned_at=row.pinned_at if pinned else None,
    )


def cycle() -> timedelta:
    """The period of the meta loop."""
    return timedelta(seconds=settings.META_LOOP_CYCLE_SECONDS)


def ceiling() -> Level:
    return Level(settings.SELF_HEAL_GUARDRAIL_CEILING)


def last_outcomes(at: datetime) -> list[bool]:
    """Whether each of the last runs held, the newest first: successes once they are judged, and what went wrong. At most ten."""
    judged = Run.objects.filter(
        WENT_WRONG | Q(held=True), started_at__isnull=False, finished_at__gt=at - guardrails.JUDGED_WITHIN
    )
    counted = judged.exclude(abort_reason__in=trust.EXCUSED).order_by("-finished_at")
    return [held is True for held in counted.values_list("held", flat=True)[: guardrails.JUDGED]]


def say(level: Level, reason: str, attention: Sequence[str], at: datetime) -> None:
    """What the meta loop says now: the level, and the diagnoses that are looked at first."""
    with transaction.atomic():
        row = _locked()
        before = standing_of(row, at)
        since = before.since if before.since and before.said is level else at
        said = {"level": level, "level_reason": reason, "level_at": at, "level_since": since, "attention": list(attention)}
        Control.objects.filter(pk=1).update(**said)
        if level is not before.said:
            action = "guardrail.tightened" if guardrails.stricter(level, before.said) is level else "guardrail.loosened"
            _write(action, ACTOR, before.said, level, reason, at)
            notifications.guardrail(action, f"{SHOWN[before.said]} → {SHOWN[level]}", reason, at)


def pin(level: str, reason: str, user: User, at: datetime) -> Standing:
    """Set the level, whatever the meta loop says and however high its ceiling is. Raises NotAllowed, Invalid naming the field."""
    if level not in list(Level):
        raise Invalid(f"must be one of {', '.join(Level)}", field="level")
    return _pin(level, reason, user, at)


def unpin(reason: str, user: User, at: datetime) -> Standing:
    """Let the meta loop say it again. Raises Conflict where nothing is pinned, else as `pin` does."""
    return _pin("", reason, user, at)


def _pin(level: str, reason: str, user: User, at: datetime) -> Standing:
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role admin")
    if not 0 < len(reason.strip()) <= MAX_REASON or "\x00" in reason:
        raise Invalid(f"says why, in 1 to {MAX_REASON:,} characters", field="reason")
    with transaction.atomic():
        row = _locked()
        before = standing_of(row, at)
        if not level and not before.pinned:
            raise Conflict("the guardrail is not pinned")
        row.pinned_level, row.pinned_by, row.pinned_reason, row.pinned_at = level, user.username, reason, at
        row.save(update_fields=["pinned_level", "pinned_by", "pinned_reason", "pinned_at"])
        after = standing_of(row, at)
        _write("guardrail.pinned" if level else "guardrail.unpinned", user.username, before.level, after.level, reason, at)
    return after


def _locked() -> Control:
    return Control.objects.select_for_update().get_or_create(pk=1)[0]


def _write(action: str, actor: str, before: Level, after: Level, reason: str, at: datetime) -> None:
    payload = {"from": before.value, "to": after.value, "reason": reason}
    ledger.append(actor=actor, action=action, resource="guardrail", payload=payload, at=at)
