"""One step: written down before it starts, done under the launcher, written down when it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.context import context_of
from healing.half_done import NOT_STARTED
from healing.launcher import Launched, Output, launch
from healing.models import Run, Step
from healing.result import Result
from healing.runs import put_back
from healing.runs.starting import LEASE, Lease
from healing.transitions import move
from selfheal.errors import Conflict
from selfheal.replay import sha256_of
from selfheal.states import ACTIVE_RUN, StepStatus

MESSAGE_LIMIT = 2_000

logger = logging.getLogger(__name__)


class LeaseLost(Conflict):
    """Another worker has the run, or it was ended: write nothing more, stop at once."""


@dataclass(frozen=True)
class Work:
    """What one step is to do: from the plan, resolved."""

    phase: str  # symptom | step | verify | rollback
    position: int
    name: str
    action: str
    target: str
    arguments: Mapping[str, Any]
    bound_seconds: float


def renew(lease: Lease, at: datetime) -> None:
    """Keep the lease for another 15 s. Raises LeaseLost when it is not ours any more."""
    mine = Run.objects.filter(pk=lease.run_id, lease_token=lease.token, status__in=ACTIVE_RUN)
    if mine.update(lease_expires_at=at + LEASE) != 1:
        raise LeaseLost(f"run {lease.run_id}: token {lease.token} is not the newest, or the run is over")


def plan_steps(run: Run) -> None:
    """Write down every step of the plan as pending, once."""
    rows = [
        Step(
            run=run,
            phase="step",
            position=position,
            target=step["target"],
            name=step["id"],
            action=step.get("action") or step["check"],
            arguments=step["with"],
            bound_seconds=step["timeout_ms"] / 1000,
            idempotency_key=f"{run.pk}:step:{position}",
        )
        for position, step in enumerate(run.plan["steps"])
    ]
    Step.objects.bulk_create(rows, ignore_conflicts=True)


def write_down(run: Run, work: Work) -> Step:
    """The row of a step that the plan does not list by itself: a check, an undo."""
    key = f"{run.pk}:{work.phase}:{work.position}"
    return Step.objects.get_or_create(
        run=run,
        phase=work.phase,
        position=work.position,
        target=work.target,
        defaults={
            "name": work.name,
            "action": work.action,
            "arguments": dict(work.arguments),
            "bound_seconds": work.bound_seconds,
            "idempotency_key": key,
        },
    )[0]


def begin(step: Step, lease: Lease, at: datetime) -> None:
    """The intent, durable before the effect, and only under a lease that is still ours."""
    with transaction.atomic():
        renew(lease, at)
        changes = {"started_at": at, "attempt": step.attempt + 1, "lease_token": lease.token}
        payload = {
            "key": step.idempotency_key,
            "attempt": step.attempt + 1,
            "arguments_sha256": sha256_of(step.arguments),
            "bound_ms": round(step.bound_seconds * 1000),
        }
        if not move(step, StepStatus.RUNNING, actor=lease.holder, at=at, reason=_words(step), changes=changes, payload=payload):
            raise LeaseLost(f"step {step.name} is {step.status} no more")
        put_back.intend(step, at)


def end(step: Step, launched: Launched, lease: Lease) -> None:
    """What became of it, with its output."""
    at = timezone.now()
    status, message = judge(launched)
    changes = {
        "finished_at": at,
        "stdout": launched.stdout,
        "stderr": launched.stderr,
        "stdout_bytes": launched.stdout_bytes,
        "stderr_bytes": launched.stderr_bytes,
        "result": dict(launched.result.data),
        "message": message,
    }
    payload = {
        "exit_code": launched.exit_code,
        "stdout": {"sha256": sha256_of(launched.stdout), "bytes": launched.stdout_bytes},
        "stderr": {"sha256": sha256_of(launched.stderr), "bytes": launched.stderr_bytes},
        "result_sha256": sha256_of(changes["result"]),
    }
    with transaction.atomic():
        renew(lease, at)
        if not move(
            step, status, actor=lease.holder, at=at, reason=f"{_words(step)}: {message}", changes=changes, payload=payload
        ):
            raise LeaseLost(f"step {step.name} was ended by somebody else")
        put_back.settle(step, at)


def _words(step: Step) -> str:
    named = step.name if step.name == step.action else f"{step.name} ({step.action})"
    return named if step.phase == "step" else f"{step.phase} {named}"


def judge(launched: Launched) -> tuple[StepStatus, str]:
    """Status and a line for people, from how the launcher saw it end."""
    if launched.timed_out:
        return StepStatus.TIMED_OUT, launched.message[:MESSAGE_LIMIT]
    return (StepStatus.SUCCEEDED if launched.result.ok else StepStatus.FAILED), launched.message[:MESSAGE_LIMIT]


def refused(step: Step, message: str) -> Launched:
    """A step that was written down and then not started. What an earlier attempt found stays known."""
    found = {NOT_STARTED: True} if step.attempt <= 1 else {key: step.result[key] for key in step.result if key != NOT_STARTED}
    return Launched(Result(False, message, found), None, False, "", "", "", 0, 0, message)


def perform(run: Run, step: Step, wake: Callable[[], str], bound_seconds: float | None = None) -> Launched:
    """Do it, under the launcher, in its bound. An action that is not there any more fails closed."""
    bound = step.bound_seconds if bound_seconds is None else bound_seconds
    context = context_of(
        run.service.name,
        step.target,
        key=step.idempotency_key,
        bound_seconds=bound,
        earlier=step.result,
        arguments=step.arguments,
    )
    doer = CHECKS.get(step.action) or ACTIONS.get(step.action)
    if doer is None:
        return refused(step, f"there is no action or check {step.action!r}")
    return launch(
        lambda channel: doer.run(step.arguments, context.on(channel)),
        bound_seconds=bound,
        wake=wake,
        watch=partial(_so_far, step),
        title=step.name,
    )


def _so_far(step: Step, output: Output) -> None:
    """What it has said until now, for whoever follows it; `end` writes what it said in all, and logs it."""
    mine = Step.objects.filter(pk=step.pk, status=StepStatus.RUNNING, lease_token=step.lease_token)
    try:
        mine.update(**asdict(output))
    except (OperationalError, InterfaceError) as error:  # a database that is away for a moment: the next second tells
        logger.warning("step %s: its output is not shown yet: %s", step.pk, error)


def again(step: Step, lease: Lease, at: datetime) -> None:
    """A failed step back to pending, for a retry that the playbook allows."""
    with transaction.atomic():
        renew(lease, at)
        if not move(step, StepStatus.PENDING, actor=lease.holder, at=at, reason=f"retry after: {step.message}"):
            raise LeaseLost(f"step {step.name} was moved by somebody else")
