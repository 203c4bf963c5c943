from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models

from selfheal import breaker, scores
from selfheal.states import KillState, Level
from selfheal.trust import Standing

from .base import UUIDModel, choices
from .services import Service


class Control(models.Model):
    """The one row that every claim locks: kill switch, guardrail level, storm."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    kill_switch = models.CharField(max_length=5, choices=choices(KillState), default=KillState.OFF)
    kill_reason = models.TextField(blank=True)
    kill_actor = models.CharField(max_length=150, blank=True)
    kill_at = models.DateTimeField(null=True, blank=True)
    level = models.CharField(max_length=10, choices=choices(Level), default=Level.MAINTAIN)
    level_reason = models.TextField(blank=True, db_default="", default="")
    level_at = models.DateTimeField(null=True, blank=True, help_text="when the meta loop said it last")
    level_since = models.DateTimeField(null=True, blank=True, help_text="since when it has been this one")
    pinned_level = models.CharField(max_length=10, choices=choices(Level), blank=True, db_default="", default="")
    pinned_by = models.CharField(max_length=150, blank=True, db_default="", default="")
    pinned_reason = models.TextField(blank=True, db_default="", default="")
    pinned_at = models.DateTimeField(null=True, blank=True)
    attention = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="diagnoses that are looked at first, as the meta loop says",
    )
    storm = models.CharField(max_length=300, blank=True, help_text="why nothing is automatic now; empty: there is no storm")
    storm_at = models.DateTimeField(null=True, blank=True, help_text="since when it is so, or is over")

    class Meta:
        verbose_name = "kill switch"
        verbose_name_plural = "kill switch"

    def __str__(self) -> str:
        return f"kill switch {self.kill_switch}"


class TriggerSource(models.Model):
    """On which terms a source of troubles without an alert may open incidents."""

    trigger = models.CharField(max_length=20, primary_key=True)
    enabled = models.BooleanField()
    least_confidence = models.FloatField(help_text="0 to 1")
    hourly_limit = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.trigger


class Adviser(models.Model):
    """One that has failed: whether it is still asked (`selfheal.breaker`)."""

    name = models.CharField(max_length=50, primary_key=True)
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    offs = models.PositiveSmallIntegerField(default=0, help_text="how often it was switched off in a row")
    off_until = models.DateTimeField(null=True, blank=True)
    tried_until = models.DateTimeField(null=True, blank=True, help_text="somebody tries it, at most until then")
    reason = models.CharField(max_length=breaker.MAX_REASON, blank=True, help_text="of the last failure")

    class Meta:
        default_permissions = ()
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def standing(self) -> breaker.Standing:
        return breaker.Standing(self.failures, self.offs, self.off_until, self.reason)


class Window(UUIDModel):
    """A change window or a freeze, as an iCalendar with recurrences."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=[("window", "change window"), ("freeze", "freeze")])
    calendar = models.TextField(help_text="RFC 5545 VCALENDAR")
    time_zone = models.CharField(max_length=64, help_text="IANA name, for events without one")
    services = models.ManyToManyField(Service, blank=True, help_text="none: all services")
    impacts = models.JSONField(default=list, blank=True, help_text="none: all impacts")
    active = models.BooleanField(default=True)
    path = models.CharField(max_length=500, blank=True, help_text="the file that declares it, which wins at each sync")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Record(UUIDModel):
    """How a playbook did for a diagnosis, and the autonomy that it earned or was granted."""

    diagnosis = models.CharField(max_length=60)
    playbook = models.CharField(max_length=100)
    started = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    rolled_back = models.PositiveIntegerField(default=0)
    aborted = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)
    not_held = models.PositiveIntegerField(default=0)
    streak = models.PositiveIntegerField(default=0, help_text="held runs since the last demotion")
    demoted_at = models.DateTimeField(null=True, blank=True)
    granted_until = models.DateTimeField(null=True, blank=True)
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    granted_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["diagnosis", "playbook"]
        constraints = [models.UniqueConstraint(fields=["diagnosis", "playbook"], name="one_record")]

    def __str__(self) -> str:
        return f"{self.playbook} for {self.diagnosis}"

    @property
    def standing(self) -> Standing:
        """The part of it that autonomy looks at."""
        return Standing(self.streak, self.demoted_at, self.granted_until)

    def granted(self, at: datetime) -> bool:
        """Whether a person's grant holds now."""
        return self.granted_until is not None and at < self.granted_until


class TrustScore(UUIDModel):
    """How far an actor is trusted: weights of evidence as they were at `as_of`, and what a person set."""

    kind = models.CharField(max_length=10, choices=choices(scores.Kind))
    name = models.CharField(max_length=150)
    good = models.FloatField(default=0)
    bad = models.FloatField(default=0)
    as_of = models.DateTimeField(null=True, blank=True)
    last_index = models.BigIntegerField(default=-1, help_text="the last entry of the log that counted; older ones do not again")
    set_to = models.FloatField(null=True, blank=True)
    set_until = models.DateTimeField(null=True, blank=True, help_text="none: until it is taken back")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    set_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["kind", "name"]
        verbose_name = "trust"
        verbose_name_plural = "trust"
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="one_trust")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def standing(self) -> scores.Standing:
        by = self.set_by.username if self.set_by else ""
        return scores.Standing(self.good, self.bad, self.as_of, self.set_to, self.set_until, by, self.set_reason)


class TrustEvidence(models.Model):
    """One thing that an entry of the log said for or against an actor, and where it stood afterwards."""

    of = models.ForeignKey(TrustScore, on_delete=models.CASCADE, related_name="evidence", db_index=False)
    index = models.BigIntegerField(help_text="of the entry")
    at = models.DateTimeField()
    good = models.BooleanField()
    reason = models.TextField(blank=True)
    score = models.FloatField(help_text="that was earned, after it")

    class Meta:
        ordering = ["-index"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["of", "index"], name="evidence_once")]

    def __str__(self) -> str:
        return f"{self.index}: {'for' if self.good else 'against'}"


class Backoff(models.Model):
    """How many proposals in a row one (service, target, diagnosis) has had, and when the next may come."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE)
    target = models.CharField(max_length=253)
    diagnosis = models.CharField(max_length=60)
    proposals = models.PositiveIntegerField(default=0)
    next_allowed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "backoff"
        constraints = [models.UniqueConstraint(fields=["service", "target", "diagnosis"], name="one_backoff")]
        indexes = [models.Index(fields=["next_allowed_at"], name="backoff_by_time")]

    def __str__(self) -> str:
        return f"{self.diagnosis} of {self.service}/{self.target}"
