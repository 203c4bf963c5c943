"""A run as its entries tell it, and as the tables say that it is.

The entries of a run have `run:ID` as their resource, so an index finds them: what this costs grows with the run, not with the
log. What was committed a moment ago and waits for the sequencer is found by the timeline of the run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from django.utils import timezone

from healing.ledger.outbox import instant
from healing.models import ApprovalRequest, LedgerEntry, LedgerOutbox, Run, Step, TimelineEvent
from healing.retention import is_gone
from selfheal.canonical import digest
from selfheal.errors import Invalid
from selfheal.replay import OUTPUTS, Difference, Facts, Story, differences, replay, sha256_of


@dataclass(frozen=True)
class Replayed:
    story: Story
    differences: list[Difference]

    @property
    def agrees(self) -> bool:
        return not self.differences and not self.story.faults


def replay_run(run_id: uuid.UUID, using: str = DEFAULT_DB_ALIAS) -> Replayed:
    """The story of a run, held against the tables. Raises Invalid where the log has no entry of it."""
    story = replay(entries_of(run_id, using))
    if not story.lines:
        raise Invalid(f"the log has no entry about a run {run_id}; `selfheal runs list` shows the runs")
    return Replayed(story, differences(story, tables_of(run_id, using)))


def entries_of(run_id: uuid.UUID, using: str = DEFAULT_DB_ALIAS) -> list[tuple[int | None, Mapping[str, Any]]]:
    """(index, leaf) in the order in which they were written."""
    told = TimelineEvent.objects.using(using).filter(run=run_id).values_list("outbox_id", flat=True)
    # The outbox first: what the sequencer moves between the two reads is then found twice, never missed.
    waiting = dict(LedgerOutbox.objects.using(using).filter(pk__in=list(told)).values_list("pk", "leaf"))
    rows = LedgerEntry.objects.using(using).filter(resource=f"run:{run_id}").order_by("index")
    known = list(rows.values_list("index", "outbox_id", "leaf"))
    for _, outbox_id, _ in known:
        waiting.pop(outbox_id, None)
    late = [(None, json.loads(bytes(leaf))) for _, leaf in sorted(waiting.items())]
    return [*((index, json.loads(bytes(leaf))) for index, _, leaf in known), *late]


def tables_of(run_id: uuid.UUID, using: str = DEFAULT_DB_ALIAS) -> Story:
    """What the tables say, in the words of a story. A run that is not there says nothing."""
    run = Run.objects.using(using).select_related("service", "playbook").filter(pk=run_id).first()
    if run is None:
        return Story()
    steps = list(run.steps.all())
    asked = Q(subject_type="run", subject_id=run.pk) | Q(subject_type="step", subject_id__in=[step.pk for step in steps])
    requests = ApprovalRequest.objects.using(using).filter(asked).prefetch_related("votes__user")
    return Story(
        run=_run(run),
        steps={(s.phase, s.position, s.target): _step(s) for s in steps},
        requests={str(request.pk): _request(request) for request in requests},
    )


def _run(run: Run) -> Facts:
    return {
        "playbook": run.playbook.name,
        "version": run.playbook.version,
        "digest": run.digest,
        "plan_sha256": digest(run.plan),
        "impact": run.impact,
        "trigger": run.trigger,
        "service": run.service.name,
        "target": run.target,
        "diagnosis": run.diagnosis,
        "incident": str(run.incident_id),
        "requested_by": run.requested_by,
        "verdict": run.decision.get("verdict"),
        "policy": run.decision.get("policy"),
        "rules": run.decision.get("rules"),
        **({"choice": run.decision["choice"]} if "choice" in run.decision else {}),
        "status": run.status,
        "outcome": run.outcome,
        "abort_reason": run.abort_reason,
        "reason": run.reason,
        "held": run.held,
        "attempts": run.attempts,
        "created_at": instant(run.created_at),
        "approved_at": _instant(run.approved_at),
        "started_at": _instant(run.started_at),
        "finished_at": _instant(run.finished_at),
    }


def _step(step: Step) -> Facts:
    done = step.finished_at is not None
    facts = {
        "step": step.name,
        "action": step.action,
        "status": step.status,
        "attempt": step.attempt,
        "arguments_sha256": sha256_of(step.arguments),
        "message": step.message or ("" if done else None),
        "started_at": _instant(step.started_at),
        "finished_at": _instant(step.finished_at),
        "stdout": {"sha256": sha256_of(step.stdout), "bytes": step.stdout_bytes} if done else None,
        "stderr": {"sha256": sha256_of(step.stderr), "bytes": step.stderr_bytes} if done else None,
        "result_sha256": sha256_of(step.result) if done else None,
    }
    gone = [s for s in OUTPUTS if is_gone(getattr(step, s), getattr(step, f"{s}_bytes"), step.finished_at, timezone.now())]
    return {name: value for name, value in facts.items() if name not in gone}


def _request(request: ApprovalRequest) -> Facts:
    votes = [
        {"user": v.user.username, "approve": v.approve, "via": v.via, "comment": v.comment, "at": instant(v.at)}
        for v in request.votes.all()
    ]
    return {
        "about": f"{request.subject_type}:{request.subject_id}",
        "digest": request.digest,
        "impact": request.impact,
        "needed": request.needed,
        "requested_by": request.requested_by,
        "status": request.status,
        "votes": votes,
        "created_at": instant(request.created_at),
        "decided_at": _instant(request.decided_at),
        "used_at": _instant(request.used_at),
    }


def _instant(at: datetime | None) -> str | None:
    return instant(at) if at else None
