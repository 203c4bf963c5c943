"""How evidence loses its weight with its age."""

from __future__ import annotations

import math
from datetime import datetime, timedelta


def faded(since: datetime | None, at: datetime, half_life: timedelta) -> float:
    """What is left at `at` of a weight of 1 from `since`: half after each half-life. A clock that went back takes nothing."""
    age = (at - since).total_seconds() if since else 0.0
    return math.pow(0.5, max(age, 0.0) / half_life.total_seconds())
