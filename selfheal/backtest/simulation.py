"""The alerts of the past in the order of time, through the same rules as in production, against a world in memory.

Rules that this module keeps:
1. Mapping, diagnosis, storm, waits and rates, the choice of the playbook, its plan and the decision are those of production.
   What is not known of the past is assumed to let things pass: no kill switch, no silence, Alertmanager agrees, no playbook is
   stopped, the mode is `execute`, and a service that is only observed counts as if policy decided for it. Nothing is damped for
   flapping, and no trouble is explained by another.
2. What a run would have done is not known. It changes nothing here: an alert ends when it ended. An incident is proposed for
   once. A proposal counts as a success that held when the alert then stayed away for 15 minutes: only then its wait is over.
3. Nothing is looked at outside. A playbook that gathers facts first is passed over, with that reason.
4. The same input gives the same outcome: there is no jitter, and no clock but that of the alerts.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from selfheal import backoff, guardrails, mapping, policy, trust
from selfheal.alerts import Alert
from selfheal.errors import Invalid, NotApplicable
from selfheal.playbooks import Facts, refused, resolve
from selfheal.proposals import proposal_of
from selfheal.states import GlobalMode, Impact, KillState, Trigger, Verdict
from selfheal.windows import state

from .world import Declared, Limits, Listed

NEWLY = timedelta(minutes=5)
HELD = timedelta(minutes=15)
SIGN_OF_LIFE = "Watchdog"

Key = tuple[str, str, str]  # service, target, diagnosis


@dataclass(frozen=True)
class Told:
    """What would have become of one alert. `verdict`: auto, approval, defer, deny, skipped, joined, unmatched or sign_of_life."""

    alert: Alert
    verdict: str
    reason: str
    skip: str = ""  # of the scheduler
    rule: str = ""  # of policy: the first that decided so
    service: str = ""
    target: str = ""
    diagnosis: str = ""
    playbook: str = ""
    impact: str = ""
    decided_at: datetime | None = None
    suggestion: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it fired; None: to the end of the history."""
        return (self.alert.ends_at - self.alert.began).total_seconds() if self.alert.ends_at else None


def replay(alerts: Iterable[Alert], declared: Declared, limits: Limits) -> list[Told]:
    """One outcome an alert, in the order in which they began."""
    ordered = sorted(alerts, key=lambda alert: (alert.began, alert.fingerprint))
    return _Simulation(declared, limits).play(ordered)


class _Order(IntEnum):
    """Of what happens in the same instant: all that begins is there before the first is looked at."""

    END = 0
    HELD = 1
    START = 2
    LOOK = 3
    LATE_END = 4  # of what begins and ends in that instant


@dataclass(eq=False)
class _Incident:
    key: Key
    number: int  # in the order of all incidents
    position: int  # of the alert that opened it
    alert: Alert
    confidence: float
    firing: int = 1
    proposed: bool = False
    over: bool = False
    newly: bool = True  # it began less than five minutes ago
    skip: backoff.Skip | None = None


@dataclass
class _Place:
    """What waits and rates look at, of one (service, target, diagnosis)."""

    in_a_row: int = 0
    next_allowed_at: datetime | None = None
    refused_at: datetime | None = None
    opened: int = 0  # number of the newest incident


@dataclass
class _Plan:
    """What comes of trying one playbook: a plan, or what is out of bounds, or why it does not apply."""

    listed: Listed
    plan: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    not_applicable: str = ""


