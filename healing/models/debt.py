from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from selfheal import debt
from selfheal.states import ProblemStatus

from .base import UUIDModel, choices
from .incidents import Incident
from .services import Service


class Problem(UUIDModel):
    """What was healed so often on a service that its cause has to be looked for."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="problems")
    diagnosis = models.CharField(max_length=60)
    status = models.CharField(max_length=5, choices=choices(ProblemStatus), default=ProblemStatus.OPEN)
    owner = models.CharField(max_length=100, blank=True, help_text="of the service, when it was healed last")
    heals = models.PositiveIntegerField(help_text="successes that count for it")
    seconds = models.BigIntegerField(help_text="for which its incidents were open, together")
    first_at = models.DateTimeField(help_text="the first of these successes")
    last_at = models.DateTimeField()
    opened_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    note = models.TextField(blank=True, help_text="what is done about the cause, as whoever acknowledged it says")

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["service", "diagnosis"], condition=Q(status=ProblemStatus.OPEN.value), name="one_open_problem"
            )
        ]
        indexes = [
            models.Index(fields=["status", "-opened_at"], name="problem_by_status"),
            models.Index(fields=["service", "diagnosis", "-opened_at"], name="problem_of_place"),
        ]

    def __str__(self) -> str:
        return f"{self.diagnosis.replace('_', ' ')} of {self.service.name}, again and again"

    @property
    def minutes(self) -> int:
        """What it cost."""
        return debt.minutes(self.seconds)

    @property
    def words(self) -> str:
        return debt.words(self.heals, self.first_at, self.seconds)


class ProblemIncident(models.Model):
    """An incident of a problem, and for how long it was open."""

    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, related_name="parts", db_index=False)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="problem_parts")
    seconds = models.BigIntegerField()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["problem", "incident"], name="part_once")]

    def __str__(self) -> str:
        return f"{self.incident_id} of {self.problem_id}"

    @property
    def minutes(self) -> int:
        return debt.minutes(self.seconds)
