"""From an open incident to a proposal, or to the reason why there is none.

Rules that this module keeps:
1. What is due is found by an indexed query (`next_look_at`) and taken by the same statement, each incident by one scheduler: rows
   that another one holds are passed over. What is taken is leased; whoever dies with it leaves it to the next, a minute later.
2. What all of a look needs is read once for it, in a number of queries that does not depend on how much is open.
3. Each look writes down what it found: `Incident.why` says the skip, since when, and when it is looked at next.
4. What the waits said a moment ago is asked again in the transaction of the proposal: nothing is proposed twice by two
   schedulers, a look that is repeated, or a clock that jumps.
5. A probable root is looked at before its parts, and what the meta loop has its eye on before the rest.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from healing import correlation, counters, flaps, found, notifications, pacing, silences
from healing.advising import Adviser
from healing.alertmanager import Asked
from healing.gathering import SECONDS
from healing.governance import note_storm, world
from healing.log_context import about
from healing.mode import global_mode
from healing.models import Incident, Playbook, Record, Run, Service, User
from healing.proposals import Resolved, decide, decision_json, make, plan_for, refused_plan
from healing.transitions import Line, record_many
from selfheal import backoff
from selfheal.canonical import digest
from selfheal.choices import Candidate, Order, fixed_order
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.playbooks import NotApplicable
from selfheal.states import GlobalMode, IncidentStatus, KillState, Trigger

logger = logging.getLogger(__name__)

BATCH = 50
LOOK_LEASE = timedelta(seconds=60)
NO_PLAYBOOK_AGAIN = timedelta(minutes=5)
NOBODY_HEALS = ("no_playbook", "error")  # skips that a person has to hear of
NOT_OPEN = ", ".join(f"'{status}'" for status in IncidentStatus if status != IncidentStatus.OPEN)
ASK_AGAIN = timedelta(minutes=1)  # whether it is still silenced, or a part, or over


def look(at: datetime, limit: int = BATCH) -> int:
    """Look at every incident that is due, at most `limit`; returns how many. Safe to run any number of times at once."""
    if global_mode() is GlobalMode.OFF:
        return 0
    due = _take(at, limit)
    if not due:
        return 0
    began, seen = time.monotonic(), Look(due, at)
    try:
        while seen.due:
            if time.monotonic() > began + SECONDS:
                _give_back(seen.due, at)
                return limit  # what is left is looked at by the next message: gathering takes its time
            incident = seen.due.pop(0)
            with about(incident=incident.pk):
                seen.take_up(incident)
    finally:
        write_skips(seen.skips, seen.tally, at)
    return len(due)


def _take(at: datetime, limit: int) -> list[Incident]:
    """Lease what is due, in one statement, so that no other scheduler has it; the oldest first.

    Written so that only `incident_due`, and then the key, can serve it: by the status a planner would read all that is open. What
    it must not be is named, because a planner without statistics takes `= 'open'` for rare, and reads the whole table.
    """
    locked = "FOR NO KEY UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    now, until = (connection.ops.adapt_datetimefield_value(each) for each in (at, at + LOOK_LEASE))
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH due AS MATERIALIZED ("  # noqa: S608 — put together of our own texts
            "SELECT id FROM healing_incident WHERE next_look_at <= %s"
            f" AND (status || '') NOT IN ({NOT_OPEN}) ORDER BY next_look_at LIMIT %s {locked})"
            " UPDATE healing_incident SET next_look_at = %s, looked_at = %s"
            " WHERE id IN (SELECT id FROM due) AND (next_look_at <= %s) IS TRUE AND status || '' = 'open' RETURNING id",
            [now, limit, until, now, now],
        )
        taken = [uuid.UUID(str(row[0])) for row in cursor.fetchall()]
    rows = Incident.objects.filter(pk__in=taken).select_related("service", "part_of__service")
    return list(rows.order_by("opened_at", "pk"))


def _give_back(incidents: list[Incident], at: datetime) -> None:
    mine = Incident.objects.filter(pk__in=[each.pk for each in incidents], status=IncidentStatus.OPEN)
    mine.filter(next_look_at=at + LOOK_LEASE).update(next_look_at=at)


def clock_went_back(at: datetime) -> None:
    """The clock was set back: what was to be looked at by the old one is due now. Called when a tick sees that."""
    Incident.objects.filter(status=IncidentStatus.OPEN, next_look_at__gt=at, looked_at__gt=at).update(next_look_at=at)


class Look:
    """One look: what is the same for all incidents of it, read once, and what is read for all of them at once."""

    def __init__(self, due: list[Incident], at: datetime) -> None:
        self.now, self.moment = world(at), at
        self.tally, self.skips = counters.Tally(), list[tuple[Incident, backoff.Skip]]()
        note_storm(at, self.now.storm)
        opened = self._linked(due)
        first = set(self.now.attention)
        self.due = sorted([*opened, *due], key=lambda each: (each.part_of_id is not None, each.diagnosis not in first))
        self.shelf, self.asked = Shelf(), Asked(at)
        self.silences = silences.in_force(at)
        self.flaps = flaps.flapping(self.due, at)
        self.waits = pacing.skips(self.due, at)

    def _linked(self, due: list[Incident]) -> list[Incident]:
        """The roots that were opened for what is due. Without the graph each trouble is looked at by itself."""
        try:
            return correlation.link(due, self.now.graph, self.moment, look_at=self.moment + LOOK_LEASE)
        except Exception:
            logger.exception("what belongs together could not be found out")
            return []

    def take_up(self, incident: Incident) -> None:
        """Propose for one incident, or write down why not."""
        try:
            if correlation.is_over(incident):
                correlation.end(incident, self.moment)
                return
            if gone := found.is_over(incident, self.moment):
                found.end(incident, gone, self.moment)
                return
            skip = self._kept(incident) or self._propose(incident)
        except pacing.Kept as kept:  # by what was proposed a moment ago
            skip = kept.skip
        except Conflict as first:  # another scheduler was quicker, or somebody has it now
            skip = backoff.Skip("dup", str(first), self._again())
        except Exception:
            # One incident that cannot be decided must not keep the others from being looked at; it is looked at again.
            logger.exception("triage of incident %s failed", incident.pk)
            skip = backoff.Skip("error", "an error while deciding; see the log of the control worker", self._again())
        if skip is not None:
            self.skips.append((incident, skip))

    def _kept(self, incident: Incident) -> backoff.Skip | None:
        """What keeps it from being proposed, in the order in which it is told."""
        if not incident.service.active:
            again = self.moment + NO_PLAYBOOK_AGAIN
            return backoff.Skip("not_declared", "the service is not declared any more", again)
        if self.now.kill_switch is not KillState.OFF:
            detail = f"the kill switch is on {self.now.kill_switch}: nothing is proposed"
            return backoff.Skip("kill_switch", detail, self._again())
        return (
            silences.skip(incident, self.silences)
            or correlation.waits(incident, self.moment)
            or self._flaps(incident)
            or self.waits[incident.pk]
        )

    def _flaps(self, incident: Incident) -> backoff.Skip | None:
        found = self.flaps.get(incident.pk)
        return backoff.Skip("flapping", str(found), found.until) if found else None

    def _propose(self, incident: Incident) -> backoff.Skip | None:
        """Propose what fits, or say why nothing is proposed. Alertmanager is asked first: gathering touches hosts."""
        answer = self.asked.about(incident.pk)
        if answer.skip:
            return backoff.Skip(answer.skip, answer.detail, self.moment + ASK_AGAIN)
        chosen = choose(incident, self.shelf, self.moment)
        if isinstance(chosen, backoff.Skip):
            return chosen
        run = make(incident, chosen, Trigger(incident.source), None, {}, self.now, self.moment, doubt=answer.doubt)
        self.tally.proposed(run.decision, incident.service.name)
        if incident.source in found.WITHOUT_ALERT:  # no alert of it will end: whether it is over has to be looked for
            open_still = Incident.objects.filter(pk=incident.pk, status=IncidentStatus.OPEN, next_look_at=None)
            open_still.update(next_look_at=self.moment + ASK_AGAIN)
        return None

    def _again(self) -> datetime:
        return self.moment + timedelta(seconds=settings.SELF_HEAL_POLL_SECONDS)


def write_skips(skips: list[tuple[Incident, backoff.Skip]], tally: counters.Tally, at: datetime) -> None:
    """Write down why nothing is proposed, in one transaction: what each incident says, what has begun (in its timeline, as one
    entry of the log), and what is counted. Who asked for another look at one of them meanwhile gets it; what somebody else has
    taken since, because this look outlived its lease, is theirs to tell."""
    lines = []
    with transaction.atomic():
        for incident, skip in skips:
            since = incident.why.get("since") if incident.why.get("skip") == skip.reason else None
            why = _why(incident, skip, since, at)
            mine = Incident.objects.filter(pk=incident.pk, status=IncidentStatus.OPEN, looked_at=incident.looked_at)
            untouched = mine.filter(next_look_at=incident.next_look_at)
            if not (untouched.update(why=why, next_look_at=skip.until) or mine.update(why=why)):
                continue
            if since is None:
                item = {"incident": str(incident.pk), "skip": skip.reason}
                lines.append(Line("skipped", item, incident.pk, "incident.skipped", skip.detail))
                tally.skipped(skip.reason, incident.service.name)
            if since is None and skip.reason in NOBODY_HEALS:
                notifications.unhealed(incident, skip.detail, at)
        if lines:
            record_many(lines, actor="scheduler", action="scheduler.skipped", resource="scheduler", at=at, head={})
        tally.write(at)


def _why(incident: Incident, skip: backoff.Skip, since: str | None, at: datetime) -> dict[str, Any]:
    return {
        **{k: v for k, v in incident.why.items() if k in ("run", "verdict", "rules", "last")},
        "skip": skip.reason,
        "reason": "; ".join(filter(None, (skip.detail, incident.why.get("last")))),
        "since": since or at.isoformat(),
        "at": at.isoformat(),
        "next_look_at": skip.until.isoformat() if skip.until else None,
    }


class Shelf:
    """The active playbooks, read once a look when one is wanted, and in which order they are tried for an incident."""

    def __init__(self) -> None:
        self.adviser = Adviser()
        self.candidates: dict[str, tuple[Candidate, ...]] = {}

    @cached_property
    def active(self) -> dict[str, Playbook]:
        return {playbook.name: playbook for playbook in Playbook.objects.filter(active=True)}

    def order(self, incident: Incident, at: datetime) -> Order:
        diagnosis = incident.diagnosis
        if diagnosis not in self.candidates:
            self.candidates[diagnosis] = _candidates([p for p in self.active.values() if diagnosis in p.diagnoses], diagnosis)
        return self.adviser.order(incident, self.candidates[diagnosis], at)


def choose(incident: Incident, shelf: Shelf, at: datetime) -> Resolved | backoff.Skip:
    """The first playbook that applies, in the order of `healing.advising`; where there is none, the first that is out of its
    bounds, with what policy denies it for; or why none applies."""
    reasons: dict[str, str] = {}
    refused, until = None, time.monotonic() + SECONDS
    order = shelf.order(incident, at)
    for name in order.names:
        playbook = shelf.active[name]
        try:
            return Resolved(playbook, plan_for(incident, playbook, {}, until=until), choice=order.told(name, reasons))
        except NotApplicable as error:
            reasons[name] = str(error)
        except Invalid as error:
            refused = refused or Resolved(playbook, refused_plan(incident, playbook, {}), (str(error),))
            reasons[name] = str(error)
    if refused:
        said = reasons.pop(refused.playbook.name)
        return replace(refused, choice={**order.told(refused.playbook.name, reasons), "problem": said})
    detail = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or f"no playbook for {incident.diagnosis}"
    return backoff.Skip("no_playbook", detail, at + NO_PLAYBOOK_AGAIN)


def _candidates(playbooks: list[Playbook], diagnosis: str) -> tuple[Candidate, ...]:
    """In the fixed order."""
    records = {r.playbook: r for r in Record.objects.filter(diagnosis=diagnosis)} if playbooks else {}
    counts = {name: (record.succeeded, record.started) for name, record in records.items()}
    return fixed_order(Candidate(p.name, p.impact, *counts.get(p.name, (0, 0))) for p in playbooks)


def propose(
    incident_id: Any,
    playbook_name: str,
    parameters: Mapping[str, Any],
    user: User,
    at: datetime,
    *,
    approves_via: str = "",
    token: str = "",
) -> Run:
    """A person's proposal. Raises Conflict with the reason of a skip, Invalid, NotAllowed.

    Waits and rates bind people too, duplicates as well; so does policy. `approves_via` names the road (page, API with its token)
    where this person may also approve by it; only then their own proposal can count as the approval. `token`: its public id,
    where one was used.
    """
    if not user.has_perm("healing.operate"):
        raise NotAllowed("this needs the role operator")
    incident = Incident.objects.select_related("service").get(pk=incident_id)
    if incident.status not in (IncidentStatus.OPEN, IncidentStatus.ACK):
        raise Conflict(f"the incident is {incident.status}")
    playbook = _named(playbook_name)
    skip = silences.skip(incident, silences.in_force(at)) or pacing.skips([incident], at)[incident.pk]
    if skip:
        counters.skipped(skip.reason, incident.service.name, at)
        raise pacing.Kept(skip)
    answer = Asked(at).about(incident.pk)
    if answer.skip:
        raise Conflict(f"{answer.skip}: {answer.detail}")
    try:
        plan = plan_for(incident, playbook, parameters)
    except NotApplicable as error:
        raise Conflict(f"{playbook.name} does not apply: {error}") from error
    if not incident.service.active:
        raise Conflict("the service is not declared any more")
    found = Resolved(playbook, plan)
    run = make(incident, found, Trigger.OPERATOR, user, parameters, world(at), at, approves_via, answer.doubt, token)
    counters.proposed(run.decision, incident.service.name, at)
    return run


def dry_run(
    service_name: str, target: str, diagnosis: str, playbook_name: str, parameters: Mapping[str, Any], at: datetime
) -> dict[str, Any]:
    """What would happen: {plan, digest, decision} or {not_applicable}; touches nothing."""
    service = Service.objects.filter(name=service_name, active=True).first()
    if service is None:
        raise Invalid(f"there is no service {service_name!r}", field="service")
    playbook = _named(playbook_name)
    confidence = 1.0
    incident = Incident(service=service, target=target, diagnosis=diagnosis, confidence=confidence, title="dry run", opened_at=at)
    try:
        plan = plan_for(incident, playbook, parameters)
    except NotApplicable as error:
        return {"not_applicable": str(error), "plan": None, "digest": None, "decision": None}
    except Invalid as error:
        plan, problems = refused_plan(incident, playbook, parameters), (str(error),)
        decision = decide(incident, plan, Trigger.OPERATOR, world(at), at, problems=problems)
        return {"not_applicable": None, "plan": None, "digest": None, "decision": decision_json(decision)}
    decision = decide(incident, plan, Trigger.OPERATOR, world(at), at)
    return {"not_applicable": None, "plan": plan, "digest": digest(plan), "decision": decision_json(decision)}


def _named(name: str) -> Playbook:
    playbook = Playbook.objects.filter(name=name, active=True).first()
    if playbook is None:
        raise Invalid(f"there is no playbook {name!r}", field="playbook")
    return playbook
