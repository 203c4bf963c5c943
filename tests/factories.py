"""Rows for tests, each complete and consistent: the digest is the plan's, the plan is of the form that the scheduler freezes.

Every function takes what the test cares for as keywords and invents the rest. Nothing here writes a log entry: a test that
needs one goes the real way, through the services.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from healing.access import permissions_of
from healing.models import (
    ApprovalRequest,
    Episode,
    Incident,
    Playbook,
    Problem,
    Run,
    Service,
    Step,
    Target,
    TimelineEvent,
    UnmatchedAlert,
    User,
)
from selfheal.canonical import digest
from selfheal.states import OUTCOME_OF, ROLES, ApprovalStatus, RunStatus

PASSWORD = "correct horse battery"
OPERATE, CONFIGURE, APPROVE = "operate", "configure", "approve_approvalrequest"


def make_roles(*names: str) -> list[Group]:
    """The groups of these roles, of all for none named, as `access.ensure_roles` makes them but without a log entry."""
    groups = Group.objects.bulk_create(Group(name=name) for name in names or ROLES)
    held = Group.permissions.through
    held.objects.bulk_create(held(group=group, permission_id=key) for group in groups for key in _permissions(group.name))
    return groups


@cache
def _permissions(role: str) -> list[int]:
    """Rows of permissions are made by the migrations and stay through all the tests."""
    return [permission.pk for permission in permissions_of(role)]


def make_user(name: str = "ann", *permissions: str, role: str = "viewer", **fields: Any) -> User:
    """A person with a role (viewer, operator, approver, admin), PASSWORD, and further permissions of healing by codename."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True, **fields)
    user.groups.add(Group.objects.filter(name=role).first() or make_roles(role)[0])
    if permissions:
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="healing", codename__in=permissions))
    return user


def make_service(name: str = "web", *, hosts: int = 0, depends_on: Iterable[Service] = (), **fields: Any) -> Service:
    """A service in mode `auto`; with `hosts` it stands on NAME-01 … , without it is its own target."""
    names = [f"{name}-{n:02d}" for n in range(1, hosts + 1)]
    spec = {"hosts": names, "url": "http://${target.host}:8080"} if hosts else {}
    fields = {"mode": "auto", "url": f"https://{name}.internal", "targets_spec": spec, **fields}
    service = Service.objects.create(name=name, **fields)
    Target.objects.bulk_create(Target(service=service, name=n, url=f"http://{n}:8080") for n in names or [name])
    service.depends_on.set(depends_on)
    return service


def make_playbook(name: str = "restart-unit", **fields: Any) -> Playbook:
    document = {"playbook": name, "title": "Restart a service that is down", "domain": "host", "impact": "low"}
    values = {
        "version": 1,
        "digest": digest(document),
        "title": document["title"],
        "domain": "host",
        "impact": "low",
        "diagnoses": ["service_down"],
        "source": f"playbook: {name}\ntitle: Restart a service that is down\n",
        "document": document,
        "path": f"{name}.yaml",
        "created_at": timezone.now(),
    }
    return Playbook.objects.create(name=name, **values | fields)


def make_incident(service: Service | None = None, at: datetime | None = None, **fields: Any) -> Incident:
    """An open incident of the service's first target, with one firing episode."""
    service, at = service or make_service(), at or timezone.now()
    values = {
        "target": service.targets.values_list("name", flat=True)[0],
        "diagnosis": "service_down",
        "confidence": 0.95,
        "severity": "critical",
        "title": "Instance is down",
        "labels": {"alertname": "InstanceDown", "service": service.name},
        "opened_at": at - timedelta(minutes=4),
        "looked_at": at - timedelta(seconds=40),
    }
    incident = Incident.objects.create(service=service, **values | fields)
    Episode.objects.create(
        incident=incident,
        fingerprint=uuid.uuid4().hex[:16],
        starts_at=incident.opened_at,
        severity=incident.severity,
        title=incident.title,
        labels=incident.labels,
        annotations={"summary": incident.title},
        received_at=incident.opened_at,
    )
    return incident


def make_plan(incident: Incident, playbook: Playbook, **changes: Any) -> dict[str, Any]:
    """A frozen plan: one restart, one check."""
    target, url = incident.target, f"http://{incident.target}:8080"
    return {
        "playbook": playbook.name,
        "version": playbook.version,
        "playbook_digest": playbook.digest,
        "title": playbook.title,
        "domain": playbook.domain,
        "impact": playbook.impact,
        "reversible": playbook.reversible,
        "service": incident.service.name,
        "target": target,
        "targets": [target],
        "batch": None,
        "diagnosis": incident.diagnosis,
        "parameters": {"unit": "web.service"},
        "gather": [],
        "gathered": {},
        "timeout_ms": 600_000,
        "outside_window": "ask",
        "symptom": [],
        "steps": [
            {
                "id": "restart",
                "target": target,
                "action": "process.restart",
                "with": {"unit": "web.service"},
                "timeout_ms": 60_000,
                "retries": {"max": 1, "delay_ms": 2_000},
                "on_fail": "undo",
                "rollback": None,
                "confirm": None,
            }
        ],
        "verify": [
            {
                "check": "http_health",
                "target": target,
                "with": {"url": f"{url}/healthz", "expect": {"status": 200}},
                "within_ms": 60_000,
                "every_ms": 2_000,
            }
        ],
        **changes,
    }


