from __future__ import annotations

from django.conf import settings
from django.db import models


class IdempotentCall(models.Model):
    """A write that came with an Idempotency-Key, and its answer once there is one."""

    # The unique constraint begins with the user, so a further index on it would be idle.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="+")
    key = models.CharField(max_length=200)
    method = models.CharField(max_length=10)
    path = models.TextField(help_text="with the query, percent-encoded")
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True, help_text="of the answer; null: still being worked on")
    # Text and not JSON: jsonb orders keys anew and refuses \u0000, and the answer is to be the same to the byte.
    response = models.TextField(null=True, help_text="the JSON text of the answer")
    content_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(db_index=True, help_text="when it was begun; whoever takes it over begins it again")

    class Meta:
        default_permissions = ()  # nobody reads or writes it but the API itself
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotent_call_once")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
