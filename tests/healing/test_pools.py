"""Runner pools: runs go to the workers beside what they heal, and whoever waits for one that is away can see it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from config.worker import takes
from healing import findings, heartbeats, pools, tasks, why
from healing.catalog import service_document, upsert_service
from healing.models import Service
from healing.runs import starting
from selfheal.errors import Invalid
from selfheal.states import RunStatus
from tests.factories import make_incident, make_run, make_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    queues: list[str] = []
    monkeypatch.setattr(tasks.execute_run, "apply_async", lambda args, **how: queues.append(how["queue"]))
    return queues


@pytest.mark.parametrize(("pool", "queue"), [("", "runs"), ("edge-1", "runs.edge-1")])
def test_a_run_is_sent_to_the_workers_of_its_services_pool(
    pool: str, queue: str, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    run = make_run(make_incident(make_service(pool=pool)), status=RunStatus.QUEUED)
    with django_capture_on_commit_callbacks(execute=True):
        starting.send(run.pk)
    assert sent == [queue]


def test_a_worker_of_a_pool_takes_from_its_queue_alone() -> None:
    assert takes(pools.queue("edge-1")) == ["runs.edge-1"]


def test_a_service_says_its_pool_and_keeps_it() -> None:
    upsert_service({"name": "till", "pool": "edge-1"}, timezone.now(), "ann")
    upsert_service({"name": "till", "owner": "shop"}, timezone.now(), "ann")
    assert service_document(Service.objects.get(name="till"))["pool"] == "edge-1"


@pytest.mark.parametrize("pool", ["Edge", "edge 1", "edge.1", "x" * 31])
def test_a_pool_that_is_no_name_is_refused(pool: str) -> None:
    with pytest.raises(Invalid) as refused:
        upsert_service({"name": "till", "pool": pool}, timezone.now(), "ann")
    assert refused.value.field == "pool"


def test_a_pool_without_a_worker_is_found() -> None:
    at = timezone.now()
    make_service("till", pool="edge-1")
    make_service("scale", pool="edge-2")
    heartbeats.beat("one", pools.role("edge-1"), at)
    found = findings.runner_pools(at)
    assert (found.ok, found.found) == (False, "no worker of edge-2")
    assert found.mend.endswith("selfheal worker --pool edge-2")


def test_an_incident_says_that_its_run_waits_for_a_worker_of_the_pool() -> None:
    at = timezone.now()
    incident = make_incident(make_service(pool="edge-1"))
    make_run(incident, status=RunStatus.QUEUED)
    assert "selfheal worker --pool edge-1" in why.of_incident(incident, at).todo
    heartbeats.beat("one", pools.role("edge-1"), at)
    assert "selfheal worker --pool edge-1" not in why.of_incident(incident, at).todo