def make_decision(verdict: str = "approval", why: str = "high impact always needs approval", **fields: Any) -> dict[str, Any]:
    """As the scheduler writes it: the verdict and every rule that was looked at."""
    rules = [
        {"rule": "kill_switch", "verdict": "auto", "reason": "the kill switch is off"},
        {"rule": "service_mode", "verdict": "auto", "reason": "web is on auto: policy decides"},
        {"rule": "change_window", "verdict": "auto", "reason": "inside the change window (Mon-Fri 09:00-18:00, UTC)"},
        {"rule": "impact", "verdict": verdict, "reason": why},
    ]
    return {
        "verdict": verdict,
        "but_for_mode": verdict,
        "why": why,
        "needed": 1,
        "policy": "2026-11",
        "opens_at": None,
        "rules": rules,
        "given": {},
        **fields,
    }


def make_run(
    incident: Incident | None = None, playbook: Playbook | None = None, at: datetime | None = None, **fields: Any
) -> Run:
    """A run in status `pending`; another status brings its outcome and times with it. `plan` replaces parts of the plan."""
    at = at or timezone.now()
    incident = incident or make_incident(at=at)
    playbook = playbook or Playbook.objects.filter(active=True).first() or make_playbook()
    plan = make_plan(incident, playbook, **fields.pop("plan", {}))
    status = RunStatus(fields.pop("status", RunStatus.PENDING))
    values = {
        "service": incident.service,
        "target": incident.target,
        "diagnosis": incident.diagnosis,
        "trigger": "alert",
        "requested_by": "scheduler",
        "impact": playbook.impact,
        "plan": plan,
        "digest": digest(plan),
        "decision": make_decision(),
        "created_at": at - timedelta(minutes=3),
        "outcome": OUTCOME_OF.get(status),
    }
    if status in OUTCOME_OF:
        values |= {"started_at": at - timedelta(minutes=2), "finished_at": at - timedelta(minutes=1)}
    return Run.objects.create(incident=incident, playbook=playbook, status=status, **values | fields)


def make_step(run: Run, **fields: Any) -> Step:
    values = {
        "phase": "step",
        "position": run.steps.count(),
        "target": run.target,
        "name": "restart",
        "action": "process.restart",
        "arguments": {"unit": "web.service"},
        "status": "succeeded",
        "idempotency_key": uuid.uuid4().hex,
        "bound_seconds": 60,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "attempt": 1,
    }
    return Step.objects.create(run=run, **values | fields)


def make_request(run: Run | None = None, at: datetime | None = None, **fields: Any) -> ApprovalRequest:
    """A pending request about the run, bound to its digest, that expires in 57 minutes."""
    at = at or timezone.now()
    run = run or make_run(at=at)
    values = {
        "subject_id": run.pk,
        "digest": run.digest,
        "title": f"{run.playbook.title} on {run.service.name}/{run.target}",
        "impact": run.impact,
        "domain": run.playbook.domain,
        "needed": 2 if run.impact == "critical" else 1,
        "why": f"impact {run.impact} always needs approval",
        "requested_by": run.requested_by,
        "requester": run.requester,
        "created_at": run.created_at,
        "expires_at": at + timedelta(minutes=57),
        "status": ApprovalStatus.PENDING,
    }
    return ApprovalRequest.objects.create(**values | fields)


def make_problem(service: Service | None = None, at: datetime | None = None, **fields: Any) -> Problem:
    """An open problem of seven successes within the last day, without its incidents."""
    at = at or timezone.now()
    values = {"diagnosis": "service_down", "heals": 7, "seconds": 1680, "opened_at": at, "last_at": at}
    times = {"first_at": at - timedelta(days=1)}
    return Problem.objects.create(service=service or make_service(), **values | times | fields)


def make_line(incident: Incident, action: str, at: datetime | None = None, **fields: Any) -> TimelineEvent:
    """A line of a timeline without its log entry, for pages only."""
    values = {"at": at or timezone.now(), "actor": "scheduler", "outbox_id": 10_000 + incident.timeline.count()}
    return TimelineEvent.objects.create(incident=incident, action=action, **values | fields)


def make_unmatched(at: datetime | None = None, **fields: Any) -> UnmatchedAlert:
    at = at or timezone.now()
    values = {
        "fingerprint": uuid.uuid4().hex[:16],
        "starts_at": at - timedelta(minutes=5),
        "status": "firing",
        "labels": {"alertname": "DiskFull", "instance": "db-07:9100"},
        "reason": "no service is named, and no map entry matches",
        "suggestion": '- match: {alertname: "DiskFull"}\n  service: by_target\n  target: labels.instance\n',
        "first_seen_at": at - timedelta(minutes=5),
        "last_seen_at": at,
    }
    return UnmatchedAlert.objects.create(**values | fields)
