"""`GET …/alerts/why` and `…/incidents/{id}/why`: one answer first, what it stands on after it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from healing.models import LedgerEntry, Run
from tests.factories import make_decision, make_incident, make_playbook, make_request, make_run, make_service, make_unmatched

from .conftest import problem


def test_an_incident_says_in_a_line_why_nothing_is_done(reader):
    soon = timezone.now() + timedelta(minutes=3)
    incident = make_incident(next_look_at=soon, why={"skip": "no_playbook", "reason": "no playbook for service_down"})
    why = reader.get(f"incidents/{incident.pk}/why").json()
    assert (why["headline"], why["missing"], why["rule"]) == ("No playbook is for service_down", "playbook", "no_playbook")
    assert why["next_look_at"].startswith(soon.strftime("%Y-%m-%dT%H:%M"))


def test_a_request_that_nobody_answered_says_until_when(reader):
    request = make_request()
    why = reader.get(f"incidents/{request_incident(request)}/why").json()
    assert (why["kind"], why["next_look_at"][:16]) == ("waiting for a person", request.expires_at.strftime("%Y-%m-%dT%H:%M"))


def test_who_acknowledged_it_is_named(operator):
    incident = make_incident()
    operator.post(f"incidents/{incident.pk}/ack")
    assert operator.get(f"incidents/{incident.pk}/why").json()["headline"].startswith("olga has it")


def test_a_name_leads_to_its_live_incidents_by_any_of_their_alerts(reader):
    web, db = make_service(), make_service("db")
    here = make_incident(web)
    there = make_incident(db, labels={"alertname": "Other"})
    there.episodes.update(labels={"alertname": "InstanceDown"})
    make_incident(web, status="resolved", labels={"alertname": "InstanceDown"})
    found = reader.get("alerts/why", alertname="InstanceDown").json()
    assert {each["incident"] for each in found["incidents"]} == {str(here.pk), str(there.pk)}
    assert found["why"]["headline"] == "Nobody has looked at it yet"


def test_a_name_of_which_nothing_is_live_leads_to_those_that_are_over(reader):
    incident = make_incident(status="resolved", resolved_at=timezone.now())
    make_run(incident, make_playbook("restart"), status="succeeded", held=True, decision=make_decision("auto", "every rule"))
    found = reader.get("alerts/why", alertname="InstanceDown").json()
    assert found["why"]["headline"] == "Healed by restart, and it stayed away"


def test_a_name_that_found_no_service_has_the_line_that_would_match(reader):
    row = make_unmatched()
    (found,) = reader.get("alerts/why", alertname="DiskFull").json()["unmatched"]
    assert (found["missing"], found["suggestion"], found["id"]) == ("mapping", row.suggestion, str(row.pk))


def test_a_name_that_never_came_says_since_when_we_listen(reader):
    LedgerEntry.objects.create(
        index=0, outbox_id=1, leaf=b"", leaf_hash=b"", signature=b"", key_id="k", actor="am", action="alerts.received",
        resource="alerts:plain", subsystem="healing", at=timezone.now(),
    )  # fmt: skip
    why = reader.get("alerts/why", alertname="Nothing").json()["why"]
    assert (why["kind"], why["headline"]) == ("never received", "No alert named Nothing came in")
    assert why["since"] is not None
    assert "the last alert of any name came at" in why["detail"]


def test_the_name_must_be_given(reader):
    assert problem(reader.get("alerts/why"), 400)["field"] == "alertname"


@pytest.mark.parametrize("live", [2, 40])
def test_a_name_costs_the_same_however_many_there_are(reader, live, django_assert_max_num_queries):
    service = make_service()
    for n in range(live):
        make_incident(service, diagnosis=f"d{n}")
    with django_assert_max_num_queries(30):
        assert len(reader.get("alerts/why", alertname="InstanceDown").json()["incidents"]) == min(live, 10)


def request_incident(request):
    return Run.objects.get(pk=request.subject_id).incident_id
