"""Alertmanager asked again: is the alert still active there, and neither silenced nor inhibited?

Rules that this module keeps:
1. Only alerts that came through Alertmanager are asked about; without SELF_HEAL_ALERTMANAGER_URL nothing is.
2. One GET an alert, bounded in time and size, without redirects and proxies. It is never asked inside a transaction.
3. What it said holds for one look. Who does not answer once is not asked again in that look: all the rest is in doubt as well.
4. No answer is a doubt, never a yes: policy asks a person then (rule `alertmanager`).
5. When it was asked last, when it answered last, and why it did not, stand in one row, which the health page reads.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from healing import http, jobs
from healing.models import Episode, Run
from selfheal.errors import Invalid, NotAllowed
from selfheal.states import EpisodeStatus, RunStatus

SECONDS = 2.0  # for one alert
ALL_SECONDS = 10.0  # for all alerts of a look
EPISODES = 5  # of an incident that are asked about, the newest; one that is active is enough
MAX_FILTERS = 3_000  # characters; the answer is compared with the whole alert anyway
SOURCE = "alertmanager"
JOB = "alertmanager"

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Answer:
    """`skip` is why it is not to be healed now (silenced or gone), `doubt` why nobody knows; both empty: go on."""

    skip: str = ""
    detail: str = ""
    doubt: str = ""


@dataclass
class Asked:
    """What was asked in one look, at the moment `at`."""

    at: datetime
    until: float = field(default_factory=lambda: time.monotonic() + ALL_SECONDS)
    doubt: str = ""
    written: str | None = None  # the doubt that is written down, empty: that it answered

    def about(self, incident_id: uuid.UUID | None) -> Answer:
        """What Alertmanager says of the firing alerts of an incident."""
        if not settings.SELF_HEAL_ALERTMANAGER_URL or incident_id is None:
            return Answer()
        firing = list(Episode.objects.filter(incident=incident_id, status=EpisodeStatus.FIRING)[:EPISODES])
        if not firing or any(episode.source != SOURCE for episode in firing):
            return Answer()
        suppressed = ""
        for episode in firing:
            status = self._status(episode)
            if self.doubt:
                return Answer(doubt=self.doubt)
            if status is not None and status["state"] != "suppressed":
                return Answer()
            suppressed = suppressed or (_why_suppressed(status) if status else "")
        if suppressed:
            return Answer("silenced", suppressed)
        return Answer("gone", "Alertmanager has no such alert any more")

    def _status(self, episode: Episode) -> Mapping[str, Any] | None:
        """The status of the alert there; None: it has none. Sets `doubt` if that cannot be known."""
        left = min(SECONDS, self.until - time.monotonic())
        if not self.doubt and left <= 0:
            self.doubt = f"it took more than {ALL_SECONDS:.0f} s for the alerts before this one"
        if self.doubt:
            return None
        try:
            return _find(_alerts(episode.labels, left), episode)
        except (http.Unreachable, Invalid, NotAllowed) as error:
            self.doubt = str(error)[:300]
            return None
        finally:
            self._write_down()

    def _write_down(self) -> None:
        """Once a look, and once more when the answers stop."""
        if self.written != self.doubt:
            self.written = self.doubt
            jobs.tried(JOB, self.at, self.doubt)


def about_run(run_id: uuid.UUID, at: datetime) -> Answer:
    """Asked before a run that waits is started."""
    if not settings.SELF_HEAL_ALERTMANAGER_URL:
        return Answer()
    incident = Run.objects.filter(pk=run_id, status=RunStatus.QUEUED).values_list("incident_id", flat=True).first()
    return Asked(at).about(incident)


def _alerts(labels: Mapping[str, str], seconds: float) -> list[Any]:
    """The alerts with these labels. Raises Unreachable, Invalid, NotAllowed."""
    base = settings.SELF_HEAL_ALERTMANAGER_URL.rstrip("/")
    url = f"{base}/api/v2/alerts?{urlencode([('filter', each) for each in _filters(labels)])}"
    answer = http.fetch("GET", url, http.Guard.of([base]), headers={"Accept": "application/json"}, timeout=seconds)
    if answer.status != 200:
        raise http.Unreachable(f"{http.origin(base)} answered {answer.status}")
    if answer.truncated:
        raise http.Unreachable(f"{http.origin(base)} answered with more than {http.MAX_BODY:,} bytes")
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise http.Unreachable(f"{http.origin(base)} did not answer with JSON") from error
    if not isinstance(found, list):
        raise http.Unreachable(f"{http.origin(base)} did not answer with a list of alerts")
    return found


def _filters(labels: Mapping[str, str]) -> Iterator[str]:
    """Matchers `name="value"` for as many labels as fit into a URL, the name of the alert first."""
    size = 0
    for name in sorted(labels, key=lambda name: (name != "alertname", name)):
        value = labels[name].replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        size += len(name) + 3 * len(value.encode())
        if _LABEL.fullmatch(name) and size <= MAX_FILTERS:
            yield f'{name}="{value}"'


def _find(alerts: list[Any], episode: Episode) -> Mapping[str, Any] | None:
    for alert in alerts:
        if isinstance(alert, dict) and (alert.get("fingerprint") == episode.fingerprint or alert.get("labels") == episode.labels):
            status = alert.get("status")
            if not isinstance(status, dict) or not isinstance(status.get("state"), str):
                raise http.Unreachable("it answered with an alert that has no state")
            return status
    return None


def _why_suppressed(status: Mapping[str, Any]) -> str:
    for key, words in (("silencedBy", "silenced in Alertmanager"), ("inhibitedBy", "inhibited in Alertmanager")):
        if status.get(key):
            return f"{words} by {', '.join(map(str, status[key]))}"[:300]
    return "suppressed in Alertmanager"
