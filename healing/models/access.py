from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models
from knox.models import AbstractAuthToken


class User(AbstractUser):  # type: ignore[django-manager-missing]  # the relation comes from an abstract class of knox
    """A person or a program that acts here. Roles are groups: viewer, operator, approver, admin."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    time_zone = models.CharField(max_length=64, blank=True, help_text="IANA name; empty: the zone of the installation")


class Token(AbstractAuthToken):
    """A hashed, scoped, expiring API token."""

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, blank=True)
    scopes = models.JSONField(default=list)
    domains = models.JSONField(default=list, blank=True, help_text="whose memory it may ask; none: no domain's, an admin's all")
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name or str(self.public_id)
