from datetime import timedelta

import pytest
from django.utils import timezone

from healing import ledger
from healing.models import Incident, LedgerEntry, Run
from tests.factories import make_decision, make_incident, make_line, make_playbook, make_run, make_service, make_unmatched

from .conftest import problem


@pytest.fixture
def many():
    now = timezone.now()
    web, db = make_service("web", hosts=30), make_service("db")
    for n in range(30):
        incident = make_incident(
            web, at=now - timedelta(minutes=n), target=f"web-{n + 1:02d}", severity="high" if n % 2 else "low"
        )
        make_run(incident, at=now)
    make_incident(db, at=now - timedelta(days=2), status="resolved", resolved_at=now)
    return now


def test_the_list_is_newest_first_in_pages(reader, many):
    page = reader.get("incidents", limit=20).json()
    assert set(page) == {"results", "next", "previous"}
    opened = [row["opened_at"] for row in page["results"]]
    assert len(opened) == 20
    second = reader.client.get(page["next"], headers=reader.headers).json()
    opened += [row["opened_at"] for row in second["results"]]
    assert second["next"] is None
    assert opened == sorted(opened, reverse=True)
    assert len(set(opened)) == 31
    first = reader.client.get(second["previous"], headers=reader.headers).json()
    assert first["results"] == page["results"]


def test_the_list_is_filtered(reader, many):
    def count(**query):
        return len(reader.get("incidents", **query).json()["results"])

    assert count(status="open") == 30
    assert count(status="open,resolved") == 31
    assert count(status="resolved", service="db") == 1
    assert count(severity="high") == 15
    assert count(service="nobody") == 0
    assert count(since=(many - timedelta(days=1)).isoformat()) == 30
    assert count(since=(many - timedelta(minutes=8, seconds=30)).strftime("%Y-%m-%dT%H:%M:%S+00:00")) == 5


@pytest.mark.parametrize(
    ("path", "most"),
    [("incidents", 4), ("runs", 4), ("approvals", 6), ("playbooks", 5), ("services", 9), ("alerts/unmatched", 4)],
)
def test_no_list_costs_a_query_a_row(reader, many, path, most, django_assert_max_num_queries):
    from tests.factories import make_request

    for run in Run.objects.select_related("playbook", "service")[:20]:
        make_request(run)
    for n in range(20):
        make_unmatched(fingerprint=f"f{n}")
        make_playbook(f"playbook-{n}")
    reader.get(path)
    with django_assert_max_num_queries(most + 2):  # the token, the permissions of its user
        assert len(reader.get(path).json()["results"]) > 1


def test_one_incident_has_its_episodes_and_runs(reader, many, django_assert_max_num_queries):
    incident = Incident.objects.order_by("-opened_at")[0]
    with django_assert_max_num_queries(8):
        found = reader.get(f"incidents/{incident.pk}").json()
    assert (found["id"], found["service"], found["target"]) == (str(incident.pk), "web", "web-01")
    assert [e["title"] for e in found["episodes"]] == ["Instance is down"]
    assert [r["status"] for r in found["runs"]] == ["pending"]


def test_the_timeline_names_the_index_in_the_log_once_it_is_sequenced(reader):
    incident = make_incident()
    for n in range(3):
        make_line(incident, f"step {n}", outbox_id=n + 1)
    for n in range(2):
        LedgerEntry.objects.create(
            index=40 + n, outbox_id=n + 1, leaf=b"", leaf_hash=b"", signature=b"", key_id="k", actor="a", action="x",
            resource="r", subsystem="s", at=timezone.now(),
        )  # fmt: skip
    lines = reader.get(f"incidents/{incident.pk}/timeline").json()["results"]
    assert [(line["action"], line["log_index"]) for line in lines] == [("step 0", 40), ("step 1", 41), ("step 2", None)]


