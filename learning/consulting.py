"""The way to the advisers and back: questions and answers are rows, and whoever asks never waits.

Rules that this module keeps:
1. Who asks takes the answers that are there and fresh, and asks again; the answer is for the next time.
2. An adviser is called in a worker of the queue `advice` only. Nothing else loads one.
3. A question is taken by one, by a conditional update; an answer counts only while its question is still taken by who gives it.
4. A call that raises, is over its bound, or ends its process costs its advice, and counts against its adviser
   (`healing.breaker`). Facts that it cannot use do not: that is an answer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from healing import breaker
from healing.models import Sample
from learning.models import Advised
from selfheal.advice import Advice, Facts
from selfheal.breaker import Standing
from selfheal.errors import Invalid

logger = logging.getLogger(__name__)

KEPT = timedelta(days=1)  # what nobody asks about any more
LOST = timedelta(seconds=5)  # beyond the hard bound of a call, until it counts as one whose process is gone
MOST_POINTS = 240
_UNANSWERED = Q(answered_at=None) | Q(answered_at__lt=F("asked_at"))


def consult(
    adviser: str, questions: Mapping[str, Facts], at: datetime, *, within: timedelta, fresh: timedelta
) -> dict[str, Advice | None]:
    """What `adviser` has said about each of `questions` not longer than `fresh` ago, to the same facts; None: it could not use
    them. All of them are asked anew, to be begun with `within` that time, unless the adviser is off."""
    give_up(at)
    Advised.objects.filter(asked_at__lt=at - KEPT).delete()
    known = {row.about: row for row in Advised.objects.filter(adviser=adviser, about__in=list(questions))}
    same = {about: row for about, row in known.items() if row.facts == questions[about]}
    _ask(adviser, questions, known, same, at, at + within)
    return {about: _said(row) for about, row in same.items() if row.answered_at and at - row.answered_at <= fresh}


def why_silent(adviser: str) -> str:
    """Why there is no answer, in words."""
    standing = breaker.standing(adviser)
    if standing.off_until:
        return f"the adviser {adviser} is switched off, {standing.reason}"
    return f"the adviser {adviser} has not answered yet"


def standings(at: datetime) -> list[dict[str, Any]]:
    """How each adviser stands that is asked, was in the last day, or has failed."""
    counts = (
        Advised.objects.values("adviser")
        .order_by()
        .annotate(questions=Count("pk"), waiting=Count("pk", filter=_UNANSWERED & Q(until__gt=at)), last=Max("answered_at"))
    )
    asked = {row["adviser"]: row for row in counts}
    failed = {row.name: row.standing for row in breaker.known()}
    names = {settings.SELF_HEAL_FORECASTER, *asked, *failed} - {""}
    return [_row(name, asked.get(name, {}), failed.get(name, Standing()), at) for name in sorted(names)]


def _row(name: str, counts: Mapping[str, Any], standing: Standing, at: datetime) -> dict[str, Any]:
    return {
        "adviser": name,
        "asked": name == settings.SELF_HEAL_FORECASTER,
        "state": standing.state(at),
        "failures": standing.failures,
        "off_until": standing.off_until,
        "reason": standing.reason,
        "questions": counts.get("questions", 0),
        "waiting": counts.get("waiting", 0),
        "answered_at": counts.get("last"),
    }


def take(at: datetime) -> tuple[Advised | None, bool]:
    """A question that is ours to answer now, and whether more of them wait."""
    give_up(at)
    row = _due(at).first()
    if row and breaker.begin(row.adviser, at) and Advised.objects.filter(pk=row.pk, taken_at=None).update(taken_at=at):
        row.taken_at = at
        return row, _due(at).exists()
    return None, False


def answer(row: Advised) -> None:
    """Call the adviser, and write down what it says, or that it failed."""
    try:
        said = _called(row)
    except Exception as error:
        logger.warning("the adviser %s failed about %s", row.adviser, row.about, exc_info=True)
        _failed(row, _reason(error), timezone.now())
        return
    at = timezone.now()
    if _mine(row).update(taken_at=None, answered_at=at, **said):
        breaker.answered(row.adviser, at)


def give_up(at: datetime) -> None:
    """Questions whose answer does not come any more: the process that had them is gone."""
    bound = timedelta(seconds=settings.CELERY_TASK_ANNOTATIONS["learning.tasks.advise"]["time_limit"])
    for row in Advised.objects.filter(taken_at__lt=at - bound - LOST):
        _failed(row, "its process ended before it answered", at)


def _ask(
    adviser: str,
    questions: Mapping[str, Facts],
    known: Mapping[str, Advised],
    same: Mapping[str, Advised],
    at: datetime,
    until: datetime,
) -> None:
    if not questions or breaker.standing(adviser).state(at) == "off":
        return
    Advised.objects.filter(pk__in=[row.pk for about, row in known.items() if about not in same]).delete()
    rows = [
        Advised(adviser=adviser, about=about, facts=facts, asked_at=at, until=until)
        for about, facts in questions.items()
        if about not in same or same[about].taken_at is None
    ]
    Advised.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["adviser", "about"], update_fields=["asked_at", "until"]
    )
    transaction.on_commit(hint)


def hint() -> None:
    """Wake a worker. Without a broker the next one who asks does it again."""
    from learning import tasks

    try:
        tasks.advise.apply_async(retry=False, expires=settings.META_LOOP_CYCLE_SECONDS)
    except (OperationalError, OSError) as error:
        logger.warning("advice waits, the broker cannot be reached: %r", error)


def _due(at: datetime) -> QuerySet[Advised]:
    """What nobody has taken since it was asked, that without an answer first, then the oldest answer."""
    waiting = Advised.objects.filter(_UNANSWERED, taken_at=None, until__gt=at)
    return waiting.exclude(adviser__in=breaker.silent(at)).order_by(F("answered_at").asc(nulls_first=True), "pk")


def _called(row: Advised) -> dict[str, Any]:
    """The columns of an answer."""
    from learning.advisers import load

    try:
        advice = load(row.adviser)(_filled(row.facts))
    except Invalid as error:
        return {"score": None, "low": None, "high": None, "why": [str(error)]}
    low, high = advice.interval or (None, None)
    if not all(math.isfinite(each) for each in (advice.score, low or 0.0, high or 0.0)):
        raise ValueError(f"it said {advice}")
    return {"score": advice.score, "low": low, "high": high, "why": list(advice.why)}


def _filled(facts: Facts) -> Facts:
    """With the points that `series` stands for: {service, target, metric, seconds} back from now, the newest ones."""
    if "series" not in facts:
        return facts
    said = {**facts}
    series = said.pop("series")
    here = {name: series[name] for name in ("service", "target", "metric")}
    since = timezone.now() - timedelta(seconds=series["seconds"])
    rows = Sample.objects.filter(**here, at__gt=since).order_by("-at").values_list("at", "value")
    return {**said, "points": list(reversed(rows[:MOST_POINTS]))}


def _said(row: Advised) -> Advice | None:
    if row.score is None:
        return None
    return Advice(row.score, None if row.low is None or row.high is None else (row.low, row.high), tuple(row.why))


def _failed(row: Advised, reason: str, at: datetime) -> None:
    if _mine(row).update(taken_at=None, until=at):
        breaker.failed(row.adviser, reason, at)


def _mine(row: Advised) -> QuerySet[Advised]:
    return Advised.objects.filter(pk=row.pk, taken_at=row.taken_at)


def _reason(error: Exception) -> str:
    if isinstance(error, SoftTimeLimitExceeded):
        return f"it took longer than {settings.CELERY_TASK_ANNOTATIONS['learning.tasks.advise']['soft_time_limit']} s"
    return f"it failed: {type(error).__name__}: {error}"
