"""Asking people. A request is bound to the digest of its subject, is answered once, and is used once.

Rules that this module keeps:
1. Nobody answers twice, nobody approves what they asked for from `SELF_HEAL_FOUR_EYES_FROM` up, whatever road they come by.
   A domain that names its approvers is approved by those only. Rejecting is open to everyone with the role.
2. A rejection ends it; an approval counts, and the last one needed approves it.
3. What was approved is a digest. `consume` hands the approval to exactly that digest, once.
4. A request may be about one step of a run that waits for it (`confirm`). Its answer moves nothing: the run's worker sees it.
5. Several at once are several answers, each by itself under all of these rules. Approved so is only what is of low impact.
6. A request may be about something that is no run (`healing.asking`). Its answer moves nothing either: whoever asked looks at it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from healing import ledger
from healing.locks import lock_run
from healing.models import ApprovalRequest, DomainApprover, Run, Step, User, Vote
from healing.transitions import move, record
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.policy import Decision
from selfheal.states import ApprovalStatus, Impact, RunStatus

PERMISSION = "healing.approve_approvalrequest"
ABOUT_RUNS = ("run", "step")
ESCALATE_AFTER = (timedelta(minutes=5), timedelta(minutes=15))  # since it was asked; see healing.escalation


def ask(run: Run, decision: Decision, at: datetime) -> ApprovalRequest:
    """Ask people about a run that has just become pending; called in the transaction of that move."""
    title = f"{run.plan['title']}: {run.service.name} / {run.target}"
    window = next((r.reason for r in decision.rulings if r.rule == "change_window"), "")
    said = {"policy": decision.version, "window": window}
    return _open(run, "run", run.pk, title, decision.needed, decision.why, run.requested_by, said, at)


def ask_step(step: Step, question: str, at: datetime) -> ApprovalRequest:
    """Ask people about a step that waits for them; called by the worker of its run, once for each step."""
    run = step.run
    title = f"{question} ({run.plan['title']}: {run.service.name} / {step.target}, before {step.name})"
    why = f"the playbook asks before step {step.name} on {step.target}: {question}"
    return _open(run, "step", step.pk, title, 1, why, "the run", {"step": step.name, "target": step.target}, at)


def _open(
    run: Run, kind: str, subject: uuid.UUID, title: str, needed: int, why: str, actor: str, said: Mapping[str, Any], at: datetime
) -> ApprovalRequest:
    request = ApprovalRequest.objects.create(
        subject_type=kind,
        subject_id=subject,
        digest=run.digest,
        title=title[:300],
        impact=run.impact,
        domain=run.plan["domain"],
        needed=needed,
        why=why[:500],
        requested_by=run.requested_by,
        requester=run.requester,
        created_at=at,
        expires_at=at + timedelta(minutes=settings.SELF_HEAL_APPROVAL_TTL_MIN),
        escalate_at=at + ESCALATE_AFTER[0],
    )
    payload = {
        "run": str(run.pk),
        "digest": run.digest,
        "impact": run.impact,
        "needed": request.needed,
        "approvers": approvers_of(request.domain),
        "requested_by": run.requested_by,
        "expires_at": request.expires_at.isoformat(),
        **said,
    }
    record(request, "approval.requested", actor=actor, at=at, reason=request.why, payload=payload)
    return request


def approve(request_id: uuid.UUID, user: User, comment: str, via: str, at: datetime) -> ApprovalRequest:
    """Count one approval; the last one needed approves the run and sends it on its way.

    Raises NotAllowed (role, own request, another domain), Conflict (not pending, expired, second vote).
    """
    with transaction.atomic():
        request = _pending(request_id, user, at)
        kept = kept_from_approving(request, user)
        if kept:
            raise NotAllowed(kept)
        _vote(request, user, True, comment, via, at)
        if request.votes.filter(approve=True).count() >= request.needed:
            _approved(request, user, comment, at)
    return request


def reject(request_id: uuid.UUID, user: User, comment: str, via: str, at: datetime) -> ApprovalRequest:
    """End the request and its run. Raises Invalid without a comment, else as `approve` does."""
    if not comment.strip():
        raise Invalid("a rejection says why: the next person on call will read it", field="comment")
    from healing.runs.ending import rejected

    with transaction.atomic():
        request = _pending(request_id, user, at)
        _vote(request, user, False, comment, via, at)
        _move(request, ApprovalStatus.REJECTED, actor=user.username, reason=comment, at=at)
        if request.subject_type == "run":
            rejected(run_of(request), actor=user.username, reason=comment, at=at)
    return request


@dataclass(frozen=True)
class Answer:
    """What became of one request of several: how it stands now, or why it was not answered."""

    title: str
    status: str = ""
    refused: str = ""


def answer_all(ids: Iterable[uuid.UUID], user: User, approves: bool, comment: str, via: str, at: datetime) -> list[Answer]:
    """Give the same answer to each request, in a transaction of its own: one that is refused keeps no other from its answer."""
    return [_answer(request_id, user, approves, comment, via, at) for request_id in dict.fromkeys(ids)]


def _answer(request_id: uuid.UUID, user: User, approves: bool, comment: str, via: str, at: datetime) -> Answer:
    found = ApprovalRequest.objects.filter(pk=request_id).values_list("title", "impact").first()
    if found is None:
        return Answer(str(request_id), refused="there is no such request")
    title, impact = found
    if approves and impact != Impact.LOW:
        return Answer(title, refused=f"is of {impact} impact: approve it on its own page")
    try:
        after = (approve if approves else reject)(request_id, user, comment, via, at)
    except (Conflict, NotAllowed, Invalid) as refusal:
        return Answer(title, refused=str(refusal))
    return Answer(title, status=after.status)


def cancel(run: Run, to: ApprovalStatus, *, actor: str, reason: str, at: datetime) -> None:
    """Take back what was asked about a run that will not start, or about its steps when it is over: `expired` or `cancelled`."""
    for request in requests_of(run).filter(status=ApprovalStatus.PENDING):
        move(request, to, actor=actor, reason=reason, at=at, changes={"decided_at": at, "escalate_at": None})


def requests_of(run: Run) -> QuerySet[ApprovalRequest]:
    """What was asked about the run, and about its steps."""
    about_steps = Q(subject_type="step", subject_id__in=run.steps.values("pk"))
    return ApprovalRequest.objects.filter(Q(subject_type="run", subject_id=run.pk) | about_steps)


def run_of(request: ApprovalRequest) -> Run:
    """The run that a request is about, as a whole or in one step."""
    return Run.objects.select_related("service", "incident", "playbook").get(pk=runs_of([request])[request.pk])


def runs_of(requests: Iterable[ApprovalRequest]) -> dict[uuid.UUID, uuid.UUID]:
    """For each request that is about a run, or a step of one, the id of the run, in one query."""
    found = {request.pk: request.subject_id for request in requests if request.subject_type in ABOUT_RUNS}
    run_ids = dict(Step.objects.filter(pk__in=found.values()).values_list("pk", "run_id"))
    return {pk: run_ids.get(subject, subject) for pk, subject in found.items()}


def use_step(request: ApprovalRequest, at: datetime) -> bool:
    """Use the answer to `confirm`, once; called in the transaction that begins the step."""
    if (
        ApprovalRequest.objects.filter(pk=request.pk, status=ApprovalStatus.APPROVED, used_at__isnull=True).update(used_at=at)
        != 1
    ):
        return False
    record(request, "approval.used", actor="the run", at=at, reason="the step that it allows starts")
    return True


def consume(run: Run, at: datetime) -> bool:
    """Use the approval of exactly this plan, once: one conditional UPDATE, whoever updates no row may not start."""
    approved = ApprovalRequest.objects.filter(
        subject_type="run", subject_id=run.pk, status=ApprovalStatus.APPROVED, digest=run.digest, used_at__isnull=True
    )
    request = approved.first()
    if request is None or approved.filter(pk=request.pk).update(used_at=at) != 1:
        return False
    record(
        request, "approval.used", actor="policy", at=at, reason="the run that it allows starts", payload={"digest": run.digest}
    )
    return True


def kept_from_approving(request: ApprovalRequest, user: User) -> str:
    """Why this person may not approve it, in words; empty: they may.

    Below `SELF_HEAL_FOUR_EYES_FROM` one's own proposal needs no second person.
    """
    own = request.requester_id is not None and request.requester_id == user.pk
    if own and Impact(request.impact).rank >= Impact(settings.SELF_HEAL_FOUR_EYES_FROM).rank:
        return f"you asked for this yourself, and at {request.impact} impact somebody else has to approve it"
    named = approvers_of(request.domain)
    if named and user.username not in named:
        return f"what is asked in the domain {request.domain} is approved by {', '.join(named)}"
    return ""


def approvers_of(domain: str) -> list[str]:
    """The names of those who approve in a domain; none: everyone with the role does."""
    return approvers_by_domain().get(domain, [])


def approvers_by_domain() -> dict[str, list[str]]:
    """As `approvers_of`, for each domain that names somebody."""
    found: dict[str, list[str]] = {}
    for domain, name in DomainApprover.objects.values_list("domain", "user__username"):
        found.setdefault(domain, []).append(name)
    return found


def name_approver(domain: str, user: User, *, actor: str, at: datetime) -> DomainApprover:
    """Let `user` approve in a domain. Raises Invalid for somebody without the role, Conflict for one who is named already."""
    if not (user.is_active and user.has_perm(PERMISSION)):
        raise Invalid(f"{user.username} has not the role approver", field="user")
    with transaction.atomic():
        before = approvers_of(domain)
        if user.username in before:
            raise Conflict(f"{user.username} approves in {domain} already")
        named = DomainApprover.objects.create(domain=domain, user=user)
        _log_approvers("approver.named", domain, before, actor, at)
    return named


def remove_approver(named: DomainApprover, *, actor: str, at: datetime) -> None:
    """Take somebody off the approvers of a domain; when the last one goes, everyone with the role approves there again."""
    with transaction.atomic():
        before = approvers_of(named.domain)
        named.delete()
        _log_approvers("approver.removed", named.domain, before, actor, at)


def _log_approvers(action: str, domain: str, before: list[str], actor: str, at: datetime) -> None:
    payload = {"domain": domain, "before": before, "after": approvers_of(domain)}
    ledger.append(actor=actor, action=action, resource=f"domain:{domain}", payload=payload, at=at)


def _pending(request_id: uuid.UUID, user: User, at: datetime) -> ApprovalRequest:
    if not (user.is_active and user.has_perm(PERMISSION)):
        raise NotAllowed("this needs the role approver")
    run_id = runs_of([ApprovalRequest.objects.get(pk=request_id)]).get(request_id)
    if run_id:
        lock_run(run_id)
    request = ApprovalRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=request_id)
    if request.status != ApprovalStatus.PENDING:
        raise Conflict(f"the request is {request.status} already")
    if request.expires_at <= at:
        raise Conflict("the request has expired; if the trouble goes on, a new one will come")
    return request


def _vote(request: ApprovalRequest, user: User, approves: bool, comment: str, via: str, at: datetime) -> None:
    if len(comment) > 5_000 or "\x00" in comment:
        raise Invalid("holds a NUL character or more than 5,000 characters", field="comment")
    try:
        with transaction.atomic():
            Vote.objects.create(request=request, user=user, approve=approves, comment=comment, via=via[:150], at=at)
    except IntegrityError as error:
        raise Conflict(f"{user.username} has answered this request already") from error
    payload = {"approve": approves, "via": via, "digest": request.digest}
    record(request, "approval.vote", actor=user.username, at=at, reason=comment, payload=payload)


def _approved(request: ApprovalRequest, user: User, comment: str, at: datetime) -> None:
    from healing.runs.starting import release

    names = [str(name) for name in request.votes.filter(approve=True).values_list("user__username", flat=True)]
    _move(request, ApprovalStatus.APPROVED, actor=user.username, reason=comment or "approved", at=at, voters=names)
    if request.subject_type not in ABOUT_RUNS:
        return
    run = run_of(request)
    if run.digest != request.digest:
        raise Conflict("the plan is not the one that was asked about")
    if request.subject_type == "step":
        return
    changes = {"approved_at": at, "due_at": at}
    reason = f"approved by {' and '.join(names)}"
    if not move(run, RunStatus.APPROVED, actor=user.username, at=at, reason=reason, changes=changes):
        raise Conflict("the run was ended in the meantime")
    release(run, at)


def _move(
    request: ApprovalRequest, to: ApprovalStatus, *, actor: str, reason: str, at: datetime, voters: list[str] | None = None
) -> None:
    run = runs_of([request]).get(request.pk)
    payload = {"digest": request.digest, **({"run": str(run)} if run else {}), "voters": voters or []}
    changes = {"decided_at": at, "escalate_at": None}
    if not move(request, to, actor=actor, reason=reason, at=at, changes=changes, payload=payload):
        raise Conflict("somebody else answered first")
