"""One cycle of the meta loop: observe, decide where to look and how tight to be, ask for it, and say what came of the last one.

Rules that this module keeps:
1. Row, guardrail and entry of the log are written in one transaction. Of two cycles that ran beside each other one is written.
2. What it decides reaches healing only through healing's own service (`healing.guardrail.say`). Nothing here starts anything.
3. What it asks for ends by itself: extra probes after five minutes, the rest with the next cycle or three that are missed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum

from healing import guardrail, ledger
from healing.governance import control
from healing.models import Playbook, Run
from healing.signals import pulling, sensing
from learning.models import Hour
from metafocus.models import Cycle
from metafocus.observing import observe
from selfheal import cycles
from selfheal.cycles import Before, Decided
from selfheal.focus import Seen, as_document
from selfheal.guardrails import HOLD, Grounds
from selfheal.lessons import lower_bound
from selfheal.states import FocusArea, Outcome

ACTION, SUBSYSTEM = "cycle.finished", "metafocus"
KEPT = 5_000  # rows; the log has all of them
LEARNT = timedelta(days=7)
PRIORITIES = 10


def last() -> Cycle | None:
    """The newest one."""
    return Cycle.objects.first()


def cycle(at: datetime) -> Cycle | None:
    """Do one cycle; None if another one was written meanwhile."""
    before = last()
    seen = observe(at, _budget(before))
    stood, grounds = _stood(at), _grounds(seen, at)
    decided = cycles.decide(seen, stood, grounds, at)
    row = Cycle(
        number=before.number + 1 if before else 1,
        created_at=at,
        focus_area=decided.focus.area,
        confidence=Decimal(f"{decided.focus.confidence:.2f}"),
        guardrail_adjustment=decided.level,
        reasoning=decided.reasoning,
        seen=as_document(seen),
        grounds=cycles.grounds_document(stood, grounds),
        advice=decided.advice,
        directives=_directives(decided.focus.area, seen, before, at),
        came_of=_came_of(before, decided, at),
    )
    return _written(row, decided, at)


def probes(at: datetime) -> tuple[Cycle | None, list[str]]:
    """The metrics that are to be sampled more often now, and the cycle that says so."""
    newest = last()
    wanted = newest.directives["extra_probes"] if newest else []
    return newest, [each["metric"] for each in wanted if at < datetime.fromisoformat(each["until"])]


def probe(at: datetime) -> int:
    """Sample what the last cycle asked for; how many samples that brought."""
    asked_by, metrics = probes(at)
    taken = pulling.probe(metrics, at) + sensing.probe(metrics, at) if metrics else 0
    if asked_by and taken:
        Cycle.objects.filter(pk=asked_by.pk).update(extra_samples=F("extra_samples") + taken)
    return taken


def _written(row: Cycle, decided: Decided, at: datetime) -> Cycle | None:
    about: dict[str, str] = {"action": ACTION, "resource": f"cycle:{row.pk}", "subsystem": SUBSYSTEM}
    try:
        with transaction.atomic():
            row.outbox_id = ledger.append(actor=guardrail.ACTOR, payload=row.document(), at=at, **about)
            row.save(force_insert=True)
            guardrail.say(decided.level, decided.why, row.directives["attention"], at)
            Cycle.objects.filter(number__lte=row.number - KEPT).delete()
    except IntegrityError:
        return None
    return row


def _stood(at: datetime) -> Before:
    standing = guardrail.standing(at)
    return Before(standing.said, standing.since or at)


def _grounds(seen: Seen, at: datetime) -> Grounds:
    """What the guardrail follows from. It is calm when no service is critical and no storm was there for half an hour."""
    row = control()
    unrest = f"{seen.critical} critical services" if seen.critical else ""
    if row.storm_at and not row.storm and at < row.storm_at + HOLD:
        unrest = unrest or f"a storm was over at {row.storm_at:%H:%M} UTC"
    return Grounds(tuple(guardrail.last_outcomes(at)), row.storm, unrest, guardrail.ceiling())


# -- what is asked for


def _directives(area: FocusArea, seen: Seen, before: Cycle | None, at: datetime) -> dict[str, Any]:
    diagnoses = cycles.DIAGNOSES.get(area, ())
    return {
        "extra_probes": _extra_probes(area, seen, before, at),
        "playbook_priorities": _priorities(diagnoses, at),
        "attention": list(diagnoses),
        "time_budget_seconds": cycles.budget(area, settings.META_LOOP_CYCLE_SECONDS),
    }


def _extra_probes(area: FocusArea, seen: Seen, before: Cycle | None, at: datetime) -> list[dict[str, str]]:
    """What this focus asks for, and what an earlier one did for as long as that lasts."""
    until = (at + timedelta(seconds=cycles.PROBED_SECONDS)).isoformat()
    earlier = before.directives["extra_probes"] if before else []
    lasting = {each["metric"]: each["until"] for each in earlier if at < datetime.fromisoformat(each["until"])}
    fresh = dict.fromkeys(cycles.probes(area, seen, [*pulling.pulled(), *sensing.metrics()]), until)
    return [{"metric": metric, "until": end} for metric, end in sorted({**lasting, **fresh}.items())]


def _priorities(diagnoses: tuple[str, ...], at: datetime) -> list[dict[str, Any]]:
    """The playbooks for these diagnoses by what was learnt of them in seven days, the best first; untried ones last."""
    if not diagnoses:
        return []
    active = Playbook.objects.filter(active=True).values_list("name", "diagnoses")
    names = [(name, diagnosis) for name, heals in active for diagnosis in heals if diagnosis in diagnoses]
    hours = Hour.objects.filter(hour__gte=at - LEARNT, diagnosis__in=diagnoses).order_by().values("playbook", "diagnosis")
    sums = hours.annotate(good=Sum("runs_succeeded"), all=Sum("runs"))
    bounds = {(row["playbook"], row["diagnosis"]): lower_bound(row["good"], row["all"]) for row in sums}
    ranked = sorted(names, key=lambda name: (-(bounds.get(name) or 0.0), name))[:PRIORITIES]
    return [{"playbook": p, "diagnosis": d, "at_least": _decimal(bounds.get((p, d)))} for p, d in ranked]


def _budget(before: Cycle | None) -> timedelta:
    """The time that the last cycle left for the forecasts that this one asks for."""
    asked = before.directives["time_budget_seconds"] if before else None
    return timedelta(seconds=asked or cycles.budget(FocusArea.ROUTINE_MAINTENANCE, settings.META_LOOP_CYCLE_SECONDS))


# -- what came of it


def _came_of(before: Cycle | None, decided: Decided, at: datetime) -> dict[str, Any] | None:
    """What has happened since the last cycle, held against what it asked for."""
    if before is None:
        return None
    ended = Run.objects.filter(started_at__isnull=False, finished_at__gt=before.created_at, finished_at__lte=at).order_by()
    good = ended.filter(outcome=Outcome.SUCCESS).count()
    return {
        "cycle": str(before.pk),
        "focus_area": before.focus_area,
        "still": before.focus_area == decided.focus.area,
        "distress_before": before.advice["distress"],
        "distress_after": decided.distress.score,
        "runs_succeeded": good,
        "runs_went_wrong": ended.filter(guardrail.WENT_WRONG & ~Q(outcome=Outcome.SUCCESS)).count(),
        "extra_samples": Cycle.objects.values_list("extra_samples", flat=True).get(pk=before.pk),
    }


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
