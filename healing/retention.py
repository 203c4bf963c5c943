"""What programs wrote is kept for `SELF_HEAL_KEEP_OUTPUT_DAYS`, then taken out of the steps. The log keeps its digest for ever.

Rules that this module keeps:
1. Only outputs go: the step, its result and message, the run and every entry stay.
2. What is old is found by an index that holds only steps with an output; a turn costs what it takes away.
3. That an output is gone is seen from what is there: it is empty, bytes were written, and it is old enough.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from healing.models import Step

AT_ONCE = 500
OUTPUT = ~Q(stdout="") | ~Q(stderr="")


def prune(at: datetime) -> int:
    """Take away some of the outputs that are too old, the oldest first; returns of how many steps."""
    old = Step.objects.filter(OUTPUT, finished_at__lt=_since(at)).order_by("finished_at")
    some = list(old.values_list("pk", flat=True)[:AT_ONCE])
    return Step.objects.filter(pk__in=some).update(stdout="", stderr="") if some else 0


def is_gone(text: str, size: int, finished_at: datetime | None, at: datetime) -> bool:
    """Whether an output of `size` bytes was taken away because it is too old."""
    return not text and size > 0 and finished_at is not None and finished_at < _since(at)


def _since(at: datetime) -> datetime:
    return at - timedelta(days=settings.SELF_HEAL_KEEP_OUTPUT_DAYS)
