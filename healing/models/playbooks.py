from __future__ import annotations

from django.db import models
from django.db.models import Q

from selfheal.states import Impact

from .base import UUIDModel, choices


class Playbook(UUIDModel):
    """One immutable version of a playbook; a change of the file makes the next version."""

    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the RFC 8785 form of the document")
    title = models.CharField(max_length=200)
    domain = models.CharField(max_length=30)
    impact = models.CharField(max_length=10, choices=choices(Impact), help_text="greatest of the playbook's and its actions'")
    diagnoses = models.JSONField(default=list)
    reversible = models.BooleanField(default=False)
    source = models.TextField()
    document = models.JSONField()
    path = models.CharField(max_length=500)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="playbook_version_once"),
            models.UniqueConstraint(fields=["name"], condition=Q(active=True), name="one_active_version"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"
