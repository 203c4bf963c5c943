"""The only writer of a state.

Rules that this module keeps:
1. A move stands in `selfheal.states.MOVES`, or it is an error of the program.
2. It is one conditional UPDATE. Whoever updates no row came too late: `move` returns False and changes nothing.
3. State, log entry, timeline line and what is told of it are written in one transaction.
4. What comes by the thousand is moved in bulk under the same rules: `open_incidents`, `resolve_incidents`, `record_many`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Model

from healing import counters, ledger, notifications
from healing.models import ApprovalRequest, Incident, Problem, Run, Step, TimelineEvent
from selfheal.errors import Conflict
from selfheal.states import OUTCOME_OF, IncidentStatus, may_move, sources_of

BATCH = 500
LINES_BYTES = 60_000  # of the 65,535 of a leaf; the rest is for what stands around the lines

KINDS: dict[type[Model], str] = {
    Run: "run",
    Incident: "incident",
    ApprovalRequest: "approval",
    Problem: "problem",
    Step: "step",
}
Thing = Run | Incident | ApprovalRequest | Problem | Step


def move(
    thing: Thing,
    to: str,
    *,
    actor: str,
    at: datetime,
    reason: str = "",
    where: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    payload: Mapping[str, Any] | None = None,
) -> bool:
    """Move `thing` from the status that the caller read to `to`; False if somebody else moved it first.

    `where` narrows the update (a fencing token), `changes` are further fields to write with it, `payload` goes into the log
    entry beside from, to and reason. On success `thing` carries the new values. Raises Conflict for a move that the table
    does not allow.
    """
    kind, source = KINDS[type(thing)], thing.status
    if not may_move(kind, source, to):
        raise Conflict(f"{kind} {thing.pk} is {source} and cannot become {to}")
    fields: dict[str, Any] = {"status": to, **(changes or {})}
    if kind == "run" and to in OUTCOME_OF:
        fields |= {"outcome": OUTCOME_OF[to], "finished_at": at}
    if kind in ("run", "approval") and reason:
        fields["reason"] = reason
    with transaction.atomic():
        rows = type(thing)._default_manager.filter(pk=thing.pk, status=source, **(where or {})).update(**fields)
        if rows != 1:
            return False
        for name, value in fields.items():
            setattr(thing, name, value)
        said = {"from": source, "to": to, **(payload or {})}
        outbox_id = record(thing, f"{kind}.{to}", actor=actor, at=at, reason=reason, payload=said)
        _count(kind, to, at)
        thing.log_id = outbox_id  # type: ignore[union-attr]  # for whoever waits until a signed head covers it
    return True


def record(
    thing: Thing,
    action: str,
    *,
    actor: str,
    at: datetime,
    reason: str = "",
    payload: Mapping[str, Any] | None = None,
) -> int:
    """Write a log entry about `thing` and, where it belongs to an incident, the line of its timeline. Returns the outbox id.

    What belongs to a run has the run as its resource, so that one indexed query finds the whole story of a run.
    """
    with transaction.atomic():
        incident_id, run_id = _place(thing)
        resource = f"run:{run_id}" if run_id else f"{KINDS[type(thing)]}:{thing.pk}"
        data = {"reason": reason, **_named(thing), **(payload or {})}
        outbox_id = ledger.append(actor=actor, action=action, resource=resource, payload=data, at=at)
        if incident_id:
            TimelineEvent.objects.create(
                incident_id=incident_id,
                run_id=run_id,
                at=at,
                actor=actor,
                action=action,
                reason=reason,
                data=dict(payload or {}),
                outbox_id=outbox_id,
            )
        notifications.about(thing, action, reason, payload or {}, at)
    return outbox_id


def _count(kind: str, to: str, at: datetime) -> None:
    """What /metrics says of runs and requests that are over."""
    if kind == "run" and to in OUTCOME_OF:
        counters.add({("", f"runs_{OUTCOME_OF[to]}"): 1}, at)
    elif kind == "approval":
        counters.add({("", f"approvals_{to}"): 1}, at)


def _place(thing: Thing) -> tuple[Any, Any]:
    """The incident and the run that `thing` belongs to, either may be None."""
    if isinstance(thing, Incident):
        return thing.pk, None
    if isinstance(thing, Run):
        return thing.incident_id, thing.pk
    if isinstance(thing, Step):
        return thing.run.incident_id, thing.run_id
    return _asked_about(thing) if isinstance(thing, ApprovalRequest) else (None, None)


def _asked_about(request: ApprovalRequest) -> tuple[Any, Any]:
    if request.subject_type == "run":
        run = Run.objects.filter(pk=request.subject_id).values_list("incident_id", "pk").first()
        return run or (None, None)
    if request.subject_type == "step":
        step = Step.objects.filter(pk=request.subject_id).values_list("run__incident_id", "run_id").first()
        return step or (None, None)
    return None, None


def _named(thing: Thing) -> dict[str, Any]:
    """What tells a part of a run from the others, in each of its entries."""
    if isinstance(thing, Step):
        place = {"phase": thing.phase, "position": thing.position, "target": thing.target}
        return {"step": thing.name, "action": thing.action, **place}
    if isinstance(thing, ApprovalRequest):
        return {"approval": str(thing.pk), "about": f"{thing.subject_type}:{thing.subject_id}"}
    return {}


@dataclass(frozen=True)
class Line:
    """One thing that a bulk change did: `item` goes into the log entry under `kind`, and makes a line in the timeline of
    `incident` where there is one."""

    kind: str
    item: dict[str, Any]
    incident: uuid.UUID | None = None
    action: str = ""
    reason: str = ""


def open_incidents(incidents: Sequence[Incident]) -> None:
    """Insert new, open incidents. The caller writes the entry with `record_many` in the same transaction.

    Raises IntegrityError if one of the places has a live incident already.
    """
    Incident.objects.bulk_create(incidents, batch_size=BATCH)


def resolve_incidents(ids: Collection[uuid.UUID], at: datetime) -> set[uuid.UUID]:
    """Move to `resolved` those that may go there; returns which did. The caller writes the entry, as above.

    The caller holds the locks of the rows (`select_for_update`), so that what is read here is what is moved.
    """
    may = Incident.objects.filter(status__in=sources_of("incident", IncidentStatus.RESOLVED))
    moved: set[uuid.UUID] = set()
    for some in in_batches(sorted(ids)):
        mine = set(may.filter(pk__in=some).values_list("pk", flat=True))
        may.filter(pk__in=mine).update(status=IncidentStatus.RESOLVED, resolved_at=at, next_look_at=None)
        moved |= mine
    return moved


def record_many(lines: Sequence[Line], *, actor: str, action: str, resource: str, at: datetime, head: Mapping[str, Any]) -> None:
    """Write one log entry for all `lines`, or as many as its size demands, and the timeline lines that point at them.

    Each entry's payload is `head`, {part, parts}, and the items of its lines by kind.
    """
    chunks = list(_chunks(lines)) or [[]]
    events = []
    for part, chunk in enumerate(chunks, 1):
        payload: dict[str, Any] = {**head, "part": part, "parts": len(chunks)}
        for line in chunk:
            payload.setdefault(line.kind, []).append(line.item)
        outbox_id = ledger.append(actor=actor, action=action, resource=resource, payload=payload, at=at)
        keys = sorted(uuid.uuid4() for _ in chunk)  # so that lines of one entry stay in their order
        events += [
            TimelineEvent(
                id=key,
                incident_id=line.incident,
                at=at,
                actor=actor,
                action=line.action,
                reason=line.reason,
                data=line.item,
                outbox_id=outbox_id,
            )
            for key, line in zip(keys, chunk, strict=True)
            if line.incident
        ]
    TimelineEvent.objects.bulk_create(events, batch_size=BATCH)


def in_batches(things: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Slices of at most 500: a statement has a limit of parameters."""
    return (things[start : start + BATCH] for start in range(0, len(things), BATCH))


def _chunks(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Runs of lines that fit into a leaf together. JSON with blanks is never shorter than its canonical form."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        length = len(json.dumps(line.item, ensure_ascii=False).encode()) + len(line.kind) + 6
        if chunk and size + length > LINES_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += length
    if chunk:
        yield chunk
