"""A house in which the meta loop looks around: entries of the log, samples and outcomes, made as a test needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction

from healing import clock, ledger
from healing.models import Sample, Service, Signal
from tests.factories import make_incident, make_run, make_service
from tests.learning.conftest import store_rest

MINUTE = timedelta(minutes=1)


def entries(count: int, action: str, at: datetime, result: str = "ok") -> None:
    """That many entries of the log."""
    with transaction.atomic():
        for number in range(count):
            ledger.append(actor="test", action=action, resource=f"test:{number}", at=at, result=result)
    store_rest()


def samples(service: Service, metric: str, values: list[float], at: datetime, every: timedelta = MINUTE) -> None:
    """One sample each `every`, the last at `at`, and their signal."""
    target = service.targets.values_list("name", flat=True)[0]
    place = {"service": service, "target": target, "metric": metric}
    moments = [at - every * back for back in reversed(range(len(values)))]
    Sample.objects.bulk_create(Sample(**place, value=value, at=moment) for value, moment in zip(values, moments, strict=True))
    Signal.objects.update_or_create(**place, defaults={"state": "healthy", "since": at, "value": values[-1], "seen_at": at})


@pytest.fixture
def outcomes(db: None, at: datetime) -> Callable[..., None]:
    """Runs that ended, each with whether it held, the newest first."""

    def came(*held: bool, at: datetime = at) -> None:
        services = [make_service(f"s{Service.objects.count()}") for _ in held]
        for number, (good, service) in enumerate(zip(held, services, strict=True)):
            how: dict[str, Any] = {"status": "succeeded", "held": True} if good else {"status": "failed"}
            incident = make_incident(service, at, status="resolved", resolved_at=at)
            make_run(incident, at=at, finished_at=at - number * timedelta(seconds=1), **how)

    return came


@pytest.fixture
def time_machine_at(at: datetime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The clock stands at `at`, that of a database server too; a test shifts it."""
    monkeypatch.setattr(clock, "ahead", lambda: timedelta(0))
    with time_machine.travel(at, tick=False) as traveller:
        yield traveller
