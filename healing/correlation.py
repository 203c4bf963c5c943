"""Troubles that are one: which incidents are parts of another, written down; a probable root that nobody complains of is opened.

Rules that this module keeps:
1. Only what was opened lately at services that the graph connects is compared: a look at anything else costs nothing here.
2. Who is a part says so in its timeline and in the log. It stays an incident of its own, with its own alerts.
3. A part waits only while its root is being healed, and at most `WAIT` from when it was opened: nothing is lost by a wrong guess.
4. A root without an alert of its own is an incident of the service graph: policy asks a person. It is over when its parts are.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from healing import found
from healing.models import Incident, Run, Service
from healing.runs.ending import supersede
from healing.transitions import Line, move, open_incidents, record, record_many
from selfheal import backoff
from selfheal.correlation import WAIT, WINDOW, Group, Trouble, correlate
from selfheal.graph import dependents, needs
from selfheal.states import ALIVE_RUN, LIVE_INCIDENT, IncidentStatus, Severity, Trigger

ACTOR = "service graph"
MOST = 500  # incidents that are compared at once, those first that were opened first
AGAIN = timedelta(minutes=1)
DIAGNOSIS, CONFIDENCE = "general_degradation", 0.5  # of a root that has no alert which would say more

Graph = Mapping[str, Collection[str]]


def link(due: Iterable[Incident], graph: Graph, at: datetime, *, look_at: datetime) -> list[Incident]:
    """Compare what is due with what else was opened about the same time, and write down what belongs together.

    `due` carries what was found. Returns the roots that were opened for it, to be looked at now; `look_at` is their lease.
    """
    lately = [each for each in due if abs(at - each.opened_at) <= WINDOW and _connected(each.service.name, graph)]
    if not lately:
        return []
    known = {row.pk: row for row in _about(lately, graph)}
    troubles = [Trouble(str(row.pk), row.service.name, row.opened_at) for row in known.values()]
    opened = [_write(group, known, at, look_at) for group in correlate(troubles, graph)]
    for each in lately:
        each.part_of = known[each.pk].part_of if each.pk in known else each.part_of
    return [each for each in opened if each]


def waits(part: Incident, at: datetime) -> backoff.Skip | None:
    """Why a part is not healed by itself now, if it waits for its root."""
    root, alone = part.part_of, part.opened_at + WAIT
    if root is None or not part.opened_at <= at < alone or root.status not in LIVE_INCIDENT:
        return None
    if not Run.objects.filter(incident=root, status__in=ALIVE_RUN).exists():
        return None
    first = f"part of the trouble of {root.service.name} (incident {root.pk}), which is healed first"
    detail = f"{first}; by itself from {alone:%H:%M} UTC on"
    return backoff.Skip("part_of", detail, min(at + AGAIN, alone))


def is_over(incident: Incident) -> bool:
    """Whether it is a root without an alert of its own, and no part of it is unwell any more."""
    if incident.source != Trigger.AGENTIC_SPINE:
        return False
    return not (incident.episodes.exists() or Incident.objects.filter(part_of=incident, status__in=LIVE_INCIDENT).exists())


def end(incident: Incident, at: datetime) -> None:
    """Resolve such a root."""
    reason = "none of the services that depend on it is unwell any more"
    with transaction.atomic():
        changes = {"resolved_at": at, "next_look_at": None}
        if move(incident, IncidentStatus.RESOLVED, actor=ACTOR, reason=reason, at=at, changes=changes):
            supersede([incident.pk], actor=ACTOR, reason=reason, at=at)


def _connected(service: str, graph: Graph) -> bool:
    return bool(graph.get(service)) or any(service in wanted for wanted in graph.values())


def _about(lately: list[Incident], graph: Graph) -> list[Incident]:
    """The live incidents, opened about the same time, of services that may have to do with these."""
    names = {each.service.name for each in lately}
    near = set(names)
    for name in names:
        near |= needs(graph, name) | dependents(graph, name)
    near |= {name for name, wanted in graph.items() if any(set(wanted) & set(graph.get(each, ())) for each in names)}
    first, last = min(each.opened_at for each in lately), max(each.opened_at for each in lately)
    ids = list(Service.objects.filter(name__in=near, active=True).values_list("pk", flat=True))
    rows = Incident.objects.filter(
        service__in=ids, status__in=LIVE_INCIDENT, opened_at__range=(first - WINDOW, last + WINDOW)
    ).exclude(source=Trigger.AGENTIC_SPINE)
    return list(rows.select_related("service", "part_of__service").order_by("opened_at", "pk")[:MOST])


def _write(group: Group, known: dict[uuid.UUID, Incident], at: datetime, look_at: datetime) -> Incident | None:
    """Make the incidents of a group the parts of its root. Returns the root if it was opened for it."""
    parts = [known[uuid.UUID(key)] for key in group.parts]
    root = known[uuid.UUID(group.root_key)] if group.root_key else _there(group.root)
    if root and all(part.part_of_id == root.pk for part in parts):
        return None
    try:
        with transaction.atomic():
            opened = None if root else _open(group.root, parts, at, look_at)
            root = root or opened
            if root is None:
                return None
            _link(root, parts, at)
    except IntegrityError:  # another scheduler has opened the same root; the next look finds it
        return None
    return opened


def _there(service: str) -> Incident | None:
    """A live incident of the service, if there is one: the oldest."""
    rows = Incident.objects.filter(service__name=service, service__active=True, status__in=LIVE_INCIDENT)
    return rows.select_related("service", "part_of__service").order_by("opened_at", "pk").first()


def _open(name: str, parts: list[Incident], at: datetime, look_at: datetime) -> Incident | None:
    """The incident of a service that nobody complains of."""
    if found.refusal(Trigger.AGENTIC_SPINE, CONFIDENCE, at):
        return None
    service = Service.objects.filter(name=name, active=True).first()
    target = service.targets.order_by("name").values_list("name", flat=True).first() if service else None
    if service is None or target is None:
        return None
    unwell = sorted({part.service.name for part in parts})
    root = Incident(
        service=service,
        target=target,
        diagnosis=DIAGNOSIS,
        confidence=CONFIDENCE,
        severity=max((Severity(part.severity) for part in parts), key=list(Severity).index),
        source=Trigger.AGENTIC_SPINE,
        title=f"{name} is the probable root: {len(unwell)} services that depend on it are unwell ({', '.join(unwell)})"[:300],
        labels={"service": name},
        opened_at=at,
        next_look_at=look_at,
        looked_at=at,
    )
    open_incidents([root])
    payload = {"service": name, "target": target, "diagnosis": DIAGNOSIS, "parts": [str(part.pk) for part in parts[:100]]}
    record(root, "incident.open", actor=ACTOR, reason=root.title, at=at, payload=payload)
    return root


def _link(root: Incident, parts: list[Incident], at: datetime) -> None:
    ids = sorted(part.pk for part in parts if part.part_of_id != root.pk)
    live = Incident.objects.filter(pk__in=ids, status__in=LIVE_INCIDENT)
    mine = set(live.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    live.filter(pk__in=mine).update(part_of=root)
    if root.part_of_id is not None:
        Incident.objects.filter(pk=root.pk).update(part_of=None)
        root.part_of = None
    lines = []
    for part in parts:
        part.part_of = root
        if part.pk in mine:
            item = {"incident": str(part.pk), "root": str(root.pk), "service": part.service.name}
            reason = f"part of the trouble of {root.service.name}, which is the probable root"
            lines.append(Line("incidents", item, part.pk, "incident.correlated", reason))
    head = {"root": str(root.pk), "service": root.service.name}
    if lines:
        resource = f"incident:{root.pk}"
        record_many(lines, actor=ACTOR, action="incident.correlated", resource=resource, at=at, head=head)
        reason = (
            f"{len(lines)} further incidents are its parts: {', '.join(sorted({line.item['service'] for line in lines})[:20])}"
        )
        record(
            root, "incident.root", actor=ACTOR, reason=reason, at=at, payload={"parts": [str(pk) for pk in sorted(mine)[:100]]}
        )
