"""The recorded history as the ranker reads it."""

from __future__ import annotations

from learning.models import Course, Lesson
from selfheal.lessons import Status
from selfheal.ranking import Trial

MOST = 100_000  # of the newest runs


def history() -> list[Trial]:
    """The newest runs that started and are over, in the order in which they started."""
    over = Course.objects.filter(ended_at__isnull=False).order_by("-started_at")
    rows = list(over.values_list("run", "started_at", "playbook", "diagnosis", "service")[:MOST])
    helped = set(Lesson.objects.filter(status=Status.SUCCEEDED).order_by("-index").values_list("run", flat=True)[:MOST])
    return [
        Trial(at, playbook, diagnosis, service, run in helped) for run, at, playbook, diagnosis, service in reversed(rows) if at
    ]
