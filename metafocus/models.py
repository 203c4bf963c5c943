"""What the meta loop saw, decided and asked for, a row a cycle: the same that its entry in the log says."""

from __future__ import annotations

from typing import Any

from django.db import models

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
