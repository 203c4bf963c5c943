"""What the models share: UUID keys, and choices from the table of states."""

from __future__ import annotations

import uuid
from enum import StrEnum

from django.db import models


class UUIDModel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


def choices(states: type[StrEnum]) -> list[tuple[str, str]]:
    """The pairs that a Django field takes, with labels as people read them."""
    return [(state.value, state.value.replace("_", " ")) for state in states]
