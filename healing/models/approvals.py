from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from selfheal.states import ApprovalStatus, Impact

from .base import UUIDModel, choices


class ApprovalRequest(UUIDModel):
    """A question to people, bound to the digest of what it is about. Its subject is a run, a step of one, or
    something else that `content` says in full."""

    subject_type = models.CharField(max_length=30, default="run")
    subject_id = models.UUIDField()
    digest = models.CharField(max_length=64)
    content = models.JSONField(default=dict, blank=True, help_text="what is asked for, where it is no run; the digest is its own")
    title = models.CharField(max_length=300)
    impact = models.CharField(max_length=10, choices=choices(Impact))
    domain = models.CharField(max_length=30, blank=True)
    status = models.CharField(max_length=10, choices=choices(ApprovalStatus), default=ApprovalStatus.PENDING)
    needed = models.PositiveIntegerField(default=1, help_text="different approvers")
    why = models.CharField(max_length=500, help_text="why a person is asked, in a line")
    requested_by = models.CharField(max_length=150)
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="requests"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True, help_text="when the run that it allows was claimed")
    reason = models.TextField(blank=True)
    escalations = models.PositiveSmallIntegerField(default=0, help_text="how often more people were told that nobody answers")
    escalate_at = models.DateTimeField(null=True, blank=True, help_text="when more people are told; none: no more")

    class Meta:
        ordering = ["expires_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_type", "subject_id"],
                condition=Q(status=ApprovalStatus.PENDING.value),
                name="one_pending_request",
            )
        ]
        indexes = [
            models.Index(fields=["status", "expires_at"], name="approval_by_status"),
            models.Index(fields=["subject_type", "subject_id"], name="approval_of_subject"),
            models.Index(fields=["escalate_at"], condition=Q(escalate_at__isnull=False), name="approval_escalates"),
        ]
        permissions = [("approve_approvalrequest", "May approve and reject requests")]

    def __str__(self) -> str:
        return self.title


class Vote(UUIDModel):
    """One person's answer; nobody answers a request twice."""

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    approve = models.BooleanField()
    comment = models.TextField(blank=True)
    via = models.CharField(max_length=150, help_text="page, api (with the token's id) or command line")
    at = models.DateTimeField()

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["request", "user"], name="one_vote_a_person")]

    def __str__(self) -> str:
        return f"{self.user} {'approves' if self.approve else 'rejects'}"


class DomainApprover(UUIDModel):
    """Who approves in a domain. A domain that names nobody is approved by everyone with the role."""

    domain = models.CharField(max_length=30)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="approves_in")

    class Meta:
        ordering = ["domain", "user__username"]
        constraints = [models.UniqueConstraint(fields=["domain", "user"], name="approver_once_a_domain")]

    def __str__(self) -> str:
        return f"{self.user} approves in {self.domain}"
