"""Each trigger source from its raw input to a proposal that waits for a person: no source ever starts anything."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from healing import approvals, ledger, scheduler
from healing.ledger import keys
from healing.ledger.sequencer import sequence_once
from healing.models import ApprovalRequest, Incident, Run, TriggerSource
from healing.signals import receiving
from learning.follow import follow
from metafocus import forecasts, tasks
from metafocus.models import Finding
from metafocus.sources.statistics import statistics
from tests.factories import APPROVE, make_user
from tests.learning.conftest import answers, leaf

from .conftest import House

Work = Callable[..., Run]
MINUTE = timedelta(minutes=1)
MEND = """
playbook: mend
title: Mend it
domain: host
diagnoses: [{diagnoses}]
impact: low
reversible: false
steps:
  - {{id: only, action: noop, timeout: 5s, rollback: none}}
verify:
  - {{check: http_health, url: "${{target.url}}/healthz", expect: {{status: 200}}, within: 1s, every: 200ms}}
"""
FAILS = """
playbook: call-it
title: Call something that is not there
domain: host
diagnoses: [service_down]
impact: low
reversible: false
steps:
  - id: call
    action: http.request
    with: {method: POST, url: "${target.url}/nothing"}
    timeout: 5s
    retries: {max: 2, delay: 1ms}
    rollback: none
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 1s, every: 200ms}
"""


@pytest.fixture
def bare(house: House) -> House:
    """No playbooks but those of the test."""
    for path in house.playbooks.glob("*.yaml"):
        path.unlink()
    return house


def turn(at: datetime | None = None) -> None:
    """What is written is sequenced, learnt, and the meta loop turns once; then the scheduler looks."""
    at = at or timezone.now()
    sequence_once(keys.load(), timezone.now())
    while follow():
        continue
    tasks.turn(at)
    scheduler.look(at)


def waiting(trigger: str) -> Run:
    """The one run of that trigger: it waits for a person, and policy says why."""
    (run,) = Run.objects.filter(trigger=trigger).select_related("incident", "service")
    assert run.status == "pending"
    assert ApprovalRequest.objects.filter(subject_id=run.pk, status="pending").exists()
    rules = {rule["rule"]: rule for rule in run.decision["rules"] if rule["verdict"] == "approval"}
    assert any("alert" in rule["reason"] for rule in rules.values()), rules
    return run


def row_of(source: str) -> dict[str, Any]:
    return next(row for row in statistics(timezone.now()) if row["source"] == source)


def test_immutable_log_the_same_error_of_a_step_again_and_again(bare: House, work: Work) -> None:
    bare.service("shop", broken=True)
    bare.playbook("call-it", FAILS)
    bare.playbook("mend", MEND.format(diagnoses="elevated_errors, general_degradation"))
    failed = work(bare.propose("InstanceDown", "shop"))
    assert failed.status == "failed", failed.reason
    turn()
    run = waiting("immutable_log")
    assert (run.service.name, run.playbook.name) == ("shop", "mend")
    assert run.incident
    assert run.incident.title.startswith("the same error 3 times in 10 min:")
    assert row_of("immutable_log")["opened"] == 1


def history(playbook: str, service: str, at: datetime, *outcomes: str) -> None:
    """The leaves of runs that started at `at`, a minute from each other, as they are written."""
    leaves = []
    for number, outcome in enumerate(outcomes):
        run, moment = uuid.uuid4(), at + number * MINUTE
        about = {"playbook": playbook, "service": service, "diagnosis": "service_down", "target": service, "impact": "low"}
        leaves.append(leaf(run, "proposed", moment, "scheduler", **about, domain="host", since=None))
        leaves.append(leaf(run, "running", moment, **{"from": "queued", "to": "running"}))
        leaves.append(leaf(run, outcome, moment + MINUTE / 2, **{"from": "running", "to": outcome, "abort_reason": None}))
    with transaction.atomic():
        for each in leaves:
            said = {name: each[name] for name in ("actor", "action", "resource", "payload")}
            ledger.append(**said, at=datetime.fromisoformat(each["at"]))


def test_meta_loop_a_playbook_that_fails_over_its_baseline(bare: House) -> None:
    bare.service("shop")
    bare.playbook("mend", MEND.format(diagnoses="misconfiguration"))
    now = timezone.now()
    history("restart", "shop", now - timedelta(days=2), *["succeeded"] * 10)
    history("restart", "shop", now - 5 * MINUTE, *["failed"] * 4)
    turn(now)
    run = waiting("meta_loop")
    assert (run.service.name, run.diagnosis) == ("shop", "misconfiguration")
    assert run.incident
    assert run.incident.title == "restart went wrong 4 of 4 times lately; 0% of 10 before"


def measure(service: str, at: datetime) -> None:
    """A disk that fills by one percent a minute, as somebody posts it."""
    body = [
        {"service": service, "metric": "disk_free", "value": 60 - minute, "at": (at - (50 - minute) * MINUTE).isoformat()}
        for minute in range(50)
    ]
    assert receiving.receive(json.dumps(body).encode(), actor="collector", at=at)["accepted"] == 50


@pytest.fixture
def filling(bare: House) -> House:
    text = "signals:\n  disk_free: {degraded: 8, critical: 2, worse: below, diagnosis: capacity_strain}\n"
    (bare.config / "signals.yaml").write_text(text)
    bare.service("db")
    bare.playbook("mend", MEND.format(diagnoses="capacity_strain"))
    now = timezone.now()
    measure("db", now)
    forecasts.strains(now, MINUTE)  # what the cycle before has asked
    assert answers(now) == 1
    return bare


def test_proactive_ml_a_capacity_that_will_be_used_up(filling: House, settings: Any) -> None:
    settings.SELF_HEAL_PREDICTIVE_SHADOW = False
    turn()
    run = waiting("proactive_ml")
    assert (run.service.name, run.diagnosis) == ("db", "capacity_strain")
    assert run.incident
    assert run.incident.title.startswith("disk_free will pass its limit within 15 min with ")


def test_proactive_ml_in_shadow_is_recorded_and_scored_and_proposes_nothing(filling: House) -> None:
    at = timezone.now()
    turn(at)
    assert not Incident.objects.exists()
    assert Finding.objects.get(source="proactive_ml").refused == "shadow"
    turn(at + 61 * MINUTE)
    assert row_of("proactive_ml")["wrong"] == 1


def test_agentic_spine_a_root_that_nobody_complains_of(bare: House) -> None:
    needs: dict[str, list[str]] = {"db": [], "api": ["db"], "jobs": ["db"]}
    bare.declare(**{name: {"mode": "auto", "url": f"http://{name}.internal", "depends_on": on} for name, on in needs.items()})
    bare.playbook("mend", MEND.format(diagnoses="general_degradation"))
    for name in ("api", "jobs"):
        bare.alert("InstanceDown", name)
    bare.look()
    run = waiting("agentic_spine")
    assert run.service.name == "db"
    turn()
    assert Finding.objects.get(source="agentic_spine").incident == run.incident


def test_a_source_that_is_switched_off_opens_nothing(filling: House, settings: Any) -> None:
    settings.SELF_HEAL_PREDICTIVE_SHADOW = False
    TriggerSource.objects.create(trigger="proactive_ml", enabled=False, least_confidence=0.5, hourly_limit=5)
    turn()
    assert not Run.objects.exists()
    assert Finding.objects.get().refused == "disabled"


def test_the_meta_loop_tightens_what_runs_next(bare: House, work: Work) -> None:
    """What came of runs, through the loop, to the decision about the next one."""
    bare.playbook("mend", MEND.format(diagnoses="service_down"))
    ann = make_user("ann", APPROVE)
    for number in range(3):
        bare.service(f"broken-{number}", broken=True)
        run = bare.propose("InstanceDown", f"broken-{number}")
        for request in ApprovalRequest.objects.filter(subject_id=run.pk):
            approvals.approve(request.pk, ann, "try it", "test", timezone.now())
        assert work(run).status == "failed"
    bare.service("shop")
    turn()
    run = bare.propose("InstanceDown", "shop")
    assert "strict guardrail" in json.dumps(run.decision["rules"])
