"""`confirm`: a step that waits for a person.

Rules that this module keeps:
1. A step is asked about once, whoever dies meanwhile: its request is found again.
2. The deadline moves by the whole time to answer in the transaction that asks, and what was not needed of that is taken off
   again in the one that begins the step. So the run's clock stands still while it waits, with nobody to keep it.
3. A yes is used once, by that step.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from healing import approvals
from healing.models import ApprovalRequest, Run, Step
from healing.runs import steps
from healing.runs.starting import Lease
from healing.transitions import move
from selfheal.states import AbortReason, ApprovalStatus, StepStatus


def asked(row: Step, question: str, run: Run, lease: Lease) -> ApprovalRequest:
    """The request about this step; made now if there is none."""
    found = ApprovalRequest.objects.filter(subject_type="step", subject_id=row.pk).first()
    if found is not None:
        return found
    at = timezone.now()
    with transaction.atomic():
        steps.renew(lease, at)
        request = approvals.ask_step(row, question, at)
        _move_deadline(run, request.expires_at - at)
    return request


def answered(request: ApprovalRequest, at: datetime) -> bool:
    """Whether there is nothing more to wait for: it was answered, or its time is over."""
    request.refresh_from_db(fields=["status", "reason"])
    return request.status != ApprovalStatus.PENDING or at >= request.expires_at


def refused(request: ApprovalRequest, row: Step, lease: Lease) -> tuple[AbortReason, str] | None:
    """Why the step is not begun, if it is not: somebody said no, or nobody answered. The step is skipped then."""
    at = timezone.now()
    with transaction.atomic():
        steps.renew(lease, at)
        expired = "nobody answered in time"
        if request.status == ApprovalStatus.PENDING:
            move(request, ApprovalStatus.EXPIRED, actor=lease.holder, at=at, reason=expired, changes={"escalate_at": None})
        request.refresh_from_db(fields=["status", "reason"])
        if request.status == ApprovalStatus.APPROVED:
            return None
        no = request.status == ApprovalStatus.REJECTED
        words = f"step {row.name} was not confirmed: {request.reason or expired}"
        move(row, StepStatus.SKIPPED, actor=lease.holder, at=at, reason=words, changes={"message": words})
    return (AbortReason.OPERATOR if no else AbortReason.EXPIRED), words


def use(request: ApprovalRequest, run: Run, at: datetime) -> None:
    """Take the yes for the step that begins in this transaction. Raises LeaseLost if it was used already."""
    if not approvals.use_step(request, at):
        raise steps.LeaseLost(f"the answer to request {request.pk} was used already")
    if request.expires_at > at:
        _move_deadline(run, at - request.expires_at)


def _move_deadline(run: Run, by: timedelta) -> None:
    run.deadline_at = (run.deadline_at or timezone.now()) + by
    Run.objects.filter(pk=run.pk).update(deadline_at=run.deadline_at)
