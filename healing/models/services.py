from __future__ import annotations

from django.db import models

from selfheal.states import Mode

from .base import UUIDModel, choices


class Service(UUIDModel):
    """A thing that can be unwell: it stands on one or more targets and depends on other services."""

    name = models.CharField(max_length=100, unique=True)
    url = models.CharField(max_length=500, blank=True)
    mode = models.CharField(max_length=10, choices=choices(Mode), default=Mode.OBSERVE)
    tier = models.CharField(max_length=30, default="standard")
    domain = models.CharField(max_length=30, default="host")
    owner = models.CharField(max_length=100, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    depends_on = models.ManyToManyField("self", symmetrical=False, related_name="dependents", blank=True)
    targets_spec = models.JSONField(default=dict, blank=True, help_text="{hosts, url, via, user} as it was declared")
    min_instances = models.PositiveIntegerField(default=1)
    pool = models.CharField(
        max_length=30, blank=True, default="", db_default="", help_text="whose workers run its playbooks; none: those of `runs`"
    )
    from_file = models.BooleanField(default=False, help_text="declared in services.yaml, which wins at each sync")
    active = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Target(UUIDModel):
    """One place where a service stands. A service without hosts is its own single target."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="targets")
    name = models.CharField(max_length=253)
    url = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["service__name", "name"]
        constraints = [models.UniqueConstraint(fields=["service", "name"], name="target_once_a_service")]
        indexes = [models.Index(fields=["name"], name="target_by_name")]

    def __str__(self) -> str:
        return self.name


class MapRule(models.Model):
    """One entry of `map:` in services.yaml; the first that matches an alert wins."""

    position = models.PositiveIntegerField(unique=True)
    match = models.JSONField()
    service = models.CharField(max_length=200)
    target = models.CharField(max_length=200, blank=True)
    diagnosis = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position}: {self.match} → {self.service}"
