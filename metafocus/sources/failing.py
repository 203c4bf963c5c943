"""The meta loop's own: a playbook that goes wrong over its baseline, by what was learnt of it hour by hour."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F, Q, Sum

from learning.models import Hour
from metafocus.models import Cycle
from selfheal.sources import LEAST_RUNS, Candidate, Course, failing

LATELY, BEFORE = timedelta(hours=1), timedelta(days=7)
WENT_WRONG = F("runs_failed") + F("runs_rolled_back") + F("not_held")


def look(cycle: Cycle, at: datetime) -> list[Candidate]:
    """Two sums over a week of hours, by playbook and service. The last hour begins at a full one."""
    since = (at - LATELY).replace(minute=0, second=0, microsecond=0)
    lately, before = Q(hour__gte=since), Q(hour__lt=since)
    rows = Hour.objects.filter(hour__gte=at - BEFORE, hour__lte=at).order_by().values("playbook", "service")
    sums = rows.annotate(
        lately=Sum("runs_ended", filter=lately, default=0),
        bad=Sum(WENT_WRONG, filter=lately, default=0),
        usual=Sum("runs_ended", filter=before, default=0),
        usual_bad=Sum(WENT_WRONG, filter=before, default=0),
    ).filter(lately__gte=LEAST_RUNS)
    courses = [Course(r["playbook"], r["service"], r["lately"], r["bad"], r["usual"], r["usual_bad"]) for r in sums]
    return failing(courses)
