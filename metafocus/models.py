"""What the meta loop saw, decided and asked for, a row a cycle; and what the sources have found."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from healing.models import Incident
from healing.models.base import UUIDModel, choices
from selfheal.guardrails import SHOWN
from selfheal.states import FocusArea, Level


class Cycle(UUIDModel):
    """One cycle. The number is the place among all: of two that begin at once the database lets one be the next."""

    number = models.PositiveBigIntegerField(unique=True)
    created_at = models.DateTimeField()
    focus_area = models.CharField(max_length=30, choices=choices(FocusArea))
    confidence = models.DecimalField(max_digits=3, decimal_places=2, help_text="0 to 1")
    guardrail_adjustment = models.CharField(max_length=10, choices=choices(Level))
    reasoning = models.JSONField()
    seen = models.JSONField(help_text="what the focus follows from (selfheal.focus)")
    grounds = models.JSONField(help_text="what the guardrail follows from (selfheal.cycles)")
    advice = models.JSONField(help_text="distress, which only recommends")
    directives = models.JSONField(help_text="{extra_probes, playbook_priorities, attention, time_budget_seconds}")
    came_of = models.JSONField(null=True, help_text="what came of the directives of the cycle before")
    extra_samples = models.PositiveIntegerField(default=0, help_text="that its extra probes brought until the next cycle")
    outbox_id = models.BigIntegerField(help_text="the outbox row that became the log entry")

    class Meta:
        ordering = ["-number"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"cycle {self.number}: {self.focus_area}"

    @property
    def shown(self) -> str:
        """The guardrail as people read it."""
        return SHOWN[Level(self.guardrail_adjustment)]

    def document(self) -> dict[str, Any]:
        """What the log has of it."""
        names = (
            "number",
            "focus_area",
            "guardrail_adjustment",
            "reasoning",
            "seen",
            "grounds",
            "advice",
            "directives",
            "came_of",
        )
        return {"cycle": str(self.pk), "confidence": f"{self.confidence:.2f}", **{name: getattr(self, name) for name in names}}


class Finding(UUIDModel):
    """A trouble that a source saw, from when it was found until it was not any more, and what it came to."""

    source = models.CharField(max_length=20, help_text="the trigger")
    service = models.CharField(max_length=100)
    target = models.CharField(max_length=253, blank=True)
    diagnosis = models.CharField(max_length=60)
    confidence = models.FloatField()
    title = models.CharField(max_length=300)
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="when it was found last")
    over_at = models.DateTimeField(null=True, blank=True)
    incident = models.ForeignKey(Incident, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    refused = models.CharField(max_length=20, blank=True, help_text="why it opened no incident; empty: it did")
    right = models.BooleanField(null=True, help_text="whether it came to something; null: not judged yet")
    judged_because = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-found_at"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["source", "service", "target", "diagnosis"], condition=Q(over_at__isnull=True), name="one_live_finding"
            )
        ]
        indexes = [
            models.Index(fields=["source", "-found_at"], name="finding_by_source"),
            models.Index(fields=["found_at"], condition=Q(right__isnull=True), name="finding_to_judge"),
        ]

    def __str__(self) -> str:
        return f"{self.source}: {self.title}"


class SourceDay(models.Model):
    """How a source did on a day (UTC)."""

    source = models.CharField(max_length=20)
    day = models.DateField()
    found = models.PositiveIntegerField(default=0)
    opened = models.PositiveIntegerField(default=0)
    right = models.PositiveIntegerField(default=0, help_text="what was found came to something")
    wrong = models.PositiveIntegerField(default=0)
    foreseen = models.PositiveIntegerField(default=0, help_text="an alert came that had been found before")
    missed = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["source", "day"], name="source_day_once")]

    def __str__(self) -> str:
        return f"{self.source} on {self.day}"
