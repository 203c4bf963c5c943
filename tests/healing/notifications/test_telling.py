"""What is told, to whom, and when nobody is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from healing import approvals, counters, escalation, governance, notifications
from healing.models import ApprovalRequest, Channel, DomainApprover, LedgerOutbox, Notification, Run
from healing.notifications import deliver, links
from healing.proposals import _write_proposed
from healing.runs.ending import finish
from healing.scheduler import write_skips
from healing.transitions import record
from selfheal import backoff
from selfheal.errors import LedgerError
from selfheal.messages import Facts
from selfheal.states import RunStatus
from tests.factories import make_incident, make_playbook, make_run, make_service, make_step, make_user

pytestmark = pytest.mark.django_db


def events() -> list[str]:
    return list(Notification.objects.order_by("created_at", "event").values_list("event", flat=True))


def asked(at: Any, **fields: Any) -> ApprovalRequest:
    """The request about a run, made the real way."""
    run = make_run(make_incident(fields.pop("service", None), at=at), at=at, **fields)
    decision = _decision()
    with transaction.atomic():
        return approvals.ask(run, decision, at)


def _decision() -> Any:
    from selfheal.policy import Decision, Ruling
    from selfheal.states import Verdict

    rulings = (Ruling("impact", Verdict.APPROVAL, "high impact always needs approval"),)
    return Decision(Verdict.APPROVAL, rulings)


def test_a_request_is_told_with_what_where_why_who_and_a_signed_link(at: Any, channel: Channel) -> None:
    request = asked(at, impact="high")
    (row,) = Notification.objects.all()
    assert (row.event, row.channel, row.due_at, row.sent_at) == ("approval.requested", channel, at, None)
    assert row.title == f"Approval wanted [high]: {request.title}"
    for part in ("web / web", "high impact", "everybody with the role approver", links.approval_link(request)):
        assert part in row.body
    assert row.payload["data"]["link"] == links.approval_link(request)


@pytest.mark.parametrize("how", ["global", "service", "off"])
def test_nobody_is_paged_in_observe_mode(at: Any, channel: Channel, settings: Any, how: str) -> None:
    if how != "service":
        settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, how == "global"
    asked(at, service=make_service("web", mode="observe" if how == "service" else "auto"))
    assert events() == []


def test_what_was_written_before_the_installation_observed_is_not_sent(
    at: Any, channel: Channel, people: Any, settings: Any
) -> None:
    asked(at)
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, True
    assert not deliver(at)
    row = Notification.objects.get()
    assert (people.heard, row.due_at, row.sent_at) == ([], None, None)
    assert "nobody is told" in row.error


def test_channels_hear_only_the_events_impacts_and_services_that_they_want(at: Any) -> None:
    web, db = make_service("web"), make_service("db")
    for name, fields in (
        ("all", {}),
        ("failures", {"events": ["run.failed"]}),
        ("grave", {"least_impact": "high"}),
        ("asleep", {"active": False}),
    ):
        Channel.objects.create(name=name, kind="apprise", url="json://x", **fields)
    for name, service in (("web", web), ("db", db)):
        Channel.objects.create(name=name, kind="apprise", url="json://x").services.add(service)
    asked(at, service=web)
    assert sorted(Notification.objects.values_list("channel__name", flat=True)) == ["all", "web"]


def test_without_a_channel_the_addresses_of_the_settings_hear_all_but_good_news(at: Any, settings: Any) -> None:
    settings.SELF_HEAL_NOTIFY_URLS = ["json://localhost"]
    asked(at)
    with transaction.atomic():
        notifications.storm("storm.over", "44 %", at)
    assert [(row.channel, row.event) for row in Notification.objects.all()] == [(None, "approval.requested")]


@pytest.mark.parametrize(
    ("served", "page"), [("", "docs/how-to/when-it-is-down.md#storm"), ("https://d", "https://d/how-to/when-it-is-down/#storm")]
)
def test_what_is_told_about_selfheal_itself_says_where_to_read_what_to_do(
    at: Any, channel: Channel, settings: Any, served: str, page: str
) -> None:
    settings.SELF_HEAL_DOCS_URL = served
    with transaction.atomic():
        notifications.storm("storm.tripped", "44 %", at)
    row = Notification.objects.get()
    assert f"- What to do: {page}" in row.body
    assert row.payload["data"]["page"] == page


def test_an_escalation_is_told_with_who_may_approve_until_when(at: Any, channel: Channel) -> None:
    DomainApprover.objects.create(domain="host", user=make_user("ann", role="approver"))
    request = asked(at)
    assert escalation.escalate(at + timedelta(minutes=5)) == [request]
    assert events() == ["approval.requested", "approval.escalated"]
    body = Notification.objects.get(event="approval.escalated").body
    for part in ("not decided 5 min after it was asked", "approved by ann", "Until: 2026-11-25 13:00 UTC"):
        assert part in body


def test_a_request_that_is_answered_meanwhile_pages_nobody(at: Any, channel: Channel, people: Any) -> None:
    request = asked(at)
    approvals.reject(request.pk, make_user("ann", role="approver"), "no", "test", at)
    deliver(at)
    assert people.heard == []
    assert Notification.objects.get().error == "not sent: the request is answered"


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (RunStatus.FAILED, ["autonomy.demoted", "run.failed"]),
        (RunStatus.SUCCEEDED, ["run.succeeded"]),
        (RunStatus.ROLLED_BACK, ["autonomy.demoted", "run.rolled_back"]),
    ],
)
def test_how_a_run_ended_is_told_in_its_own_transaction(at: Any, channel: Channel, to: RunStatus, told: list[str]) -> None:
    status = RunStatus.ROLLING_BACK if to is RunStatus.ROLLED_BACK else RunStatus.VERIFYING
    run = make_run(at=at, status=status, started_at=at)
    with transaction.atomic():
        assert finish(run, to, actor="worker", reason="as it went", at=at)
        assert events() == told
        transaction.set_rollback(True)
    assert events() == []
    run.refresh_from_db()
    assert finish(run, to, actor="worker", reason="as it went", at=at)
    assert events() == told


def test_a_run_that_never_started_tells_nothing_of_its_end(at: Any, channel: Channel) -> None:
    from healing.runs.ending import abort_before_start
    from selfheal.states import AbortReason

    abort_before_start(make_run(at=at), AbortReason.SUPERSEDED, "the alert has ended", actor="intake", at=at)
    assert events() == []


def test_an_incident_without_a_playbook_is_told_once(at: Any, channel: Channel) -> None:
    incident = make_incident(at=at)
    for minutes in (0, 5, 10):
        incident.refresh_from_db()
        later = at + timedelta(minutes=minutes)
        skip = backoff.Skip("no_playbook", "no playbook for service_down", later)
        write_skips([(incident, skip)], counters.Tally(), later)
    (row,) = Notification.objects.all()
    assert (row.event, row.subject) == ("incident.unhealed", f"incident:{incident.pk}")
    assert row.title == "Nothing heals this [critical]: Instance is down: web / web"


def test_what_policy_denies_for_good_is_told_once(at: Any, channel: Channel) -> None:
    from selfheal.policy import Decision, Ruling
    from selfheal.states import Verdict

    incident = make_incident(at=at)
    run = make_run(incident, at=at, status="aborted")
    denied = Decision(Verdict.DENY, (Ruling("bounds", Verdict.DENY, "delta 5 is out of bounds"),))
    for _ in range(2):
        incident.refresh_from_db()
        _write_proposed(incident, run, denied, at)
    assert events() == ["incident.unhealed"]


def test_a_put_back_that_failed_is_told(at: Any, channel: Channel) -> None:
    step = make_step(make_run(at=at, status="succeeded"), action="flag.set")
    record(step, "put_back.failed", actor="put back", at=at, reason="disk full", payload={"does": "set flag beta to off"})
    (row,) = Notification.objects.all()
    assert row.event == "put_back.failed"
    assert "set flag beta to off: disk full" in row.body


def test_the_kill_switch_and_the_storm_are_told_and_telling_cannot_stop_the_switch(
    at: Any, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    governance.set_kill_switch("kill", "smoke", "ann", at)
    assert events() == ["kill_switch.moved"]
    monkeypatch.setattr("healing.notifications.writing.message", lambda *_: 1 / 0)
    governance.set_kill_switch("off", "cleared", "ann", at)
    assert governance.control().kill_switch == "off"


def test_a_notification_outside_a_transaction_is_an_error_of_the_program(transactional_db: None, at: Any) -> None:
    with pytest.raises(LedgerError, match="in the transaction"):
        notifications.tell("storm.over", Facts("x"), subject="storm", at=at)


def test_no_planted_secret_is_in_a_notification_or_an_entry(at: Any, channel: Channel, settings: Any, tmp_path: Any) -> None:
    (tmp_path / "TOKEN").write_text("PLANTED-one-secret\n")
    settings.SELF_HEAL_NOTIFY_URLS = ["slack://PLANTED-two-secret"]
    playbook = make_playbook(title="Restart PLANTED-one-secret")
    incident = make_incident(at=at, title="failed: password=PLANTED-three slack://PLANTED-two-secret @channel")
    run: Run = make_run(incident, playbook, at=at, status="running", started_at=at)
    finish(run, RunStatus.FAILED, actor="worker", reason="Bearer PLANTED-four-token said PLANTED-one-secret", at=at)
    with transaction.atomic():
        notifications.unhealed(incident, "see https://ann:PLANTED-five@host/", at)
    rows = json.dumps(list(Notification.objects.values("title", "body", "payload", "error")))
    assert Notification.objects.count() == 3
    assert "PLANTED" not in rows
    assert "@channel" not in rows


def test_a_link_leads_to_the_page_of_the_request_and_needs_a_login(at: Any, client: Any, time_machine: Any) -> None:
    time_machine.move_to(at)
    request = asked(at)
    path = links.approval_link(request).removeprefix("http://localhost:8000")
    away = client.get(path)
    assert away.status_code == 302
    assert away.url == f"/admin/login/?next={path}"
    client.force_login(make_user("ann", role="approver"))
    assert client.get(path).url == f"/admin/healing/approvalrequest/{request.pk}/change/"
    assert client.post(path).status_code == 405
    request.refresh_from_db()
    assert (request.status, request.votes.count()) == ("pending", 0)


def test_a_link_that_is_over_or_was_changed_says_so_and_leads_to_the_queue(at: Any, client: Any, time_machine: Any) -> None:
    request = asked(at)
    path, ann = links.approval_link(request).removeprefix("http://localhost:8000"), make_user("ann", role="approver")
    other = asked(at, service=make_service("db"))
    swapped = path.replace(request.pk.hex, other.pk.hex)
    for opened, when, words in (
        (path, request.expires_at, "This link has expired"),
        (swapped, at, "none of ours"),
        (path[:-3] + "/", at, "none of ours"),
    ):
        time_machine.move_to(when)
        client.force_login(ann)
        page = client.get(opened, follow=True)
        assert page.redirect_chain[-1][0] == "/admin/healing/approvalrequest/"
        assert words in page.content.decode()


def test_giving_up_is_in_the_log(at: Any, channel: Channel, people: Any) -> None:
    people.deaf = "answered 500"
    asked(at)
    Notification.objects.update(attempts=7)
    deliver(at)
    leaves = [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("id")]
    assert leaves[-1]["action"] == "notification.given_up"
    assert leaves[-1]["payload"]["channel"] == "ops"


def test_the_step_notify_tells_the_channels_of_its_service_and_the_last_resort_only_without_any(db: Any, settings: Any) -> None:
    settings.SELF_HEAL_NOTIFY_URLS = ["json://last"]
    web = make_service("web")
    assert notifications.addresses("web") == ("json://last",)
    Channel.objects.create(name="a", kind="apprise", url="json://a").services.add(web)
    Channel.objects.create(name="b", kind="apprise", url="json://b", events=["run.failed"])
    Channel.objects.create(name="c", kind="webhook", url="https://c", signing_secret="HOOK")
    assert (notifications.addresses("web"), notifications.addresses("db")) == (("json://a",), ())
