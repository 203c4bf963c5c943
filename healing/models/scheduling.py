from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from .base import UUIDModel
from .incidents import Incident
from .services import Service


class Silence(UUIDModel):
    """A time in which nothing is proposed: for a service, for labels, or for one incident (a timed mute)."""

    service = models.ForeignKey(Service, null=True, blank=True, on_delete=models.CASCADE, related_name="silences")
    labels = models.JSONField(default=dict, blank=True, help_text="label → value; an incident that carries all of them is silent")
    incident = models.ForeignKey(Incident, null=True, blank=True, on_delete=models.CASCADE, related_name="silences")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="silences")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["ends_at"]
        indexes = [models.Index(fields=["ends_at"], name="silence_by_end")]

    def __str__(self) -> str:
        return f"{self.incident or self.service or self.labels}: {self.reason}"


class Counter(models.Model):
    """How often something happened since the installation began. `service` is empty for all of them together."""

    service = models.CharField(max_length=100, blank=True)
    name = models.CharField(max_length=60)
    value = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["service", "name"]
        constraints = [models.UniqueConstraint(fields=["service", "name"], name="one_counter")]

    def __str__(self) -> str:
        return f"{self.service or 'all'} {self.name}: {self.value}"


class JobRun(models.Model):
    """The last time that a periodic job was done."""

    job = models.CharField(max_length=50, primary_key=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="why it failed; empty: it did not")

    def __str__(self) -> str:
        return self.job


class SavedFilter(UUIDModel):
    """A list as somebody likes to see it: a page of the admin with its query."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters")
    page = models.CharField(max_length=100, help_text="path of the list")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000)

    class Meta:
        ordering = ["page", "name"]
        constraints = [models.UniqueConstraint(fields=["user", "page", "name"], name="filter_once_a_name")]

    def __str__(self) -> str:
        return self.name


class Channel(UUIDModel):
    """Where people, or other programs, hear of what happens: an apprise address, or a signed webhook."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=[("apprise", "apprise"), ("webhook", "signed webhook")])
    url = models.CharField(max_length=1000, help_text="secrets stand in it by name only: ${secret.NAME}")
    signing_secret = models.CharField(max_length=100, blank=True, help_text="name of the secret that signs a webhook")
    events = models.JSONField(default=list, blank=True, help_text="none: all events")
    least_impact = models.CharField(max_length=10, default="low")
    services = models.ManyToManyField(Service, blank=True, help_text="none: all services")
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Notification(UUIDModel):
    """One message to one channel: written with what it tells of, sent afterwards, tried again when that fails."""

    channel = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.SET_NULL, related_name="notifications")
    event = models.CharField(max_length=60)
    subject = models.CharField(max_length=100, help_text="kind:id of what it is about")
    title = models.CharField(max_length=300)
    body = models.TextField(blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True, help_text="none: sent, or given up")
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="notification_due"),
            models.Index(fields=["-created_at"], name="notification_by_time"),
            models.Index(fields=["channel", "-created_at"], name="notification_of_channel"),
        ]

    def __str__(self) -> str:
        return self.title