@dataclass
class _Simulation:
    declared: Declared
    limits: Limits
    told: dict[int, Told] = field(default_factory=dict)
    live: dict[Key, _Incident] = field(default_factory=dict)
    unwell: Counter[str] = field(default_factory=Counter)  # service → live incidents
    newly: deque[tuple[datetime, _Incident]] = field(default_factory=deque)
    newly_unwell: Counter[str] = field(default_factory=Counter)
    places: defaultdict[Key, _Place] = field(default_factory=lambda: defaultdict(_Place))
    proposed: defaultdict[tuple[str, str], deque[datetime]] = field(default_factory=lambda: defaultdict(deque))
    shelves: dict[str, list[Listed]] = field(default_factory=dict)
    tried: dict[Hashable, _Plan] = field(default_factory=dict)
    events: list[tuple[datetime, int, int, Any]] = field(default_factory=list)
    count: int = 0

    def play(self, alerts: list[Alert]) -> list[Told]:
        for position, alert in enumerate(alerts):
            self._at(alert.began, _Order.START, (position, alert))
        acts: dict[_Order, Callable[[datetime, Any], None]] = {
            _Order.START: self._start, _Order.LOOK: self._look, _Order.HELD: self._held,
            _Order.END: self._end, _Order.LATE_END: self._end,
        }  # fmt: skip
        while self.events:
            at, order, _, what = heapq.heappop(self.events)
            acts[_Order(order)](at, what)
        for incident in self.live.values():
            self._give_up(incident)
        return [self.told[position] for position in range(len(alerts))]

    def _at(self, at: datetime, order: _Order, what: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (at, order, self.count, what))

    def _start(self, at: datetime, what: tuple[int, Alert]) -> None:
        position, alert = what
        if alert.labels.get("alertname") == SIGN_OF_LIFE:
            self.told[position] = Told(alert, "sign_of_life", "it says that alerts arrive, and opens no incident")
            return
        found = mapping.place(alert.labels, self.declared.rules, self.declared.facts)
        if isinstance(found, mapping.Unmatched):
            self.told[position] = Told(alert, "unmatched", found.reason, suggestion=found.suggestion)
            return
        key = (found.service, found.target, found.diagnosis)
        incident = self.live.get(key)
        if incident:
            incident.firing += 1
            self.told[position] = Told(alert, "joined", "its incident was open already", "", "", *key)
        else:
            incident = self._open(at, _Incident(key, self.count, position, alert, found.confidence))
        if alert.ends_at:
            order = _Order.END if alert.ends_at > at else _Order.LATE_END
            self._at(max(alert.ends_at, at), order, incident)

    def _open(self, at: datetime, incident: _Incident) -> _Incident:
        service = incident.key[0]
        self.live[incident.key] = incident
        self.places[incident.key].opened = incident.number
        self.unwell[service] += 1
        self.newly.append((at, incident))
        self.newly_unwell[service] += 1
        self._at(at, _Order.LOOK, incident)
        return incident

    def _end(self, at: datetime, incident: _Incident) -> None:
        incident.firing -= 1
        if incident.firing or incident.over:
            return
        incident.over = True
        del self.live[incident.key]
        _less(self.unwell, incident.key[0])
        self._not_new(incident)
        if incident.proposed:
            self._at(at + HELD, _Order.HELD, incident)
        else:
            self._give_up(incident)

    def _held(self, at: datetime, incident: _Incident) -> None:
        """It stayed away: what was done for it, by whomever, held."""
        place = self.places[incident.key]
        if place.opened == incident.number:
            place.in_a_row, place.next_allowed_at = 0, None

    def _look(self, at: datetime, incident: _Incident) -> None:
        if incident.over or incident.proposed:
            return
        found = self._skip(at, incident) or self._choose(incident)
        if isinstance(found, backoff.Skip):
            incident.skip = found
            if found.until:
                self._at(found.until, _Order.LOOK, incident)
            return
        self._propose(at, incident, found)

    def _skip(self, at: datetime, incident: _Incident) -> backoff.Skip | None:
        place, hour = self.places[incident.key], self.proposed[incident.key[:2]]
        while hour and hour[0] <= at - backoff.HOUR:
            hour.popleft()
        past = backoff.Past(
            last_proposed_at=place.refused_at,
            next_allowed_at=place.next_allowed_at,
            proposals_last_hour=len(hour),
            oldest_in_hour=hour[0] if hour else None,
        )
        limits = self.limits
        return backoff.skip(past, at=at, duplicate_window=limits.duplicate_window, per_hour=limits.per_hour, poll=limits.poll)

    def _choose(self, incident: _Incident) -> _Plan | backoff.Skip:
        """The first playbook that applies, as the scheduler tries them."""
        diagnosis = incident.key[2]
        if diagnosis not in self.shelves:
            self.shelves[diagnosis] = self.declared.shelf(diagnosis)
        reasons, unfit, unread = [], None, False
        for each in self.shelves[diagnosis]:
            name, gathers = each.document.playbook, ", ".join(each.document.gather)
            if gathers:
                unread = True
                reasons.append(f"{name}: it gathers {gathers} first, and a backtest looks at nothing")
                continue
            found = self._try(incident, each)
            if found.not_applicable:
                reasons.append(f"{name}: {found.not_applicable}")
            elif not found.problems:
                return found
            else:
                unfit = unfit or found
        if unfit:
            return unfit
        return backoff.Skip("not_known" if unread else "no_playbook", "; ".join(reasons) or f"no playbook for {diagnosis}", None)

    def _try(self, incident: _Incident, each: Listed) -> _Plan:
        """The same alert at the same place has the same plan: it is made once."""
        alert = incident.alert
        same = (each.document.playbook, incident.key, alert.severity, alert.title, frozenset(alert.labels.items()))
        found = self.tried.get(same)
        if found is None:
            found = self.tried[same] = self._tried(incident, each)
        return found

    def _tried(self, incident: _Incident, each: Listed) -> _Plan:
        facts, vocabulary = self._facts(incident, each), self.declared.vocabulary
        try:
            return _Plan(each, resolve(each.document, facts, vocabulary))
        except NotApplicable as error:
            return _Plan(each, not_applicable=str(error))
        except Invalid as error:
            return _Plan(each, refused(each.document, facts, vocabulary), (str(error),))

    def _facts(self, incident: _Incident, each: Listed) -> Facts:
        service, target, diagnosis = incident.key
        places = self.declared.services[service].places
        alert = incident.alert
        return Facts(
            incident={
                "id": "backtest",
                "diagnosis": diagnosis,
                "severity": str(alert.severity),
                "title": alert.title,
                "labels": alert.labels,
                "confidence": incident.confidence,
            },
            place=places[target],
            version=each.version,
            run_timeout_ms=self.limits.run_timeout_ms,
            places=list(places.values()) if each.document.targets == "service" else (),
        )

    def _propose(self, at: datetime, incident: _Incident, found: _Plan) -> None:
        incident.proposed = True
        place, limits = self.places[incident.key], self.limits
        self.proposed[incident.key[:2]].append(at)
        place.in_a_row += 1
        place.next_allowed_at = at + backoff.wait(
            place.in_a_row + 1, base=limits.backoff_base, longest=limits.backoff_longest, jitter=0
        )
        decision = self._decide(at, incident, found)
        place.refused_at = at if decision.verdict is Verdict.DENY else None
        name, impact = found.listed.document.playbook, str(found.plan["impact"])
        rule = next((r.rule for r in decision.rulings if r.verdict is decision.verdict), "")
        said = (str(decision.verdict), decision.why, "", "" if decision.verdict is Verdict.AUTO else rule)
        self.told[incident.position] = Told(incident.alert, *said, *incident.key, name, impact, at)

    def _decide(self, at: datetime, incident: _Incident, found: _Plan) -> policy.Decision:
        service, _, diagnosis = incident.key
        impact, known = Impact(found.plan["impact"]), self.declared.services[service]
        standing = self.declared.record(diagnosis, found.plan["playbook"]).standing
        autonomous, autonomy = trust.autonomy(standing, impact, at)
        inside, window, opens_at = state(self.declared.calendars, service, impact, at, self.limits.window)
        facts = policy.Facts(
            global_mode=GlobalMode.EXECUTE,
            service_mode=known.mode,
            kill_switch=KillState.OFF,
            level=self.limits.level,
            blast_radius=known.blast_radius,
            in_window=inside,
            window=window,
            autonomous=autonomous,
            autonomy=autonomy,
            storm=self._storm(at),
            autoapprove_low_risk=self.limits.autoapprove_low_risk,
            opens_at=opens_at,
        )
        proposal = proposal_of(
            found.plan, confidence=incident.confidence, trigger=Trigger.ALERT, own_alert=True, problems=found.problems
        )
        return policy.decide(proposal, facts, at)

    def _storm(self, at: datetime) -> str:
        while self.newly and self.newly[0][0] < at - NEWLY:
            self._not_new(self.newly.popleft()[1])
        return guardrails.storm(
            unhealthy=len(self.unwell),
            newly_unhealthy=len(self.newly_unwell),
            services=len(self.declared.services),
            percent=self.limits.storm_percent,
            least=self.limits.storm_least,
        )

    def _not_new(self, incident: _Incident) -> None:
        if incident.newly:
            incident.newly = False
            _less(self.newly_unwell, incident.key[0])

    def _give_up(self, incident: _Incident) -> None:
        """It was over, or the history was, before anything was proposed for it."""
        if incident.proposed:
            return
        skip = incident.skip or backoff.Skip("not_looked", "it was over before anybody looked", None)
        self.told[incident.position] = Told(incident.alert, "skipped", skip.detail, skip.reason, "", *incident.key)


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
