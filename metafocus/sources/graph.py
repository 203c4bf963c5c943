"""The probable roots that the service graph names. Healing opens them itself, on the same terms (`healing.correlation`)."""

from __future__ import annotations

from datetime import datetime

from healing.models import Incident
from metafocus.models import Cycle
from selfheal.sources import AHEAD, Candidate
from selfheal.states import LIVE_INCIDENT, Trigger

MOST = 200


def look(cycle: Cycle, at: datetime) -> list[Candidate]:
    """Those that are live, opened within the time in which they are judged; by the index `incident_without_alert`."""
    mine = Incident.objects.filter(source=Trigger.AGENTIC_SPINE, opened_at__gt=at - AHEAD, status__in=LIVE_INCIDENT)
    rows = mine.exclude(source=Trigger.ALERT).order_by("-opened_at")
    names = rows.values_list("service__name", "target", "diagnosis", "confidence", "title")[:MOST]
    return [Candidate(*row) for row in names]
