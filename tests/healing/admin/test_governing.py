"""Who approves, what is escalated, what changed, what acts alone, and whether there is a storm: as the pages say it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from healing.admin.base import address_of
from healing.models import Control, DomainApprover, Playbook, Record
from tests.factories import make_playbook, make_request, make_run, make_step, make_user

from .conftest import text_of

pytestmark = pytest.mark.django_db
QUEUE = "admin:healing_approvalrequest_changelist"


def act(thing: Any, name: str) -> str:
    return address_of(thing).replace("/change/", f"/act/{name}/")


def test_an_admin_names_an_approver_and_takes_them_off(sign_in: Any) -> None:
    make_playbook()
    ann, root = make_user("ann", role="approver"), sign_in("root", "admin")
    address = reverse("admin:healing_domainapprover_add")
    assert root.get(address).status_code == 200
    root.post(address, {"domain": "host", "user": str(ann.pk)})
    named = DomainApprover.objects.get()
    assert (named.domain, named.user) == ("host", ann)
    assert "approved by ann, and by nobody else" in text_of(root.get(address_of(named)))
    root.post(act(named, "remove"))
    assert not DomainApprover.objects.exists()


@pytest.mark.parametrize(("domain", "role"), [("host", "viewer"), ("nowhere", "approver")])
def test_only_approvers_are_named_in_domains_that_there_are(sign_in: Any, domain: str, role: str) -> None:
    make_playbook()
    address, person = reverse("admin:healing_domainapprover_add"), make_user("ann", role=role)
    assert sign_in("root", "admin").post(address, {"domain": domain, "user": str(person.pk)}).status_code == 200
    assert not DomainApprover.objects.exists()


def test_an_approver_names_nobody(sign_in: Any) -> None:
    ann = sign_in("ann", "approver")
    form = {"domain": "host", "user": str(ann.user.pk)}
    assert ann.post(reverse("admin:healing_domainapprover_add"), form).status_code == 403


def test_queue_and_page_say_who_may_approve(sign_in: Any) -> None:
    request = make_request()
    ann = sign_in("ann", "approver")
    assert "<dd>anybody with the role <span" in text_of(ann.get(address_of(request)))
    assert "anybody with the role" in text_of(ann.get(reverse(QUEUE)))
    DomainApprover.objects.create(domain="host", user=make_user("bob", role="approver"))
    page = text_of(ann.get(address_of(request)))
    assert '<dd>bob <span class="sh-dim">domain host</span>' in page
    assert "What is asked in the domain host is approved by bob." in page
    assert 'id="dialog-approve"' not in page
    assert 'id="dialog-reject"' in page


def test_queue_page_and_dashboard_show_that_nobody_answers(sign_in: Any) -> None:
    request = make_request(escalations=1, escalate_at=timezone.now() + timedelta(minutes=7, seconds=2))
    ann = sign_in("ann", "approver")
    page = text_of(ann.get(address_of(request)))
    assert ">escalated</span>" in page
    assert "in 7 min</time>." in page
    assert ">escalated</span>" in text_of(ann.get(reverse(QUEUE)))
    assert ">escalated</span>" in text_of(ann.get("/admin/"))


def test_run_and_request_show_what_changed_before_and_after(sign_in: Any) -> None:
    changed = [
        {"path": "steps.0.with.unit", "before": "web.service", "after": "<b>db.service</b>"},
        {"path": "steps.1", "before": None, "after": {"id": "more"}},
    ]
    run = make_run(status="aborted", abort_reason="superseded")
    run.decision["changed"] = changed
    run.save()
    request = make_request(run, status="approved")
    ann = sign_in("ann", "approver")
    for thing in (run, request):
        page = text_of(ann.get(address_of(thing)))
        assert "What changed" in page
        assert "<h3>steps.0.with.unit</h3>" in page
        assert "web.service" in page
        assert "&lt;b&gt;db.service&lt;/b&gt;" in page


def test_a_request_whose_playbook_was_edited_says_that_it_does_not_run_any_more(sign_in: Any) -> None:
    request = make_request()
    ann = sign_in("ann", "approver")
    assert "was edited since" not in text_of(ann.get(address_of(request)))
    Playbook.objects.update(active=False)
    assert "The playbook was edited since this was asked" in text_of(ann.get(address_of(request)))


def test_a_question_in_the_middle_of_a_run_says_so(sign_in: Any) -> None:
    run = make_run(status="running")
    step = make_step(run, status="pending", started_at=None, finished_at=None)
    request = make_request(run, subject_type="step", subject_id=step.pk, title="Is the standby ready?")
    page = text_of(sign_in("ann", "approver").get(address_of(request)))
    assert "The run is under way" in page
    assert "then the run stops before this step" in page
    assert "Is the standby ready?" in text_of(sign_in("ann").get(reverse(QUEUE)))


@pytest.fixture
def record() -> Record:
    make_playbook("add-workers", impact="medium", diagnoses=["elevated_errors"])
    return Record.objects.create(playbook="add-workers", diagnosis="elevated_errors", started=4, succeeded=4, held=3, streak=3)


def test_a_record_is_granted_autonomy_and_loses_it_on_its_page(sign_in: Any, record: Record) -> None:
    root = sign_in("root", "admin")
    page = text_of(root.get(address_of(record)))
    assert "Not earned yet, 3 of 5 held runs in a row" in page
    assert 'id="dialog-revoke"' not in page
    root.post(act(record, "grant"), {"days": "30", "comment": "watched it"})
    page = text_of(root.get(address_of(record)))
    assert "acts alone" in page
    assert "watched it" in page
    root.post(act(record, "revoke"), {"comment": "no more"})
    record.refresh_from_db()
    assert record.granted_until is None


def test_nobody_is_offered_a_grant_for_high_impact(sign_in: Any, record: Record) -> None:
    make_playbook("hard", impact="high", diagnoses=["service_down"])
    hard = Record.objects.create(playbook="hard", diagnosis="service_down")
    root = sign_in("root", "admin")
    page = text_of(root.get(address_of(hard)))
    assert "High impact always needs a person: there is no grant for it." in page
    assert '<dialog id="dialog-' not in page
    after = text_of(root.post(act(hard, "grant"), {"days": "30", "comment": "please"}, follow=True))
    assert "high impact always needs a person" in after.lower()
    assert Record.objects.get(pk=hard.pk).granted_until is None


def test_an_operator_grants_nothing(sign_in: Any, record: Record) -> None:
    assert sign_in("op", "operator").post(act(record, "grant"), {"days": "1", "comment": "x"}).status_code == 403


def test_everybody_sees_why_nothing_is_automatic_in_a_storm(sign_in: Any) -> None:
    Control.objects.create(pk=1, storm="6 of 10 services are unhealthy")
    assert "Storm: 6 of 10 services are unhealthy. Nothing starts by itself, people are asked." in text_of(
        sign_in("vera").get("/admin/")
    )
