from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from healing import scheduler
from healing.models import Incident, LedgerOutbox, Run, Silence
from tests.factories import make_incident, make_run, make_service

from .conftest import problem

HOUR = timedelta(hours=1)


def wanted(**fields):
    return {"ends_at": (timezone.now() + HOUR).isoformat(), "reason": "new disks", **fields}


def test_a_silence_is_made_listed_and_ended(operator, reader):
    make_service("web")
    made = operator.post("silences", wanted(service="web"))
    assert made.status_code == 201
    row = made.json()
    assert {
        "service": "web",
        "status": "active",
        "about": "service web",
        "created_by": "olga",
        "incident": None,
    }.items() <= row.items()
    assert [each["id"] for each in reader.get("silences", active="true").json()["results"]] == [row["id"]]
    ended = operator.post(f"silences/{row['id']}/end", {"reason": "done early"})
    assert ended.json()["status"] == "over"
    assert reader.get("silences", active="true").json()["results"] == []
    assert reader.get("silences").json()["results"][0]["status"] == "over"
    assert "over" in problem(operator.post(f"silences/{row['id']}/end", {"reason": "again"}), 409)["detail"]
    leaves = [bytes(leaf) for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)]
    assert [action for leaf in leaves for action in ("silence.created", "silence.ended") if action.encode() in leaf] == [
        "silence.created", "silence.ended",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "service"),
        ({"service": "nobody"}, "service"),
        ({"service": "web", "reason": " "}, "reason"),
        ({"service": "web", "ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"service": "web", "ends_at": "2120-01-01T00:00:00Z"}, "ends_at"),
        ({"service": "web", "ends_at": "soon"}, "ends_at"),
        ({"service": "web", "ends_at": "2026-11-27T09:00:00"}, "ends_at"),
        ({"service": "web", "starts_at": "2120-01-01T00:00:00Z"}, "starts_at"),
        ({"service": "web", "incident": "00000000-0000-0000-0000-000000000000"}, "incident"),
        ({"incident": "00000000-0000-0000-0000-000000000000"}, "incident"),
        ({"labels": {str(n): "x" for n in range(21)}}, "labels"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"team": 3}}, "labels.team"),
        ({"service": "web", "until": "x"}, "until"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(operator, fields, field):
    make_service("web")
    assert problem(operator.post("silences", wanted(**fields)), 400)["field"] == field
    assert not Silence.objects.exists()


def test_who_may_only_read_silences_nothing(reader):
    make_service("web")
    problem(reader.post("silences", wanted(service="web")), 403)


def due(service, **fields):
    return make_incident(service, next_look_at=timezone.now(), **fields)


def test_what_is_silenced_is_shown_not_proposed_and_looked_at_again_at_the_end(operator):
    web = make_service("web")
    by_label = make_incident(web, labels={"team": "shop", "alertname": "X"}, next_look_at=timezone.now())
    other = due(web, target="web-02", diagnosis="latency_spike", labels={"team": "infra"})
    silence = operator.post("silences", wanted(labels={"team": "shop"})).json()
    assert scheduler.look(timezone.now()) == 2
    by_label.refresh_from_db()
    other.refresh_from_db()
    assert (by_label.status, by_label.why["skip"]) == ("open", "silenced")
    assert (
        f"silenced by olga until {by_label.next_look_at:%Y-%m-%d %H:%M} UTC: new disks (team=shop, silence {silence['id']})"
        in (by_label.why["reason"])
    )
    assert by_label.next_look_at == Silence.objects.get().ends_at
    assert other.why["skip"] == "no_playbook"
    assert by_label.timeline.filter(action="incident.skipped").exists()
    operator.post(f"silences/{silence['id']}/end", {"reason": "done"})
    scheduler.look(timezone.now())
    by_label.refresh_from_db()
    assert by_label.why["skip"] == "no_playbook"


def test_the_silence_that_lasts_longest_is_the_one_that_counts(operator):
    web = make_service("web")
    incident = due(web)
    operator.post("silences", wanted(service="web"))
    operator.post("silences", wanted(incident=str(incident.pk), ends_at=(timezone.now() + 2 * HOUR).isoformat()))
    operator.post("silences", wanted(service="web", labels={"not": "there"}, ends_at=(timezone.now() + 3 * HOUR).isoformat()))
    scheduler.look(timezone.now())
    assert f"incident {incident.pk}" in Incident.objects.get().why["reason"]


def test_a_planned_silence_does_not_hold_yet(operator):
    web = make_service("web")
    due(web)
    begin, end = timezone.now() + HOUR, timezone.now() + 2 * HOUR
    made = operator.post("silences", wanted(service="web", starts_at=begin.isoformat(), ends_at=end.isoformat()))
    assert made.json()["status"] == "planned"
    scheduler.look(timezone.now())
    assert Incident.objects.get().why["skip"] == "no_playbook"


def test_what_waits_for_approval_goes_on_waiting_and_a_new_proposal_is_refused(operator):
    run = make_run(make_incident(make_service("web")))
    operator.post("silences", wanted(incident=str(run.incident_id)))
    assert Run.objects.get().status == "pending"
    assert run.incident.timeline.filter(action="silence.created").exists()
    refused = problem(operator.post(f"incidents/{run.incident_id}/propose", {"playbook": "restart-unit"}), 409)
    assert "silenced by olga" in refused["detail"]
