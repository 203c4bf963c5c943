"""What was read from the log, which can be dropped and read again from entry 0; and what advisers were asked and said."""

from __future__ import annotations

from django.db import models

from healing.models.base import choices
from selfheal.lessons import Result, Status
from selfheal.shadow import Judgement


class Cursor(models.Model):
    """How far a reader of the log has come."""

    name = models.CharField(max_length=30, primary_key=True)
    next_index = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} at {self.next_index}"


class About(models.Model):
    """What a run is about, as its proposal says."""

    playbook = models.CharField(max_length=100)
    service = models.CharField(max_length=100)
    diagnosis = models.CharField(max_length=60)

    class Meta:
        abstract = True


class Course(About):
    """A run so far: what the lessons of it have in common."""

    run = models.UUIDField(primary_key=True)
    incident = models.UUIDField(null=True)
    domain = models.CharField(max_length=30, default="host", help_text="of its playbook")
    target = models.CharField(max_length=253)
    impact = models.CharField(max_length=10)
    trigger = models.CharField(max_length=20, blank=True, db_default="", default="")
    requested_by = models.CharField(max_length=150, blank=True, db_default="", default="")
    token = models.CharField(
        max_length=40, blank=True, db_default="", default="", help_text="public id of the one that it was asked for with"
    )
    since = models.DateTimeField(help_text="when its incident opened")
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    held = models.BooleanField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["-started_at"], condition=models.Q(ended_at__isnull=False), name="course_over"),
            models.Index(fields=["incident"], name="course_of_incident"),
        ]

    def __str__(self) -> str:
        return f"{self.playbook} on {self.service}/{self.target}"


class Lesson(About):
    """One decision or outcome, at its index in the log."""

    index = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    run = models.UUIDField()
    target = models.CharField(max_length=253)
    impact = models.CharField(max_length=10)
    status = models.CharField(max_length=15, choices=choices(Status))
    result = models.CharField(max_length=15, choices=choices(Result), blank=True)
    reason = models.TextField(blank=True)
    duration_seconds = models.FloatField(null=True, help_text="from its start, of a run that has ended")
    repair_seconds = models.FloatField(null=True, help_text="from the opening of its incident, of a run that succeeded")

    class Meta:
        ordering = ["-index"]
        indexes = [
            models.Index(fields=["service", "-index"], name="lesson_by_service"),
            models.Index(fields=["playbook", "-index"], name="lesson_by_playbook"),
            models.Index(fields=["status", "-index"], name="lesson_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.index}: {self.playbook} {self.status}"


class Hour(About):
    """What happened in an hour: lessons by the hour in which they were learnt, runs by the hour in which they started."""

    hour = models.DateTimeField()
    proposed = models.PositiveIntegerField(default=0)
    auto_approved = models.PositiveIntegerField(default=0)
    approved = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    blocked = models.PositiveIntegerField(default=0)
    aborted = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    rolled_back = models.PositiveIntegerField(default=0)
    runs = models.PositiveIntegerField(default=0)
    runs_succeeded = models.PositiveIntegerField(default=0)
    runs_failed = models.PositiveIntegerField(default=0)
    runs_rolled_back = models.PositiveIntegerField(default=0)
    runs_aborted = models.PositiveIntegerField(default=0)
    runs_ended = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)
    not_held = models.PositiveIntegerField(default=0)
    milliseconds = models.BigIntegerField(default=0, help_text="that the runs took which have ended, together")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "playbook", "service", "diagnosis"], name="hour_once"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.playbook}"


class Repair(About):
    """How many successes of an hour took how long to repair, by buckets (`selfheal.lessons`)."""

    hour = models.DateTimeField()
    bucket = models.PositiveSmallIntegerField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "playbook", "service", "diagnosis", "bucket"], name="repair_once"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.playbook} bucket {self.bucket}"


class Weight(About):
    """The runs of a playbook by their age, as the ranker reads them: everywhere, for a diagnosis, for that on a service.

    What is wider than a diagnosis, or than a service, names none.
    """

    succeeded = models.FloatField(default=0)
    failed = models.FloatField(default=0)
    at = models.DateTimeField(help_text="when the weights were such; they halve each half-life of the ranker")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["playbook", "diagnosis", "service"], name="weight_once")]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.playbook, self.diagnosis, self.service)))


class Shadow(About):
    """What would have run for an incident of a service that is only observed, and what became of the incident."""

    run = models.UUIDField(primary_key=True, help_text="the first proposal")
    incident = models.UUIDField()
    target = models.CharField(max_length=253)
    verdict = models.CharField(max_length=10, help_text="of policy, had it not been for the mode")
    proposed_at = models.DateTimeField()
    over_at = models.DateTimeField(null=True)
    over_by = models.CharField(max_length=150, blank=True, help_text="empty: its alert ended")
    said = models.CharField(max_length=20, choices=choices(Judgement), blank=True, help_text="a person's word")
    said_by = models.CharField(max_length=150, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["incident", "playbook"], name="shadow_once")]
        indexes = [models.Index(fields=["playbook", "-proposed_at", "-run"], name="shadow_of_playbook")]

    def __str__(self) -> str:
        return f"{self.playbook} on {self.service}/{self.target}"


class Advised(models.Model):
    """What an adviser was asked last about one thing, and its last answer. One row a thing, however often it is asked."""

    adviser = models.CharField(max_length=50)
    about = models.CharField(max_length=600)
    facts = models.JSONField(help_text="a `series` stands for points that whoever answers reads")
    asked_at = models.DateTimeField()
    until = models.DateTimeField(help_text="after which nobody begins with it")
    taken_at = models.DateTimeField(null=True, help_text="since when somebody answers it")
    answered_at = models.DateTimeField(null=True)
    score = models.FloatField(null=True, help_text="0 to 1; null: the facts could not be used, `why` says why not")
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    why = models.JSONField(default=list)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["adviser", "about"], name="advised_once")]

    def __str__(self) -> str:
        return f"{self.adviser} about {self.about}"