def test_a_long_timeline_comes_in_pages(reader):
    incident = make_incident()
    for n in range(7):
        make_line(incident, f"step {n}", outbox_id=n // 2)
    page = reader.get(f"incidents/{incident.pk}/timeline", limit=3).json()
    told = [line["id"] for line in page["results"]]
    while page["next"]:
        page = reader.client.get(page["next"], headers=reader.headers).json()
        told += [line["id"] for line in page["results"]]
    assert len(set(told)) == len(told) == 7


def test_why_says_the_skip_and_every_rule_of_the_last_decision(reader):
    incident = make_incident(
        why={"skip": "backoff", "reason": "waiting between proposals in a row", "at": "2026-11-25T12:00:00Z"}
    )
    make_run(incident, status="aborted", decision=make_decision("deny", "the kill switch is on"))
    why = reader.get(f"incidents/{incident.pk}/why").json()
    assert (why["skip"], why["reason"], why["verdict"]) == ("backoff", "waiting between proposals in a row", "deny")
    assert {"rule": "impact", "verdict": "deny", "reason": "the kill switch is on"} in why["rules"]
    assert why["run"]["status"] == "aborted"


def test_why_of_an_incident_that_nobody_looked_at_yet(reader):
    why = reader.get(f"incidents/{make_incident().pk}/why").json()
    assert (why["skip"], why["run"], why["verdict"], why["rules"]) == ("", None, None, [])


@pytest.mark.parametrize(("act", "status"), [("ack", "ack"), ("resolve", "resolved"), ("close", "closed")])
def test_what_a_person_does_with_an_incident_is_done_and_logged(operator, act, status):
    incident = make_incident()
    assert operator.post(f"incidents/{incident.pk}/{act}", {"text": "I have it"}).json()["status"] == status
    line = incident.timeline.get()
    assert (line.actor, line.action, line.reason) == ("olga", f"incident.{status}", "I have it")


def test_no_body_is_needed_where_nothing_has_to_be_said(operator):
    path = f"/api/self_heal/incidents/{make_incident().pk}/ack"
    assert operator.client.generic("POST", path, headers=operator.headers).status_code == 200


def test_a_move_that_the_table_does_not_allow_is_409(operator):
    incident = make_incident(status="closed")
    assert "closed" in problem(operator.post(f"incidents/{incident.pk}/ack"), 409)["detail"]


def test_a_comment_is_a_line_of_the_timeline(operator):
    incident = make_incident()
    assert operator.post(f"incidents/{incident.pk}/comment", {"text": "looking"}).status_code == 200
    assert incident.timeline.get().reason == "looking"


def test_unmatched_alerts_are_listed_with_the_line_that_would_match(reader):
    row = make_unmatched()
    make_unmatched(status="resolved")
    (found,) = reader.get("alerts/unmatched", status="firing").json()["results"]
    assert (found["fingerprint"], found["suggestion"], found["reason"]) == (row.fingerprint, row.suggestion, row.reason)


def test_instants_are_written_in_utc_whatever_zone_people_see(reader, settings):
    settings.SELF_HEAL_TIME_ZONE = "Asia/Kolkata"
    make_incident()
    (row,) = reader.get("incidents").json()["results"]
    assert row["opened_at"].endswith("Z")
    assert ledger.instant(Incident.objects.get().opened_at)[:19] == row["opened_at"][:19]


def test_an_incident_is_assigned_and_its_parts_are_listed(operator):
    incident = make_incident()
    part, name = make_incident(make_service("db"), part_of=incident), operator.user.username
    row = operator.post(f"incidents/{incident.pk}/assign", {"user": name, "text": "mine"}).json()
    assert (row["assignee"], row["part_of"]) == (name, None)
    assert operator.get(f"incidents/{incident.pk}").json()["parts"] == [str(part.pk)]
    assert operator.post(f"incidents/{incident.pk}/assign", {"user": None}).json()["assignee"] is None
    problem(operator.post(f"incidents/{incident.pk}/assign", {"user": "nobody"}), 400)


def test_an_incident_is_muted_for_a_while_and_not_without_a_reason(operator):
    incident = make_incident()
    made = operator.post(f"incidents/{incident.pk}/mute", {"minutes": 30, "reason": "we are on it"})
    assert made.status_code == 201
    assert incident.silences.get().reason == "we are on it"
    problem(operator.post(f"incidents/{incident.pk}/mute", {"minutes": 30, "reason": ""}), 400)
    problem(operator.post(f"incidents/{incident.pk}/mute", {"minutes": 0, "reason": "x"}), 400)
