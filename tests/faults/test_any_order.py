"""Propose, approve, reject, expire, abort, claim, end, stop, release, in any order that hypothesis thinks of, on real rows.

However it goes: one outcome each, an approval is used at most once, nothing starts without one where one is needed, nothing
starts while the switch is on, nothing old is revived, and the log tells the same as the tables.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from hypothesis import Phase
from hypothesis import settings as bounds
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from healing import approvals, catalog, governance, incidents, intake, scheduler
from healing.ledger.replay import replay_run
from healing.models import ApprovalRequest, Control, Incident, LedgerOutbox, Playbook, Run, User
from healing.runs import abort, starting
from healing.runs.ending import finish
from healing.runs.watchdog import clear_waiting, look_after, take_care
from healing.transitions import move
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import ACTIVE_RUN, OUTCOME_OF, Impact, KillState, RunStatus
from tests.factories import make_user

pytestmark = pytest.mark.django_db
REFUSED = (Conflict, NotAllowed, Invalid)
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SERVICES = ("web", "db")
USED = b'"action":"approval.used"'
# Without shrinking: a failure is told at once, with the steps that led to it.
BOUNDS = bounds(max_examples=10, stateful_step_count=30, deadline=None, database=None, derandomize=True, phases=(Phase.generate,))
PLAYBOOK = """
playbook: heal-{impact}
title: Heal with {impact} impact
domain: host
diagnoses: [{diagnosis}]
impact: {impact}
reversible: false
steps:
  - {{id: only, action: noop, timeout: 5s, rollback: none}}
verify:
  - {{check: http_health, url: "${{target.url}}/healthz", expect: {{status: 200}}, within: 1s, every: 200ms}}
