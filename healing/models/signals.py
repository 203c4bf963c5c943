from __future__ import annotations

from django.db import models

from selfheal.states import Health

from .base import UUIDModel, choices
from .services import Service


class Sample(models.Model):
    """One measured value, kept for as long as checks look back."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="samples")
    target = models.CharField(max_length=253)
    metric = models.CharField(max_length=100)
    value = models.FloatField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "target", "metric", "at"], name="sample_once")]
        indexes = [models.Index(fields=["at"], name="sample_by_time")]

    def __str__(self) -> str:
        return f"{self.metric} {self.value} at {self.at}"


class Sensed(models.Model):
    """The last look of an adapter at a place. What it measured are samples; `why` is what it said of them."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="sensed")
    target = models.CharField(max_length=253)
    at = models.DateTimeField()
    why = models.TextField(blank=True, help_text="what could not be seen, or why it is not well; empty: all was")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "target"], name="sensed_once")]
        indexes = [models.Index(fields=["at"], name="sensed_by_time")]

    def __str__(self) -> str:
        return f"{self.service.name}/{self.target}: {self.why or 'seen'}"


class Signal(UUIDModel):
    """What one metric says about a target's health, with hysteresis: another state counts when it was seen often enough."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="signals")
    target = models.CharField(max_length=253)
    metric = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=choices(Health), default=Health.UNKNOWN)
    since = models.DateTimeField()
    value = models.FloatField()
    seen_at = models.DateTimeField(help_text="when the newest value was measured")
    candidate = models.CharField(max_length=10, choices=choices(Health), blank=True, help_text="the state that it may become")
    times = models.PositiveIntegerField(default=0, help_text="how often in a row the candidate was seen")

    class Meta:
        ordering = ["service__name", "target", "metric"]
        constraints = [models.UniqueConstraint(fields=["service", "target", "metric"], name="one_signal")]
        indexes = [models.Index(fields=["seen_at"], name="signal_by_time")]

    def __str__(self) -> str:
        return f"{self.metric} of {self.service.name}/{self.target}: {self.state}"
