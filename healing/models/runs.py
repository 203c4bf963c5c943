from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from selfheal.states import ACTIVE_RUN, ALIVE_RUN, AbortReason, Impact, Outcome, RunStatus, StepStatus, Trigger

from .base import UUIDModel, choices
from .incidents import Incident
from .playbooks import Playbook
from .services import Service


class Run(UUIDModel):
    """One proposal and what became of it. The plan is frozen and digested when it is proposed."""

    incident = models.ForeignKey(Incident, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="runs")
    target = models.CharField(max_length=253)
    diagnosis = models.CharField(max_length=60)
    playbook = models.ForeignKey(Playbook, on_delete=models.PROTECT, related_name="runs")
    trigger = models.CharField(max_length=20, choices=choices(Trigger))
    requested_by = models.CharField(max_length=150, help_text="`scheduler`, or the user who proposed it")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    impact = models.CharField(max_length=10, choices=choices(Impact))
    plan = models.JSONField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the RFC 8785 form of the plan")
    decision = models.JSONField(default=dict)
    status = models.CharField(max_length=15, choices=choices(RunStatus), default=RunStatus.PROPOSED)
    outcome = models.CharField(max_length=15, choices=choices(Outcome), null=True, blank=True)
    abort_reason = models.CharField(max_length=15, choices=choices(AbortReason), null=True, blank=True)
    reason = models.TextField(blank=True, help_text="why it is in this state")
    held = models.BooleanField(null=True, blank=True)
    created_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    lease_holder = models.CharField(max_length=100, blank=True)
    lease_token = models.PositiveIntegerField(default=0, help_text="fencing token: each claim raises it")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True, help_text="when the scheduler or the watchdog looks at it next")

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["service", "target", "diagnosis"],
                condition=Q(status__in=[s.value for s in ALIVE_RUN]),
                name="one_alive_run",
            ),
            models.UniqueConstraint(
                fields=["service", "target"],
                condition=Q(status__in=[s.value for s in ACTIVE_RUN]),
                name="one_active_run_a_target",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="run_due"),
            models.Index(fields=["status", "-created_at"], name="run_by_status"),
            models.Index(fields=["service", "target", "-created_at"], name="run_by_place"),
            models.Index(fields=["playbook", "-created_at"], name="run_by_playbook"),
            models.Index(fields=["-finished_at"], condition=Q(started_at__isnull=False), name="run_by_end"),
            models.Index(
                fields=["service", "diagnosis", "-finished_at"], condition=Q(outcome=Outcome.SUCCESS.value), name="run_healed"
            ),
        ]
        permissions = [
            ("operate", "May propose and abort runs, work on incidents, pull the kill switch"),
            ("configure", "May change services, playbooks, windows and grants"),
        ]

    def __str__(self) -> str:
        return f"{self.plan.get('playbook', '')} on {self.service.name}/{self.target}"


class Step(UUIDModel):
    """One step of a run, written down before it starts."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    phase = models.CharField(max_length=10, choices=[(p, p) for p in ("gather", "symptom", "step", "verify", "rollback")])
    position = models.PositiveIntegerField()
    target = models.CharField(max_length=253)
    name = models.CharField(max_length=100, help_text="the id that the playbook gives it")
    action = models.CharField(max_length=60, help_text="the action, or the check")
    arguments = models.JSONField(default=dict)
    status = models.CharField(max_length=12, choices=choices(StepStatus), default=StepStatus.PENDING)
    idempotency_key = models.CharField(max_length=100)
    lease_token = models.PositiveIntegerField(default=0)
    attempt = models.PositiveIntegerField(default=0)
    bound_seconds = models.FloatField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    stdout = models.TextField(blank=True)
    stderr = models.TextField(blank=True)
    stdout_bytes = models.BigIntegerField(default=0)
    stderr_bytes = models.BigIntegerField(default=0)
    result = models.JSONField(default=dict)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ["run", "started_at", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "phase", "position", "target"], name="step_once"),
        ]
        indexes = [
            models.Index(fields=["finished_at"], condition=~Q(stdout="") | ~Q(stderr=""), name="step_with_output"),
        ]

    def __str__(self) -> str:
        return f"{self.phase} {self.name}"


class PutBack(UUIDModel):
    """What puts a change back that was made for a while, and when. Written down with the intent of the step that makes it."""

    step = models.OneToOneField(Step, on_delete=models.CASCADE, related_name="put_back")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="put_backs")
    target = models.CharField(max_length=253)
    action = models.CharField(max_length=60)
    arguments = models.JSONField()
    due_at = models.DateTimeField(null=True, blank=True, help_text="none: it was done, or is not needed")
    done_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ["due_at"]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="put_back_due")]

    def __str__(self) -> str:
        return f"{self.action} on {self.service.name}/{self.target}"
