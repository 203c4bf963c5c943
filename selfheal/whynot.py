"""Why nothing happened: from what is stored of an incident or an alert to one answer that people can read.

Rules that this module keeps:
1. The first that holds is the answer, in this order: it is over; a person has it; a run of it is alive; policy refused the last
   proposal, a person rejected it, or it went wrong; the last look passed it over; nobody has looked yet.
2. What only follows from an earlier answer does not hide it: after a refusal, the wait before the next proposal is no news.
3. A run that waits says in its detail that its incident was silenced meanwhile: a silence ends no run.
4. Each answer says since when, when it is looked at next (None: not before something changes), and what a person can do.

    >>> of_unmatched("DiskFull", "no service lists host 'db-07'", "- match: …", since, firing=True).headline
    'DiskFull came in, but belongs to no declared service'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from selfheal.states import ACTIVE_RUN, LIVE_INCIDENT, IncidentStatus, RunStatus, Verdict


class Kind(StrEnum):
    """What sort of thing stands in the way, if one does."""

    OVER = "over"
    HEALED = "healed"
    HAS_IT = "a person has it"
    RUNNING = "running"
    PERSON = "waiting for a person"
    WINDOW = "waiting for the window"
    START = "waiting to start"
    RULE = "rule"
    REJECTED = "rejected"
    FAILED = "failed"
    SILENCE = "silence"
    SKIP = "skip"
    NO_PLAYBOOK = "missing playbook"
    NO_MAPPING = "missing mapping"
    NOT_LOOKED = "not looked at yet"
    NEVER = "never received"
    SIGN_OF_LIFE = "sign of life"


MISSING = {Kind.NO_PLAYBOOK: "playbook", Kind.NO_MAPPING: "mapping"}
SILENCED = "silenced"
WAITS = ("", "dup", "backoff", "rate")  # skips that only follow from a proposal before


@dataclass(frozen=True)
class Why:
    """`rule`: the skip of the scheduler, or the rule of policy, that says it; `todo`: what a person can do, in a sentence."""

    headline: str
    kind: Kind
    rule: str = ""
    since: datetime | None = None
    next_look_at: datetime | None = None
    detail: str = ""
    todo: str = ""

    @property
    def missing(self) -> str:
        """`mapping`, `playbook`, or nothing."""
        return MISSING.get(self.kind, "")

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "missing": self.missing}


@dataclass(frozen=True)
class RunFacts:
    """The newest run of an incident. `since`: when it came into its status; `until`: when its wait ends."""

    playbook: str
    status: str
    reason: str
    since: datetime | None
    until: datetime | None = None
    held: bool | None = None
    verdict: str = ""
    why: str = ""  # of the verdict
    rules: Sequence[Mapping[str, Any]] = ()
    started: bool = False
    silenced: str = ""  # while it waits: the silence, in words
    no_worker: str = ""  # the runner pool that it waits for, and that nobody works for


@dataclass(frozen=True)
class IncidentFacts:
    """An incident as it is stored. `last`: the last look, {skip, reason, since}; `over_by`: who or what ended it, in words."""

    service: str
    diagnosis: str
    status: str
    opened_at: datetime
    resolved_at: datetime | None = None
    next_look_at: datetime | None = None
    last: Mapping[str, Any] | None = None
    run: RunFacts | None = None
    has_it: str = ""  # who acknowledged or was given it
    declared: bool = True  # the service is


# skip → (headline, what a person can do)
SKIPS = {
    "dup": ("It was proposed a moment ago", "Look at its newest run; another is proposed when that one is over."),
    "backoff": ("It waits before it is proposed again", "Wait, or find out by its runs why the last one did not help."),
    "rate": ("It was proposed too often within an hour", "Look for the cause: SELF_HEAL_PROPOSALS_PER_HOUR bounds a symptom."),
    "kill_switch": ("The kill switch is on", "Release it when it is safe: selfheal kill-switch off."),
    "silenced": ("It is silenced", "Wait for the end of the silence, or end it where it was made: here, or in Alertmanager."),
    "gone": ("Alertmanager has no such alert any more", "Nothing, if it is over: resolve the incident."),
    "error": ("Looking at it failed", "Read the log of the worker `control`, and run selfheal doctor."),
    "flapping": ("It comes and goes", "Look for the cause, or let the alert wait longer before it fires."),
    "not_declared": ("Its service is not declared any more", "Declare it again, or close the incident."),
    "part_of": ("It is looked at after the incident at its root", "Work on the incident at the root."),
}
# rule of policy → what a person can do about its denial
REFUSALS = {
    "global_mode": "To let it run, set SELF_HEAL_EXECUTE=true and start selfheal again.",
    "service_mode": "To let it run, set the mode of the service to ask or auto.",
    "kill_switch": "Release the kill switch when it is safe: selfheal kill-switch off.",
    "bounds": "Mend what is out of its bounds, in the playbook or in the labels of the service.",
}
# rule of policy → what a person can do so that it does not ask again
ASKS = {
    "root_cause": " Acknowledge the problem, and it asks no more: selfheal problems.",
    "trust": " See who lost trust and why: selfheal trust.",
}
NOTHING_TO_DO = "Nothing to do."


def of_incident(incident: IncidentFacts) -> Why:
    """The answer for an incident."""
    if incident.status not in LIVE_INCIDENT:
        return _over(incident)
    return _kept(incident) or (_alive(incident.run) if incident.run else None) or _last(incident)


def of_unmatched(alertname: str, reason: str, suggestion: str, since: datetime, *, firing: bool) -> Why:
    """The answer for an alert that found no service; `suggestion` is the mapping line that would match it."""
    told = "" if firing else " It is not firing any more."
    todo = f"Make a mapping, on its page or in services.yaml: {suggestion}"
    headline = f"{alertname} came in, but belongs to no declared service"
    return Why(headline, Kind.NO_MAPPING, "unmapped", since, detail=f"{reason}.{told}", todo=todo)


def of_nothing(alertname: str, listening_since: datetime | None, last: datetime | None = None) -> Why:
    """The answer for a name that never came. `last`: when any alert at all came last."""
    detail = "no alert at all came in yet" if last is None else f"the last alert of any name came at {last:%Y-%m-%d %H:%M} UTC"
    todo = "Look into the receivers of Alertmanager: is there a route to selfheal for it, and is its token still valid?"
    headline = f"No alert named {alertname} came in"
    return Why(headline, Kind.NEVER, since=listening_since, detail=detail, todo=todo)


def of_sign_of_life(alertname: str, last: datetime | None) -> Why:
    """The answer for the alert that always fires."""
    headline = f"{alertname} is a sign of life: it opens no incident, its absence is told"
    return Why(headline, Kind.SIGN_OF_LIFE, since=last, todo=NOTHING_TO_DO)


def _over(incident: IncidentFacts) -> Why:
    run, since = incident.run, incident.resolved_at
    if run and run.status == RunStatus.SUCCEEDED and incident.status == IncidentStatus.RESOLVED:
        held = {True: ", and it stayed away", False: ", but it came back", None: ""}[run.held]
        return Why(f"Healed by {run.playbook}{held}", Kind.HEALED, since=since, detail=run.reason, todo=NOTHING_TO_DO)
    tried = f"; {run.playbook}: {run.status}" if run else "; nothing was proposed for it"
    detail = str((incident.last or {}).get("reason") or "")
    return Why(f"It is over ({incident.status}){tried}", Kind.OVER, since=since, detail=detail, todo=NOTHING_TO_DO)


def _kept(incident: IncidentFacts) -> Why | None:
    if incident.status == IncidentStatus.ACK:
        who = incident.has_it or "Somebody"
        todo = "Open it again, or resolve it, when they are done."
        return Why(f"{who} has it: nothing is proposed meanwhile", Kind.HAS_IT, since=_since(incident), todo=todo)
    if not incident.declared:
        todo = f"Declare {incident.service} again, or close the incident."
        return Why(f"{incident.service} is not declared any more", Kind.SKIP, since=_since(incident), todo=todo)
    return None


def _last(incident: IncidentFacts) -> Why:
    """What the last look, or what came of the newest run, says."""
    skip = _skip(incident)
    if incident.run and skip in WAITS:
        return _after(incident.run, incident)
    if incident.last:
        return _skipped(skip, incident)
    todo = "Wait some seconds; if it stays so, the worker `control` does not run: selfheal doctor."
    since, again = incident.opened_at, incident.next_look_at
    return Why("Nobody has looked at it yet", Kind.NOT_LOOKED, since=since, next_look_at=again, todo=todo)


def _alive(run: RunFacts) -> Why | None:
    name, at, until = run.playbook, run.since, run.until
    meanwhile = f"meanwhile {run.silenced}" if run.silenced else ""
    because = "; ".join(filter(None, (run.why, meanwhile)))
    if run.status in ACTIVE_RUN:
        return Why(f"{name} is {_words(run.status)}", Kind.RUNNING, since=at, detail=run.reason, todo="Watch its run.")
    if run.status == RunStatus.PENDING:
        rule = _rule(run, Verdict.APPROVAL)
        todo = f"Approve or reject it in the queue, or with selfheal approvals.{ASKS.get(rule, '')}"
        return Why(f"{name} waits for a person", Kind.PERSON, rule, at, until, because, todo)
    if run.status == RunStatus.DEFERRED:
        todo = "Wait for the opening, or propose it by hand: that asks a person instead."
        return Why(f"{name} waits for the change window", Kind.WINDOW, _rule(run, Verdict.DEFER), at, until, because, todo)
    if run.status in (RunStatus.PROPOSED, RunStatus.APPROVED, RunStatus.QUEUED):
        todo = "Wait: other runs of its target, its chain or this installation go first, or the worker `runs` is away."
        if run.no_worker:
            todo = f"No worker of its pool is there: start one beside it, selfheal worker --pool {run.no_worker}."
        detail = "; ".join(filter(None, (run.reason, meanwhile)))
        return Why(f"{name} waits to start", Kind.START, since=at, next_look_at=until, detail=detail, todo=todo)
    return None


def _after(run: RunFacts, incident: IncidentFacts) -> Why:
    """The newest run is over, and what keeps the next one back only follows from it."""
    name, since, again = run.playbook, run.since, incident.next_look_at
    if run.verdict == Verdict.DENY and not run.started:
        rule = _rule(run, Verdict.DENY)
        said = next((str(each["reason"]) for each in run.rules if each.get("rule") == rule), run.why)
        return Why(said, Kind.RULE, rule, since, again, f"{name} would fit: {run.why}", REFUSALS.get(rule, ""))
    if run.status == RunStatus.REJECTED:
        todo = "Do what they would do instead, and acknowledge the incident."
        return Why(f"A person rejected {name}", Kind.REJECTED, "", since, again, run.reason, todo)
    if run.status == RunStatus.SUCCEEDED:
        todo = "The alert goes on all the same: look whether the check of the playbook asks the right thing."
        return Why(f"{name} succeeded, and the alert still fires", Kind.FAILED, _skip(incident), since, again, run.reason, todo)
    if not run.started:
        todo = "It is proposed again, if it is still wanted then."
        return Why(f"{name} did not start", Kind.SKIP, _skip(incident), since, again, run.reason, todo)
    todo = "Read the steps of its run: they say what went wrong."
    return Why(f"{name} did not help: {_words(run.status)}", Kind.FAILED, _skip(incident), since, again, run.reason, todo)


def _skipped(skip: str, incident: IncidentFacts) -> Why:
    detail, since, again = str((incident.last or {}).get("reason") or ""), _since(incident), incident.next_look_at
    if skip == "no_playbook":
        todo = f"Write a playbook for {incident.diagnosis}, or map the alert to a diagnosis that has one."
        none = not detail or detail.startswith("no playbook for ")
        headline = f"No playbook is for {incident.diagnosis}" if none else f"No playbook for {incident.diagnosis} applies"
        return Why(headline, Kind.NO_PLAYBOOK, skip, since, again, detail, todo)
    headline, todo = SKIPS.get(skip, (_capital(detail or _words(skip) or "It is looked at again"), ""))
    return Why(headline, Kind.SILENCE if skip == SILENCED else Kind.SKIP, skip, since, again, detail, todo)


def _rule(run: RunFacts, verdict: Verdict) -> str:
    """The first rule that said it: rules stand in the order in which people should hear of them."""
    return next((str(each["rule"]) for each in run.rules if each.get("verdict") == verdict), "")


def _skip(incident: IncidentFacts) -> str:
    return str((incident.last or {}).get("skip") or "")


def _since(incident: IncidentFacts) -> datetime | None:
    try:
        return datetime.fromisoformat(str((incident.last or {})["since"]))
    except (KeyError, ValueError):
        return incident.opened_at


def _words(name: str) -> str:
    return name.replace("_", " ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
