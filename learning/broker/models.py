"""The tables of memory. Only `learning.broker` reads them; a contract of the linter says so."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from healing.models.base import choices
from selfheal.memory.policies import QUOTA
from selfheal.memory.ranking import WEIGHTS, Numbers
from selfheal.memory.rights import AccessLevel, MemoryType


class Source(models.TextChoices):
    STORED = "stored", "stored"  # by a program; it stands nowhere else
    OUTCOME = "outcome", "outcome"  # of a run, from the log
    PATTERN = "pattern", "pattern"  # of many, from the log


class Memory(models.Model):
    """One thing that is remembered. `words` are its tokens with a blank before and after each (`selfheal.memory.words`)."""

    public_id = models.UUIDField(unique=True, default=uuid.uuid4)
    domain = models.CharField(max_length=30)
    memory_type = models.CharField(max_length=10, choices=choices(MemoryType))
    content = models.JSONField()
    tags = models.JSONField(default=list)
    context = models.JSONField(default=dict)
    words = models.TextField()
    sensitive = models.BooleanField(default=False)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.STORED)
    stored_by = models.CharField(max_length=150)
    at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    uses = models.PositiveIntegerField(default=0, help_text="how often it was used after it was returned")

    class Meta:
        verbose_name_plural = "memories"
        indexes = [
            models.Index(fields=["domain", "-at"], name="memory_newest"),
            models.Index(fields=["domain", "-uses"], name="memory_most_used"),
            models.Index(fields=["domain", "memory_type", "sensitive"], name="memory_counted"),
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="memory_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.memory_type} of {self.domain}, {self.at:%Y-%m-%d %H:%M}"


class Domain(models.Model):
    """What a domain has of its own: the weights of its ranking, and how often it may ask in any 60 seconds."""

    name = models.CharField(max_length=30, primary_key=True)
    recency = models.FloatField(default=WEIGHTS.recency)
    frequency = models.FloatField(default=WEIGHTS.frequency)
    tags = models.FloatField(default=WEIGHTS.tags)
    context = models.FloatField(default=WEIGHTS.context)
    quota = models.PositiveIntegerField(default=QUOTA)

    def __str__(self) -> str:
        return self.name

    @property
    def weights(self) -> Numbers:
        return Numbers(self.recency, self.frequency, self.tags, self.context)


class Asked(models.Model):
    """One question, answered or refused. What it returned may be used by the same actor later; kept a week."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    domain = models.CharField(max_length=30)
    memory_type = models.CharField(max_length=10, blank=True)
    level = models.CharField(max_length=15, choices=choices(AccessLevel))
    violation = models.CharField(max_length=30, blank=True, help_text="the policy that was offended")
    reason = models.CharField(max_length=300, blank=True)
    returned = models.JSONField(default=list)
    found = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["domain", "-at"], name="asked_by_domain"),
            models.Index(fields=["actor", "-at"], name="asked_by_actor"),
            models.Index(fields=["-at"], condition=~Q(violation=""), name="asked_violating"),
            models.Index(fields=["at"], name="asked_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} asks {self.domain}"


class Grant(models.Model):
    """A cross-domain approval that was asked for. Whether it was given, and when, says its approval request."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    domain = models.CharField(max_length=30, help_text="that asks")
    others = models.JSONField(help_text="the domains that it wants to ask")
    hours = models.PositiveIntegerField(help_text="how long it lasts from the approval on")
    reason = models.CharField(max_length=300)
    asked_by = models.CharField(max_length=150)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["domain", "-at"], name="grant_of_domain")]

    def __str__(self) -> str:
        return f"{self.domain} asks {', '.join(self.others)}"


class Pattern(models.Model):
    """How often a playbook was tried for a diagnosis of a service, and what came of it; from the log, dropped and read again."""

    domain = models.CharField(max_length=30)
    service = models.CharField(max_length=100)
    diagnosis = models.CharField(max_length=60)
    playbook = models.CharField(max_length=100)
    results = models.JSONField(default=dict, help_text="how many ended how")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    last_result = models.CharField(max_length=15)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "diagnosis", "playbook", "domain"], name="pattern_once")]

    def __str__(self) -> str:
        return f"{self.playbook} for {self.diagnosis} of {self.service}"


class Question(models.Model):
    """How often a domain asked for the same words, and how often it found little; from the log, dropped and read again."""

    domain = models.CharField(max_length=30)
    terms = models.CharField(max_length=300, help_text="sorted, with a blank between them")
    asked = models.PositiveIntegerField(default=0)
    little = models.PositiveIntegerField(default=0, help_text="fewer than three were found in the own domain")
    last_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "terms"], name="question_once")]
        indexes = [models.Index(fields=["domain", "-asked"], name="question_most_asked")]

    def __str__(self) -> str:
        return f"{self.domain}: {self.terms}"