"""
ALERTS = {
    "low": ("InstanceDown", "service_down"),
    "medium": ("HighLatency", "latency_spike"),
    "critical": ("DiskFull", "capacity_strain"),
}


ORDER = {  # one that does not depend on random keys: hypothesis repeats what it has found
    Run: ("created_at", "service__name", "impact"),
    Incident: ("opened_at", "service__name", "diagnosis"),
    ApprovalRequest: ("created_at", "title"),
}


@pytest.fixture
def world(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from healing import tasks

    monkeypatch.setattr(tasks.execute_run, "apply_async", lambda *_, **__: None)
    monkeypatch.setattr(tasks.look, "apply_async", lambda *_, **__: None)
    settings.SELF_HEAL_HOME, settings.SELF_HEAL_BACKOFF_BASE_MIN = tmp_path, 0
    settings.SELF_HEAL_PROPOSALS_PER_HOUR, settings.SELF_HEAL_DUPLICATE_WINDOW_MIN = 1_000, 0
    settings.SELF_HEAL_STORM_MIN_SERVICES = 100
    services = [{"name": name, "mode": "auto", "url": f"http://{name}.internal"} for name in SERVICES]
    (tmp_path / "services.yaml").write_text(json.dumps({"map": [], "services": services}))
    (tmp_path / "playbooks").mkdir()
    for impact, (_, diagnosis) in ALERTS.items():
        (tmp_path / "playbooks" / f"{impact}.yaml").write_text(PLAYBOOK.format(impact=impact, diagnosis=diagnosis))
    report = catalog.sync(tmp_path, [tmp_path / "playbooks"], actor="test", at=NOON)
    assert not report.errors, report.errors
    for name, role in (("ann", "approver"), ("ben", "approver"), ("otto", "operator")):
        make_user(name, role=role)


class AnyOrder(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.at = NOON
        self.outcomes: dict[Any, str] = {}
        for impact in ALERTS:
            self.an_alert_fires_and_the_scheduler_looks("web", impact)

    def teardown(self) -> None:
        if not hasattr(self, "atomic"):
            return
        for run in Run.objects.all():
            found = replay_run(run.pk)
            assert found.agrees, [*found.story.faults, *map(str, found.differences)]
        used = Counter(
            json.loads(bytes(row.leaf))["payload"].get("approval")
            for row in LedgerOutbox.objects.all()
            if USED in bytes(row.leaf)
        )
        assert not used or max(used.values()) == 1
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    # -- what happens

    @rule(service=st.sampled_from(SERVICES), impact=st.sampled_from(list(ALERTS)))
    def an_alert_fires_and_the_scheduler_looks(self, service: str, impact: str) -> None:
        named = {"alertname": ALERTS[impact][0], "service": service}
        alert = {
            "status": "firing",
            "labels": named,
            "annotations": {},
            "startsAt": self.at.isoformat(),
            "endsAt": "0001-01-01T00:00:00Z",
        }
        intake.receive(json.dumps({"version": "4", "alerts": [alert]}).encode(), actor="am", at=self.at)
        scheduler.look(self.at)

    @rule(data=st.data(), who=st.sampled_from(("ann", "otto")))
    def a_person_proposes(self, data: st.DataObject, who: str) -> None:
        incident = self.one_of(data, Incident.objects.all())
        if incident:
            name = next(f"heal-{impact}" for impact, (_, diagnosis) in ALERTS.items() if diagnosis == incident.diagnosis)
            self.try_to(lambda: scheduler.propose(incident.pk, name, {}, self.user(who), self.at, approves_via="test"))

    @rule(data=st.data(), who=st.sampled_from(("ann", "ben", "otto")), waiting=st.booleans())
    def a_person_approves(self, data: st.DataObject, who: str, waiting: bool) -> None:
        request = self.one_of(
            data, ApprovalRequest.objects.filter(status="pending") if waiting else ApprovalRequest.objects.all()
        )
        if request:
            self.try_to(lambda: approvals.approve(request.pk, self.user(who), "", "test", self.at))

    @rule(data=st.data(), how=st.sampled_from(("reject", "abort", "resolve", "pull", "release", "withdraw", "restore")))
    def somebody_stops_something(self, data: st.DataObject, how: str) -> None:
        if how == "reject" and (request := self.one_of(data, ApprovalRequest.objects.all())):
            self.try_to(lambda: approvals.reject(request.pk, self.user("ann"), "because", "test", self.at))
        elif how == "abort" and (run := self.one_of(data, Run.objects.all())):
            self.try_to(lambda: abort(run.pk, actor="otto", reason="no", at=self.at))
        elif how == "resolve" and (incident := self.one_of(data, Incident.objects.all())):
            self.try_to(lambda: incidents.resolve(incident.pk, "otto", "", self.at))
        elif how in ("pull", "release"):
            state = data.draw(st.sampled_from((KillState.PAUSE, KillState.KILL))) if how == "pull" else KillState.OFF
            governance.set_kill_switch(state, reason="drill", actor="otto", at=self.at)
        elif how in ("withdraw", "restore"):
            Playbook.objects.filter(name="heal-medium").update(active=how == "restore")

    @rule(data=st.data(), sent=st.booleans())
    def a_worker_claims(self, data: st.DataObject, sent: bool) -> None:
        run = self.one_of(data, Run.objects.filter(status="queued") if sent else Run.objects.exclude(status__in=list(OUTCOME_OF)))
        if run is None:
            return
        switch, moved = governance.kill_state(), Control.objects.filter(pk=1).values_list("kill_at", flat=True).first()
        was, lease = run.status, starting.claim(run.pk, "worker", self.at)
        if lease and was not in ACTIVE_RUN:
            assert switch is KillState.OFF
            assert not moved or run.created_at > moved
            self.check_approval(Run.objects.get(pk=run.pk))

    @rule(data=st.data(), to=st.sampled_from([RunStatus.FAILED, RunStatus.ABORTED, RunStatus.VERIFYING, RunStatus.SUCCEEDED]))
    def its_worker_goes_on(self, data: st.DataObject, to: RunStatus) -> None:
        run = self.one_of(data, Run.objects.filter(status__in=ACTIVE_RUN).select_related("service", "incident"))
        if run is None:
            return
        if to in OUTCOME_OF:
            self.try_to(lambda: finish(run, to, actor="worker", reason="over", at=self.at))
        else:
            self.try_to(lambda: move(run, to, actor="worker", at=self.at))

    @rule(minutes=st.sampled_from([0, 0, 1, 6, 61]))
    def time_passes_and_the_ticks_come(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes, seconds=1)
        clear_waiting(self.at)
        look_after(self.at)
        take_care(self.at)
        scheduler.look(self.at)

    # -- what holds

    @invariant()
    def each_has_one_outcome_and_keeps_it(self) -> None:
        if not hasattr(self, "atomic"):
            return
        for pk, status, outcome in Run.objects.values_list("pk", "status", "outcome"):
            assert outcome == OUTCOME_OF.get(status)
            assert self.outcomes.get(pk, outcome) == outcome
            if outcome:
                self.outcomes[pk] = outcome

    def check_approval(self, run: Run) -> None:
        """Policy said auto, or enough different people, none of whom asked for it, approved exactly this plan, just now used."""
        if run.decision["verdict"] == "auto":
            assert Impact(run.impact).rank < Impact.HIGH.rank
            return
        request = ApprovalRequest.objects.get(subject_id=run.pk)
        assert (request.status, request.digest, request.used_at) == ("approved", run.digest, self.at)
        voters = set(request.votes.filter(approve=True).values_list("user__username", flat=True))
        assert len(voters) >= request.needed >= (2 if run.impact == "critical" else 1)
        assert Impact(run.impact).rank < Impact.HIGH.rank or run.requested_by not in voters

    # -- how

    def one_of(self, data: st.DataObject, rows: Any) -> Any:
        found = list(rows.order_by(*ORDER[rows.model]))
        return found[data.draw(st.integers(0, len(found) - 1))] if found else None

    def try_to(self, act: Any) -> None:
        try:
            with transaction.atomic():
                act()
        except REFUSED:
            pass

    def user(self, name: str) -> Any:
        return User.objects.get(username=name)


@pytest.mark.soak
def test_no_order_of_events_breaks_what_must_hold(world: None) -> None:
    run_state_machine_as_test(AnyOrder, settings=BOUNDS)
