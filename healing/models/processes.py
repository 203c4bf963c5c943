from __future__ import annotations

from datetime import timedelta

from django.db import models


class Lease(models.Model):
    """Who may do a job that only one process may do. The token rises with each new holder."""

    name = models.CharField(max_length=50, primary_key=True)
    holder = models.CharField(max_length=100)
    token = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class JobSlot(models.Model):
    """One slot of a periodic job: whoever inserts the row does the job, so any number of beats is safe."""

    job = models.CharField(max_length=50)
    slot = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "slot"], name="slot_once")]

    def __str__(self) -> str:
        return f"{self.job} {self.slot}"


class Heartbeat(models.Model):
    """The last sign of life of a process."""

    name = models.CharField(max_length=100, primary_key=True)
    role = models.CharField(max_length=20, db_index=True)
    at = models.DateTimeField()
    clock_ahead = models.DurationField(default=timedelta(0), db_default=timedelta(0))  # of the database's; negative: behind

    def __str__(self) -> str:
        return self.name
