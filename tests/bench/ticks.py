"""A look of the scheduler at 100 due incidents that it finds a reason not to heal, among more and more that are open; against the
statements alone that find, lease and write 100 rows.

Each size has a database of its own, and the sizes are measured in turn: a machine that grows slower meanwhile slows them alike.
`BENCH_OPEN=1000,1000000` names the sizes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from healing import scheduler
from healing.governance import control
from healing.models import Incident, LedgerOutbox, Service, TimelineEvent

from .measure import ROUNDS, Copy, Row

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DUE = 100
SERVICES = 100
LOOKS = 3  # that are measured in one database before it is the next one's turn
SERIES = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
NEW_KEY = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}


def tick() -> Row:
    sizes = [int(size) for size in os.environ.get("BENCH_OPEN", "").split(",") if size] or SIZES
    copies: dict[int, Copy] = {}
    taken: dict[int, list[list[float]]] = {size: [[], []] for size in sizes}
    try:
        for size in sizes:
            copies[size] = Copy(str(size))
            with copies[size].within():
                _furnish(size)
        for _ in range(ROUNDS):
            for size in sizes:
                with copies[size].within():
                    _measure(*taken[size])
    finally:
        for copy in copies.values():
            copy.drop()
    ours = {size: median(taken[size][0]) for size in sizes}
    last, flat = sizes[-1], ours[sizes[-1]] / ours[sizes[0]]
    told = ", ".join(f"{size:,}: {1000 * each:.1f} ms" for size, each in ours.items())
    return Row(
        f"ticks a second, {DUE} due among {last:,} open",
        1 / ours[last],
        1 / median(taken[last][1]),
        "≥ 0.20 (≤ 5× the statements alone)",
        f"{told}; {last:,} ÷ {sizes[0]:,}: {flat:.2f} (goal ≤ 1.5)",
        {"seconds": ours, "flat": flat},
    )


def _measure(ours: list[float], bare: list[float]) -> None:
    _seconds(lambda: scheduler.look(timezone.now(), DUE))  # a connection that has just been made
    for _ in range(LOOKS):
        ours.append(_seconds(lambda: scheduler.look(timezone.now(), DUE)))
        bare.append(_seconds(_bare))


def _seconds(work: Callable[[], int]) -> float:
    Incident.objects.filter(target__startswith="due-", diagnosis="due").update(next_look_at=timezone.now(), why={})
    began = time.perf_counter()
    assert work() == DUE
    return time.perf_counter() - began


def _bare() -> int:
    at, wait = timezone.now(), {"skip": "no_playbook", "reason": "x" * 80, "since": "x" * 32, "at": "x" * 32}
    with transaction.atomic():
        rows = Incident.objects.filter(next_look_at__lte=at, status="open").order_by("next_look_at")
        found = list(rows.values_list("pk", flat=True)[:DUE])
        Incident.objects.filter(pk__in=found).update(next_look_at=at)
        for pk in found:
            Incident.objects.filter(pk=pk).update(why=wait, next_look_at=at)
        LedgerOutbox.objects.create(leaf=b"x" * 20_000)
        TimelineEvent.objects.bulk_create(
            TimelineEvent(incident_id=pk, at=at, actor="bench", action="bench", outbox_id=0) for pk in found
        )
    return len(found)


def _furnish(size: int) -> None:
    """`size` open incidents, of which DUE are due; the others were opened more than an hour ago, and wait for another."""
    control()
    services = Service.objects.bulk_create(Service(name=f"bench-{n}", mode="auto") for n in range(SERVICES))
    now, later = timezone.now(), timezone.now() + timedelta(hours=2)
    Incident.objects.bulk_create(_incident(services[n % SERVICES], f"due-{n}", "due", now, n) for n in range(DUE))
    patterns = Incident.objects.bulk_create(_incident(services[n], "open-0", "open", later, n) for n in range(SERVICES))
    repeat("open-0", (size - DUE) // len(patterns) - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")


def _incident(service: Service, target: str, diagnosis: str, due_at: Any, minutes: int) -> Incident:
    opened = timezone.now() - timedelta(hours=1, minutes=minutes)
    common = {"confidence": 0.5, "title": "bench", "labels": {"alertname": "Bench"}, "why": {}}
    return Incident(
        service=service, target=target, diagnosis=diagnosis, opened_at=opened, next_look_at=due_at, looked_at=opened, **common
    )


def repeat(target: str, times: int) -> None:
    """Each incident of that target so many times more, on other targets, by the database alone."""
    columns = [field.column for field in Incident._meta.concrete_fields]
    values = {"id": NEW_KEY[connection.vendor], "target": "p.target || '-' || n.i"}
    chosen = ", ".join(values.get(column, f"p.{column}") for column in columns)
    sql = f"SELECT {chosen} FROM healing_incident p CROSS JOIN n WHERE p.target = %s"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO healing_incident ({', '.join(columns)}) {SERIES} {sql}", [times, target])
