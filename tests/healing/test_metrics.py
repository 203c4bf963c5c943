"""/metrics: every metric that is described is there, what the dashboard asks for is among them, and none counts the history."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from healing import counters, heartbeats, metrics
from healing.models import JobRun, Notification
from healing.runs.ending import finish
from selfheal.states import RunStatus
from tests.factories import make_incident, make_request, make_run, make_service

pytestmark = pytest.mark.django_db
DASHBOARD = Path("docs/grafana/selfheal.json")
MINUTE = timedelta(minutes=1)


def read(at: datetime) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.text(at).decode()):
        found.setdefault(family.name, {})
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = sample.value
    return found


def test_what_is_so_is_said(at: datetime) -> None:
    web = make_service("web")
    run = make_run(make_incident(web, at), at=at, status="running")
    make_run(make_incident(make_service("api"), at, severity="low"), at=at, status="queued", approved_at=at - 2 * MINUTE)
    request = make_request(make_run(make_incident(make_service("db"), at), at=at, created_at=at - 3 * MINUTE), at)
    finish(run, RunStatus.FAILED, actor="test", reason="x", at=at)
    tally = counters.Tally()
    tally.skipped("backoff", "web")
    tally.proposed({"rules": []}, "web")
    tally.write(at)
    counters.add({("", "skipped_unmapped"): 3}, at)
    heartbeats.beat("beat-1", "beat", at - MINUTE)
    JobRun.objects.create(job="tick", started_at=at - MINUTE / 2, seconds=0.5)
    Notification.objects.create(event="x", subject="x", title="x", created_at=at, due_at=at)
    found = read(at)
    assert found["selfheal_proposals_total"] == {("web",): 1}
    assert found["selfheal_skips_total"] == {("unmapped", ""): 3, ("backoff", "web"): 1}
    assert found["selfheal_runs_total"][("failed",)] == 1
    assert found["selfheal_runs"][("queued",)] == found["selfheal_runs"][("pending",)] == 1
    assert found["selfheal_run_queue_oldest_seconds"] == {(): 120}
    assert found["selfheal_approvals_pending"] == {(request.impact,): 1}
    assert found["selfheal_approval_oldest_seconds"] == {(): 180}
    assert found["selfheal_incidents_live"] == {("critical",): 2, ("low",): 1, ("medium",): 0, ("high",): 0}
    assert found["selfheal_heartbeat_age_seconds"] == {("beat-1", "beat"): 60}
    assert [found[f"selfheal_{name}"][()] for name in ("tick_seconds", "tick_age_seconds", "scheduler_up")] == [0.5, 30, 1]
    assert found["selfheal_notifications_waiting"] == {(): 1}
    assert found["selfheal_ledger_pending"][()] > 0
    assert found["selfheal_ledger_pending_seconds"] == {(): 0}
    assert [found[f"selfheal_{name}"][()] for name in ("kill_switch", "mode", "storm")] == [0, 2, 0]


def test_the_dashboard_asks_for_nothing_that_is_not_there(at: datetime) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = " ".join(each["expr"] for panel in dashboard["panels"] for each in panel["targets"])
    asked = set(re.findall(r"selfheal_\w+", expressions))
    named = {metrics.PREFIX + each.name for each in metrics.METRICS}
    assert asked <= named
    assert named - asked == {"selfheal_mode"}
    told = read(at)
    assert {name.removesuffix("_total") for name in asked} <= {name.removesuffix("_total") for name in told}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_only_who_may_read_is_answered(client) -> None:  # type: ignore[no-untyped-def]
    response = client.get("/metrics", headers={"Accept": "text/plain"})
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


def test_a_reader_gets_text(django_user_model, client) -> None:  # type: ignore[no-untyped-def]
    from tests.factories import make_user

    client.force_login(make_user("vera"))
    response = client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    assert b"# TYPE selfheal_runs_total counter" in response.content


def test_history_costs_nothing(at: datetime) -> None:
    """As many statements, and none of them looks at all that ever was: each of the runs' statements goes by an index."""
    web = make_service("web")
    for n in range(3):
        make_run(make_incident(web, at, target=f"web-{n}"), at=at, status="succeeded")
    with CaptureQueriesContext(connection) as few:
        metrics.text(at)
    incident = make_incident(web, at, target="web-9", status="resolved")
    for _ in range(20):
        make_run(incident, at=at, status="succeeded")
    with CaptureQueriesContext(connection) as many:
        metrics.text(at)
    assert len(many) == len(few)
    with connection.cursor() as cursor:
        for query in many.captured_queries:
            if "healing_run" not in query["sql"] or connection.vendor != "sqlite":
                continue
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            assert not [row[3] for row in cursor.fetchall() if row[3] == "SCAN healing_run"], query["sql"]
