from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from selfheal.states import LIVE_INCIDENT, EpisodeStatus, IncidentStatus, Severity, Trigger

from .base import UUIDModel, choices
from .services import Service


class Incident(UUIDModel):
    """What is wrong: one live (service, target, diagnosis)."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="incidents")
    target = models.CharField(max_length=253)
    diagnosis = models.CharField(max_length=60)
    confidence = models.FloatField(help_text="0 to 1, from the diagnosis rule")
    status = models.CharField(max_length=10, choices=choices(IncidentStatus), default=IncidentStatus.OPEN)
    severity = models.CharField(max_length=10, choices=choices(Severity), default=Severity.MEDIUM)
    source = models.CharField(max_length=20, choices=choices(Trigger), default=Trigger.ALERT)
    title = models.CharField(max_length=300)
    labels = models.JSONField(default=dict)
    opened_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    next_look_at = models.DateTimeField(null=True, blank=True, help_text="when triage looks next; null: nothing to look for")
    looked_at = models.DateTimeField(null=True, blank=True)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="assigned_incidents"
    )
    part_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="parts",
        help_text="the incident of its root",
    )
    why = models.JSONField(default=dict, blank=True, help_text="the last look: {skip, reason, at, next_look_at, run, verdict}")

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["service", "target", "diagnosis"],
                condition=Q(status__in=[s.value for s in LIVE_INCIDENT]),
                name="one_live_incident",
            )
        ]
        indexes = [
            models.Index(fields=["next_look_at"], condition=Q(next_look_at__isnull=False), name="incident_due"),
            models.Index(fields=["status", "-opened_at"], name="incident_by_status"),
            models.Index(fields=["service", "status", "-opened_at"], name="incident_of_service"),
            models.Index(fields=["service", "target", "diagnosis", "-opened_at"], name="incident_by_place"),
            models.Index(
                fields=["source", "-opened_at"], condition=~Q(source=Trigger.ALERT.value), name="incident_without_alert"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.diagnosis} on {self.service.name}/{self.target}"


class Episode(UUIDModel):
    """One occurrence of an alert, (fingerprint, starts_at); resolved is final for it."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="episodes")
    fingerprint = models.CharField(max_length=64)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=10, choices=choices(EpisodeStatus), default=EpisodeStatus.FIRING)
    severity = models.CharField(max_length=10, choices=choices(Severity))
    title = models.CharField(max_length=300)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    generator_url = models.CharField(max_length=1000, blank=True)
    source = models.CharField(max_length=20, default="alertmanager", help_text="the road it came by: alertmanager or plain")
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["-starts_at"]
        constraints = [models.UniqueConstraint(fields=["fingerprint", "starts_at"], name="episode_once")]

    def __str__(self) -> str:
        return self.title


class UnmatchedAlert(UUIDModel):
    """An alert whose service nobody declared: listed, never guessed."""

    fingerprint = models.CharField(max_length=64, unique=True)
    starts_at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=choices(EpisodeStatus))
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    reason = models.CharField(max_length=300)
    suggestion = models.TextField(help_text="the mapping line that would match it")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return str(self.labels.get("alertname", self.fingerprint))


class TimelineEvent(UUIDModel):
    """One line of an incident's story; written with the log entry that it tells of."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="timeline")
    run = models.ForeignKey("healing.Run", null=True, blank=True, on_delete=models.CASCADE, related_name="timeline")
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    outbox_id = models.BigIntegerField(help_text="the outbox row that became the log entry")

    class Meta:
        ordering = ["outbox_id", "id"]
        indexes = [models.Index(fields=["incident", "outbox_id"], name="timeline_of_incident")]

    def __str__(self) -> str:
        return f"{self.action} {self.reason}"
