"""10,000 alerts in one group that Debian's Alertmanager posts to our receiver, new and then again; against inserting the same
rows without any rule. The times are the receiver's: from when Django has the request to its answer.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from django.db import transaction
from django.utils import timezone

from config.demo.installation import wait_for
from healing import tasks
from healing.models import Episode, Incident, LedgerOutbox, Service, Target, TimelineEvent
from tests.flows.alertmanager import ALERTMANAGER, ANSWERS, EACH, Alertmanager, Receiver, group, receiver, sender

from .measure import Row

COUNT = 10_000
POSTED = 3  # fresh groups
AGAIN = 3  # times that each is posted again


def alert_group() -> Row | None:
    """None: there is no Alertmanager here."""
    if ALERTMANAGER is None:
        return None
    tasks.look.apply_async = lambda *_, **__: None  # no broker here: what is measured is the database's part
    token, new, again, bare = sender(), [], [], []
    for n in range(POSTED):
        with receiver() as ours:
            _post(ours, token, f"web-{n}")
        opened = Incident.objects.filter(service__name=f"web-{n}").count()
        assert opened == COUNT // EACH, opened
        new += [seconds for answer, seconds in ours.answers if answer["accepted"]]
        again += ours.unchanged(COUNT)[:AGAIN]
        bare.append(_bare(f"bare-{n}"))
    faster = median(new) / median(again)
    told = f"new {median(new):.2f} s, again {median(again):.2f} s: {faster:.1f}× faster (goal ≥ 3×)"
    more = {"new": new, "again": again, "faster": faster}
    quantity = f"alerts a second, {COUNT:,} in one group by Alertmanager"
    return Row(quantity, COUNT / median(new), COUNT / median(bare), "again ≥ 3× faster", told, more)


def _post(ours: Receiver, token: str, service: str) -> None:
    """A new Alertmanager, which knows one group and posts it until it was posted often enough."""
    with tempfile.TemporaryDirectory(prefix="selfheal-bench-") as home:
        alertmanager = Alertmanager(Path(home), ours.url, token, wait="3s", repeat="1s")
        try:
            alertmanager.post_all(group(service, COUNT))
            wait_for(lambda: len(ours.unchanged(COUNT)) >= AGAIN, "the group is not posted again", 3 * ANSWERS)
        finally:
            alertmanager.stop()
    assert ours.answers[0][0]["accepted"] == COUNT, "the group was not posted whole"


def _bare(name: str) -> float:
    """Seconds for as many rows of the same tables, as wide ones."""
    service, at = Service.objects.create(name=name), timezone.now()
    labels = {"alertname": "InstanceDown", "service": name, "instance": "x" * 12, "severity": "page", "job": "job-1"}
    common = {"title": "x" * 20, "severity": "critical", "labels": labels}
    hosts = [f"{name}-{n:05d}" for n in range(COUNT // EACH)]
    Target.objects.bulk_create(Target(service=service, name=host) for host in hosts)
    began = time.perf_counter()
    with transaction.atomic():
        made = Incident.objects.bulk_create(
            Incident(service=service, target=host, diagnosis="service_down", confidence=0.95, opened_at=at, **common)
            for host in hosts
        )
        every = [each for each in made for _ in range(EACH)]
        Episode.objects.bulk_create(
            Episode(
                incident=each,
                fingerprint=f"{name}-{n}",
                starts_at=at,
                received_at=at,
                annotations={"summary": "x" * 20, "runbook": "x" * 50},
                **common,
            )
            for n, each in enumerate(every)
        )
        outbox = LedgerOutbox.objects.create(leaf=b"x" * 200 * COUNT)
        TimelineEvent.objects.bulk_create(
            TimelineEvent(incident=each, at=at, actor="bench", action="alert.joined", reason="x" * 20, outbox_id=outbox.pk)
            for each in every
        )
    return time.perf_counter() - began
