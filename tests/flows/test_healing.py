"""The main way of the data, with real processes: alert → incident → proposal → decision → run → verification → outcome."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import requests
from django.utils import timezone

from healing import approvals
from healing.models import ApprovalRequest, Backoff, Incident, LedgerOutbox, Record, Run
from healing.runs.ending import finish
from healing.runs.watchdog import take_care
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import RunStatus
from tests.factories import APPROVE, OPERATE, make_user

from .conftest import House

Work = Callable[..., Run]


def health(little) -> int:
    return requests.get(f"{little.url}/healthz", timeout=2).status_code


def test_a_dead_service_comes_back_and_its_incident_is_resolved(house: House, work: Work) -> None:
    shop = house.service("shop")
    shop.signal(signal.SIGKILL)
    shop.child.wait()
    run = house.propose("InstanceDown", "shop")
    assert (run.status, run.decision["verdict"]) == ("queued", "auto")
    run = work(run)
    assert (run.status, run.outcome, run.reason) == ("succeeded", "success", "verified")
    assert run.incident.status == "resolved"
    assert health(shop) == 200


def test_a_service_whose_dead_process_is_a_zombie_of_somebody_else_is_restarted(house: House, work: Work) -> None:
    shop = house.service("shop")
    shop.signal(signal.SIGKILL)  # we are its parent, and we do not wait for it
    while psutil.Process(shop.pid).status() != psutil.STATUS_ZOMBIE:
        os.sched_yield()
    zombie = shop.pid
    assert work(house.propose("InstanceDown", "shop")).outcome == "success"
    assert shop.pid != zombie
    assert health(shop) == 200


def test_high_impact_waits_for_a_person_and_heals_when_approved(house: House, work: Work) -> None:
    billing = house.service("billing")
    billing.signal(signal.SIGSTOP)
    run = house.propose("HighLatency", "billing")
    request = ApprovalRequest.objects.get(subject_id=run.pk)
    assert (run.status, request.status, request.digest) == ("pending", "pending", run.digest)
    assert "high impact always needs approval" in request.why
    approvals.approve(request.pk, make_user("ann", APPROVE), "", "test", timezone.now())
    run = work(run)
    assert run.outcome == "success", run.reason
    assert health(billing) == 200
    request.refresh_from_db()
    assert request.used_at is not None


def test_a_fix_that_does_not_help_is_undone_and_the_incident_says_why(house: House, work: Work) -> None:
    search = house.service("search", broken=True)
    run = work(house.propose("HighErrorRate", "search"))
    assert (run.status, run.outcome) == ("rolled_back", "rolled_back")
    assert search.workers() == 2
    assert run.steps.get(phase="step").status == "rolled_back"
    incident = run.incident
    assert incident.status == "open"
    assert "it did not help" in incident.why["reason"]


def test_a_failed_run_takes_autonomy_away(house: House, work: Work) -> None:
    house.service("search", broken=True)
    work(house.propose("HighErrorRate", "search"))
    record = Record.objects.get(diagnosis="elevated_errors", playbook="add-workers")
    assert (record.started, record.rolled_back, record.streak) == (1, 1, 0)
    assert record.demoted_at is not None


def test_an_observed_service_is_decided_on_and_left_alone(house: House, sent: list[str]) -> None:
    shop = house.service("shop", mode="observe", up=False)
    run = house.propose("InstanceDown", "shop")
    assert (run.status, run.abort_reason) == ("aborted", "policy")
    assert run.decision["but_for_mode"] == "auto"
    assert not sent
    assert not shop.child


def test_raising_the_mode_needs_no_waiting(house: House) -> None:
    house.service("shop", mode="observe", up=False)
    house.propose("InstanceDown", "shop")
    house.declare(shop={"mode": "auto"})
    house.look(timezone.now() + timedelta(minutes=1))
    assert Run.objects.latest("created_at").status == "queued"


def test_a_service_on_ask_asks_even_for_low_impact(house: House) -> None:
    house.service("shop", mode="ask", up=False)
    assert house.propose("InstanceDown", "shop").status == "pending"


def test_nothing_is_done_when_every_check_passes_already(house: House, work: Work) -> None:
    shop = house.service("shop")
    before = shop.pid
    run = work(house.propose("InstanceDown", "shop"))
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    assert shop.pid == before


def test_a_second_alert_for_the_same_place_proposes_nothing_twice(house: House) -> None:
    house.service("shop", mode="ask", up=False)
    house.propose("InstanceDown", "shop")
    house.alert("ServiceDown", "shop")
    house.look()
    house.look(timezone.now() + timedelta(minutes=5))
    assert Run.objects.count() == 1
    assert Incident.objects.count() == 1


def test_a_rejection_needs_a_reason_ends_the_run_and_starts_the_wait(house: House) -> None:
    house.service("shop", mode="ask", up=False)
    run = house.propose("InstanceDown", "shop")
    request, ann = ApprovalRequest.objects.get(), make_user("ann", APPROVE)
    with pytest.raises(Invalid, match="says why"):
        approvals.reject(request.pk, ann, " ", "test", timezone.now())
    approvals.reject(request.pk, ann, "we are moving it", "test", timezone.now())
    run.refresh_from_db()
    assert (run.status, run.outcome) == ("rejected", "rejected")
    assert Backoff.objects.get().next_allowed_at > timezone.now() + timedelta(minutes=7)
    house.look()
    assert Incident.objects.get().why["skip"] == "dup"


def test_a_request_that_nobody_answers_expires(house: House) -> None:
    house.service("shop", mode="ask", up=False)
    run = house.propose("InstanceDown", "shop")
    take_care(timezone.now() + timedelta(minutes=61))
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "expired")
    assert ApprovalRequest.objects.get().status == "expired"
    assert Incident.objects.get().status == "open"


def test_a_request_whose_trouble_is_gone_is_taken_back(house: House) -> None:
    house.service("shop", mode="ask", up=False)
    starts = timezone.now() - timedelta(minutes=2)
    house.alert("InstanceDown", "shop", starts=starts)
    house.look()
    house.alert("InstanceDown", "shop", starts=starts, status="resolved")
    assert Incident.objects.get().status == "resolved"
    assert ApprovalRequest.objects.get().status == "cancelled"
    assert Run.objects.get().abort_reason == "superseded"


def test_nobody_approves_what_they_proposed_from_high_up(house: House) -> None:
    from healing import scheduler

    house.service("billing", up=False)
    house.alert("HighLatency", "billing")
    ann = make_user("ann", APPROVE, OPERATE)
    run = scheduler.propose(Incident.objects.get().pk, "restart-hung", {}, ann, timezone.now())
    assert run.status == "pending"
    with pytest.raises(NotAllowed, match="somebody else has to approve it"):
        approvals.approve(ApprovalRequest.objects.get().pk, ann, "", "test", timezone.now())


def test_below_it_an_approvers_own_proposal_counts_as_the_approval_and_says_so(house: House) -> None:
    from healing import scheduler

    house.service("shop", mode="ask", up=False)
    house.alert("InstanceDown", "shop")
    ann = make_user("ann", APPROVE, OPERATE)
    run = scheduler.propose(Incident.objects.get().pk, "restart-process", {}, ann, timezone.now(), approves_via="test")
    assert run.status == "queued"
    assert ApprovalRequest.objects.get().votes.get().comment == "their own proposal counts as the approval"


def test_critical_takes_two_different_people(house: House) -> None:
    house.service("billing", up=False)
    text = (house.playbooks / "restart-hung.yaml").read_text()
    house.playbook("restart-hung", text.replace("impact: high", "impact: critical"))
    run = house.propose("HighLatency", "billing")
    request = ApprovalRequest.objects.get()
    ann, ben = make_user("ann", APPROVE), make_user("ben", APPROVE)
    approvals.approve(request.pk, ann, "", "test", timezone.now())
    with pytest.raises(Conflict, match="answered this request already"):
        approvals.approve(request.pk, ann, "", "test", timezone.now())
    run.refresh_from_db()
    assert run.status == "pending"
    approvals.approve(request.pk, ben, "", "test", timezone.now())
    run.refresh_from_db()
    assert run.status == "queued"


def test_a_playbook_changed_after_the_approval_does_not_run(house: House, work: Work) -> None:
    house.service("billing", up=False)
    run = house.propose("HighLatency", "billing")
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", APPROVE), "", "test", timezone.now())
    text = (house.playbooks / "restart-hung.yaml").read_text()
    house.playbook("restart-hung", text.replace("timeout: 30s", "timeout: 31s"))
    run = work(run)
    assert (run.status, run.abort_reason, run.started_at) == ("aborted", "superseded", None)


def test_a_start_command_changed_after_the_approval_voids_it_and_says_what_changed(house: House, work: Work) -> None:
    house.service("billing", up=False)
    run = house.propose("HighLatency", "billing")
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", APPROVE), "", "test", timezone.now())
    labels = {**house.services["billing"].document()["labels"], "start": '["/bin/false"]'}
    house.declare(billing={"labels": labels})
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    assert "/bin/false" in run.reason


def test_what_was_approved_too_long_ago_does_not_start(house: House, work: Work) -> None:
    house.service("shop", up=False)
    run = house.propose("InstanceDown", "shop")
    run = work(run, at=timezone.now() + timedelta(minutes=16))
    assert (run.status, run.abort_reason) == ("aborted", "superseded")


def test_a_hint_that_was_lost_is_sent_again(house: House, sent: list[str]) -> None:
    house.service("shop", up=False)
    run = house.propose("InstanceDown", "shop")
    sent.clear()
    take_care(timezone.now() + timedelta(minutes=1))
    assert sent == [str(run.pk)]


def test_a_run_that_is_sent_five_times_starts_once(house: House, work: Work) -> None:
    shop = house.service("shop", up=False)
    run = house.propose("InstanceDown", "shop")
    assert work(run).outcome == "success"
    pid = shop.pid
    for _ in range(4):
        work(run)
    assert shop.pid == pid
    assert Run.objects.get().attempts == 1


def test_two_services_of_one_chain_are_not_worked_on_at_once(house: House, work: Work) -> None:
    house.service("db", up=False)
    house.service("shop", up=False, depends_on=["db"])
    first = house.propose("InstanceDown", "db")
    Incident.objects.update(opened_at=timezone.now() - timedelta(minutes=10))  # so long ago that the other is no part of it
    second = house.propose("InstanceDown", "shop")
    Run.objects.filter(pk=first.pk).update(status="running")
    assert work(second).status == "queued"


def test_a_success_holds_when_the_alert_stays_quiet_and_ends_the_wait(house: House, work: Work) -> None:
    house.service("shop", up=False)
    starts = timezone.now() - timedelta(minutes=1)
    house.alert("InstanceDown", "shop", starts=starts)
    house.look()
    run = work(Run.objects.get())
    house.alert("InstanceDown", "shop", starts=starts, status="resolved")
    for minutes in (15, 31):
        take_care(timezone.now() + timedelta(minutes=minutes))
    run.refresh_from_db()
    assert run.held is True
    assert Record.objects.get().streak == 1
    assert not Backoff.objects.exists()


def test_a_success_that_comes_back_did_not_hold_and_opens_the_incident_again(house: House, work: Work) -> None:
    house.service("shop", up=False)
    run = work(house.propose("InstanceDown", "shop"))
    take_care(timezone.now() + timedelta(minutes=16))
    run.refresh_from_db()
    assert run.held is False
    assert Record.objects.get().demoted_at is not None
    assert Incident.objects.get().status == "open"


def test_every_move_of_the_run_is_in_the_log(house: House, work: Work) -> None:
    house.service("shop", up=False)
    work(house.propose("InstanceDown", "shop"))
    leaves = [bytes(leaf).decode() for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)]
    actions = [leaf.split('"action":"')[1].split('"')[0] for leaf in leaves]
    for action in ("alerts.received", "run.proposed", "run.queued", "run.running", "step.running", "run.succeeded"):
        assert action in actions


def test_a_command_runs_with_its_arguments_to_the_byte(house: House, work: Work, tmp_path) -> None:
    out, odd = tmp_path / "out", "$(touch /tmp/pwned); `x` \"quoted\" 'single' *"
    (house.config / "commands.yaml").write_text(
        "say:\n  argv: [/usr/bin/python3, -c, 'import sys; open(sys.argv[1], \"w\").write(sys.argv[2])',"
        f" {out}, '${{args.text}}']\n"
        "  args: {text: {type: string, pattern: '.*'}}\n"
    )
    house.service("shop", up=False)
    house.playbook(
        "restart-process",
        "playbook: restart-process\ntitle: Say\ndomain: host\ndiagnoses: [service_down]\nimpact: low\nreversible: false\n"
        "parameters: {text: {type: string, pattern: '.*', from: incident.title}}\n"
        "steps:\n"
        "  - {id: say, action: command.run, with: {command: say, args: {text: '${params.text}'}}, timeout: 9s, rollback: none}\n",
    )
    house.alert("InstanceDown", "shop")
    Incident.objects.update(title=odd)
    house.look()
    run = Run.objects.get()
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", APPROVE), "", "test", timezone.now())
    run = work(run)
    assert run.outcome == "success", run.steps.values_list("message", "stderr")
    assert out.read_text() == odd
    assert not Path("/tmp/pwned").exists()


def medium(house: House, settings) -> Run:
    """A medium run that may start alone, proposed inside the change window."""
    settings.SELF_HEAL_CHANGE_WINDOW = "Mon-Sun 00:00-24:00"
    text = (house.playbooks / "restart-process.yaml").read_text()
    house.playbook("restart-process", text.replace("impact: low", "impact: medium"))
    until = timezone.now() + timedelta(days=1)
    Record.objects.create(diagnosis="service_down", playbook="restart-process", granted_until=until)
    house.service("shop", up=False)
    return house.propose("InstanceDown", "shop")


def test_a_run_that_no_person_approved_does_not_start_once_the_window_has_closed(house: House, work: Work, settings) -> None:
    run = medium(house, settings)
    assert run.status == "queued"
    settings.SELF_HEAL_CHANGE_WINDOW = ""
    run = work(run)
    assert (run.status, run.abort_reason, run.started_at) == ("aborted", "change_window", None)
    assert run.timeline.filter(action="playbook_run_blocked").exists()


def test_a_run_that_a_person_approved_starts_although_the_window_has_closed(house: House, work: Work, settings) -> None:
    settings.SELF_HEAL_CHANGE_WINDOW = "Mon-Sun 00:00-24:00"
    house.service("billing", up=False)
    run = house.propose("HighLatency", "billing")
    approvals.approve(ApprovalRequest.objects.get().pk, make_user("ann", APPROVE), "", "test", timezone.now())
    settings.SELF_HEAL_CHANGE_WINDOW = ""
    assert work(run).outcome == "success"


def test_outside_the_window_medium_impact_that_would_wait_is_deferred_and_decided_at_the_opening(house: House, settings) -> None:
    text = (house.playbooks / "restart-process.yaml").read_text()
    house.playbook("restart-process", text.replace("impact: low", "impact: medium\noutside_window: wait"))
    now = timezone.now()
    soon = (now + timedelta(hours=2)).strftime("%a %H:00")
    settings.SELF_HEAL_CHANGE_WINDOW = f"{soon}-{(now + timedelta(hours=3)).strftime('%H:00')}"
    house.service("shop", up=False)
    run = house.propose("InstanceDown", "shop")
    assert run.status == "deferred"
    take_care(run.due_at)
    run.refresh_from_db()
    assert run.status == "pending"


def test_a_bad_run_ends_what_a_person_granted(house: House, work: Work, settings) -> None:
    run = medium(house, settings)
    Run.objects.filter(pk=run.pk).update(status="running", lease_token=1)
    run.refresh_from_db()
    finish(run, RunStatus.FAILED, actor="test", reason="it broke", at=timezone.now())
    assert Record.objects.get().granted_until is None
