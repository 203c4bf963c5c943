import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from healing import intake
from healing.intake.lookup import among
from healing.intake.store import LIVE
from healing.models import Episode, Incident, LedgerOutbox, MapRule, TimelineEvent, UnmatchedAlert
from healing.transitions import move
from tests.factories import make_request, make_run

from .conftest import alert, body, declare, leaves, rows

POSTS = Path(__file__).parents[4] / "shared/data/alertmanager/posts.json"
OWN = Path(__file__).parents[2] / "data/alertmanager.json"


def test_a_new_alert_opens_an_incident_that_is_due_for_triage(web, post, at):
    answer = post(alert(at))
    incident = Incident.objects.get()
    assert answer == {"accepted": 1, "deduplicated": 0, "unmatched": 0, "rejected": [], "incidents": [str(incident.pk)]}
    assert (incident.service, incident.target, incident.diagnosis, incident.confidence) == (web, "web-01", "service_down", 0.95)
    assert (incident.status, incident.severity, incident.title) == ("open", "medium", "f1 is down")
    assert incident.next_look_at == at
    episode = incident.episodes.get()
    assert (episode.fingerprint, episode.starts_at, episode.ends_at) == ("f1", at - timedelta(minutes=5), None)


def test_one_entry_of_the_log_tells_of_the_whole_body_and_timeline_lines_point_at_it(web, post, at):
    post(alert(at), alert(at, fingerprint="f2", instance="web-02:9100"), "bad", truncated=7)
    (leaf,) = leaves()
    assert (leaf["action"], leaf["actor"], leaf["resource"]) == ("alerts.received", "alertmanager", "alerts:alertmanager")
    payload = leaf["payload"]
    assert payload["counts"] == {"accepted": 2, "deduplicated": 0, "unmatched": 0, "rejected": 1, "truncated": 7}
    assert (payload["source"], payload["token"], payload["part"], payload["parts"]) == ("alertmanager", "t", 1, 1)
    assert [o["target"] for o in payload["opened"]] == ["web-01", "web-02"]
    assert set(payload["opened"][0]) == {
        "incident", "service", "target", "diagnosis", "severity", "fingerprint", "starts_at",
    }  # fmt: skip
    assert {line.outbox_id for line in TimelineEvent.objects.all()} == {LedgerOutbox.objects.get().pk}


def test_the_same_group_again_writes_nothing(web, post, at):
    group = [alert(at), alert(at, fingerprint="f2", service="nobody"), alert(at, fingerprint="f3", ended=True)]
    first = post(*group)
    before = rows()
    again = post(*group, later=3)
    assert rows() == before
    assert (first["accepted"], first["unmatched"]) == (2, 1)
    assert (again["accepted"], again["deduplicated"], again["unmatched"]) == (0, 2, 1)
    assert set(again["incidents"]) == set(first["incidents"])


def test_a_known_group_is_answered_from_one_query_a_batch(web, post, at, django_assert_num_queries):
    group = [alert(at, fingerprint=f"f{n}") for n in range(500)]
    post(*group)
    with django_assert_num_queries(1):
        assert post(*group)["deduplicated"] == 500
    group += [alert(at, fingerprint="f0")]
    with django_assert_num_queries(1):
        assert post(*group)["deduplicated"] == 501


@pytest.mark.parametrize(
    ("model", "names", "where", "index"),
    [
        (Episode, ("fingerprint", "starts_at"), "true", "episode_once"),
        (Incident, ("service", "target", "diagnosis"), f"e.status IN ({LIVE})", "one_live_incident"),
    ],
)
def test_what_is_known_is_looked_up_in_the_index_and_never_by_a_scan(web, at, model, names, where, index):
    rows_ = [(web.pk, "a", "b"), (web.pk, "c", "d")] if len(names) == 3 else [("f1", at), ("f2", at)]
    if connection.vendor == "postgresql":  # would scan a small table by choice
        connection.cursor().execute("SET LOCAL enable_seqscan = off")
    plan = model.objects.filter(pk__in=among(model, names, rows_, where)).order_by().explain()
    assert f"SCAN {model._meta.db_table}" not in plan
    assert index in plan or f"SEARCH e USING INDEX sqlite_autoindex_{model._meta.db_table}_2" in plan


def test_the_number_of_queries_does_not_grow_with_the_alerts_of_a_batch(web, post, at, django_assert_max_num_queries):
    with django_assert_max_num_queries(40):
        assert post(*[alert(at, fingerprint=f"f{n}") for n in range(400)])["accepted"] == 400


def test_further_alerts_of_a_place_join_its_incident(web, post, at):
    post(alert(at))
    post(alert(at, fingerprint="f2"))
    assert Incident.objects.count() == 1
    assert Episode.objects.count() == 2
    assert [leaf["payload"].get("joined", [{}])[0].get("fingerprint") for leaf in leaves()] == [None, "f2"]


def test_a_worse_alert_raises_severity_and_title_of_its_incident(web, post, at):
    post(alert(at, severity="warning"))
    post(alert(at, fingerprint="f2", severity="critical"))
    post(alert(at, fingerprint="f3", severity="info"))
    incident = Incident.objects.get()
    assert (incident.severity, incident.title) == ("critical", "f2 is down")
    assert leaves()[1]["payload"]["raised"] == [{"incident": str(incident.pk), "from": "medium", "to": "critical"}]


def test_the_incident_is_resolved_when_its_last_firing_episode_ends(web, post, at):
    post(alert(at), alert(at, fingerprint="f2"))
    post(alert(at, ended=True), alert(at, fingerprint="f2"))
    incident = Incident.objects.get()
    assert incident.status == "open"
    post(alert(at, ended=True), alert(at, fingerprint="f2", ended=True), later=1)
    incident.refresh_from_db()
    assert (incident.status, incident.resolved_at, incident.next_look_at) == ("resolved", at + timedelta(minutes=1), None)
    assert set(Episode.objects.values_list("status", "ends_at")) == {("resolved", at - timedelta(seconds=1))}
    assert leaves()[-1]["payload"]["resolved"] == [{"incident": str(incident.pk)}]
    assert list(incident.timeline.values_list("action", flat=True)) == [
        "incident.open", "alert.joined", "alert.ended", "alert.ended", "incident.resolved",
    ]  # fmt: skip


def test_resolved_is_final_for_an_episode(web, post, at):
    post(alert(at))
    post(alert(at, ended=True))
    before = rows()
    assert post(alert(at))["deduplicated"] == 1
    assert rows() == before


def test_a_new_episode_after_the_end_opens_a_new_incident(web, post, at):
    post(alert(at))
    post(alert(at, ended=True))
    post(alert(at, minutes=1), later=2)
    assert list(Incident.objects.order_by("opened_at").values_list("status", flat=True)) == ["resolved", "open"]


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_an_episode_that_goes_on_after_its_incident_is_over_changes_nothing(web, post, at, status):
    post(alert(at))
    assert move(Incident.objects.get(), status, actor="ann", at=at)
    before = rows()
    assert post(alert(at))["deduplicated"] == 1
    assert rows() == before
    post(alert(at, ended=True))
    assert Incident.objects.get().status == status
    assert Episode.objects.get().status == "resolved"


def test_an_alert_that_is_over_when_we_first_hear_of_it_is_kept_and_needs_nobody(web, post, at):
    post(alert(at, ended=True))
    incident = Incident.objects.get()
    assert (incident.status, incident.next_look_at) == ("resolved", None)
    before = rows()
    assert post(alert(at))["deduplicated"] == 1  # a delivery that was late
    assert rows() == before


def test_within_a_body_too_resolved_is_final(web, post, at):
    answer = post(alert(at, ended=True), alert(at))
    assert (answer["accepted"], answer["deduplicated"]) == (1, 1)
    assert Incident.objects.get().status == "resolved"


def test_what_waits_for_an_incident_is_taken_back_when_its_alert_ends(web, post, at):
    post(alert(at))
    request = make_request(make_run(Incident.objects.select_related("service").get(), at=at), at=at)
    post(alert(at, ended=True), later=1)
    request.refresh_from_db()
    assert request.status == "cancelled"
    assert Incident.objects.get().status == "resolved"


def test_one_bad_alert_never_blocks_its_group(web, post, at):
    answer = post(alert(at), {**alert(at), "status": "suppressed"}, {**alert(at), "labels": {}}, alert(at, fingerprint="f2"))
    assert answer["accepted"] == 2
    assert [(r["index"], r["field"]) for r in answer["rejected"]] == [(1, "status"), (2, "labels")]


def test_a_body_of_bad_alerts_alone_writes_nothing_and_logs_one_line(web, post, at, caplog):
    before = rows()
    post({**alert(at), "status": "x\nERROR forged"}, {"labels": {"a\nERROR forged": "\0"}})
    assert rows() == before
    (record,) = caplog.records
    assert "\n" not in record.getMessage()


def test_what_matches_nothing_is_listed_with_the_line_that_would_match(web, post, at):
    answer = post(alert(at, service="nobody"))
    assert (answer["unmatched"], answer["incidents"]) == (1, [])
    row = UnmatchedAlert.objects.get()
    assert (row.reason, row.status, row.first_seen_at) == ("service 'nobody' is not declared", "firing", at)
    assert row.suggestion.startswith('- {match: {alertname: "InstanceDown", service: "nobody"}, service: by_target')
    assert leaves()[0]["payload"]["unmatched"] == [
        {"fingerprint": "f1", "starts_at": "2026-11-25T11:55:00.000000Z", "status": "firing"}
    ]


def test_an_unmatched_alert_that_ends_or_begins_again_changes_its_row(web, post, at):
    post(alert(at, service="nobody"))
    post(alert(at, service="nobody", ended=True), later=1)
    row = UnmatchedAlert.objects.get()
    assert (row.status, row.first_seen_at, row.last_seen_at) == ("resolved", at, at + timedelta(minutes=1))
    post(alert(at, service="nobody", minutes=1), later=2)
    post(alert(at, service="nobody", ended=True), later=3)  # the old one once more
    row.refresh_from_db()
    assert (row.status, row.starts_at) == ("firing", at - timedelta(minutes=1))


def test_an_unmatched_alert_leaves_the_list_once_it_is_mapped(web, post, at):
    post(alert(at, service="nobody"))
    MapRule.objects.create(position=0, match={"service": "nobody"}, service="by_target", target="labels.instance")
    answer = post(alert(at, service="nobody"), later=5)
    assert (answer["accepted"], answer["unmatched"]) == (1, 0)
    assert not UnmatchedAlert.objects.exists()
    assert Incident.objects.get().target == "web-01"


def test_a_service_that_is_not_active_is_not_known(web, post, at):
    web.active = False
    web.save()
    assert post(alert(at))["unmatched"] == 1


def test_an_incident_that_sleeps_is_looked_at_again_when_something_new_fires(web, post, at):
    post(alert(at))
    Incident.objects.update(next_look_at=None)
    post(alert(at, fingerprint="f2"), later=1)
    assert Incident.objects.get().next_look_at == at + timedelta(minutes=1)


def test_what_is_too_much_for_one_leaf_is_split(post, at):
    declare("web", *[f"web-{n:04d}" for n in range(600)])
    post(*[alert(at, fingerprint=f"f{n}", instance=f"web-{n:04d}") for n in range(600)])
    found = leaves()
    assert len(found) > 1
    assert [leaf["payload"]["part"] for leaf in found] == list(range(1, len(found) + 1))
    assert {leaf["payload"]["parts"] for leaf in found} == {len(found)}
    assert sum(len(leaf["payload"]["opened"]) for leaf in found) == 600
    outbox = dict(TimelineEvent.objects.values_list("incident_id", "outbox_id"))
    told = {
        o["incident"]: pk for pk, leaf in zip(sorted(set(outbox.values())), found, strict=True) for o in leaf["payload"]["opened"]
    }
    assert {str(incident): pk for incident, pk in outbox.items()} == told


def test_a_body_is_stored_whole_or_not_at_all(web, post, at, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("healing.transitions.ledger.append", fail)
    with pytest.raises(RuntimeError):
        post(alert(at), alert(at, fingerprint="f2", service="nobody"))
    assert not any(rows().values())


def test_triage_is_asked_for_once_and_on_commit(web, post, at, monkeypatch, django_capture_on_commit_callbacks):
    asked = []
    monkeypatch.setattr("healing.intake.look", lambda: asked.append(1))
    with django_capture_on_commit_callbacks(execute=True):
        post(alert(at), alert(at, fingerprint="f2", instance="web-02"))
        assert asked == []
    assert asked == [1]
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        post(alert(at), alert(at, fingerprint="f3", service="nobody"))
        post(alert(at, ended=True))
    assert callbacks == []


def test_without_a_broker_the_body_is_accepted_all_the_same(
    web, post, at, monkeypatch, caplog, django_capture_on_commit_callbacks
):
    from kombu.exceptions import OperationalError

    from healing import tasks

    def refuse(**options):
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.look, "apply_async", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        assert post(alert(at))["accepted"] == 1
    assert "the next tick" in caplog.text


def plain(at, *items, later=0):
    moment = at + timedelta(minutes=later)
    return intake.receive_plain(json.dumps(items[0] if len(items) == 1 else items).encode(), actor="script", at=moment)


def test_a_plain_alert_goes_the_same_way(web, at):
    plain(at, {"service": "web", "target": "web-02", "diagnosis": "queue_stuck", "title": "stuck", "severity": "high"})
    incident = Incident.objects.get()
    assert (incident.target, incident.diagnosis, incident.confidence) == ("web-02", "queue_stuck", 1.0)
    assert (incident.severity, incident.title) == ("high", "stuck")
    assert incident.episodes.get().starts_at == at
    assert leaves()[0]["resource"] == "alerts:plain"


def test_a_plain_alert_without_a_beginning_belongs_to_the_episode_that_fires(web, at):
    down = {"service": "web", "target": "web-01"}
    plain(at, down)
    before = rows()
    assert plain(at, down, later=5)["deduplicated"] == 1
    assert rows() == before
    plain(at, {**down, "status": "resolved"}, later=6)
    assert Incident.objects.get().status == "resolved"
    assert plain(at, {**down, "status": "resolved"}, later=7)["deduplicated"] == 1
    plain(at, down, later=8)
    assert Incident.objects.filter(status="open").count() == 1


def test_an_unmatched_plain_alert_without_a_beginning_is_listed_once(web, at):
    plain(at, {"service": "nobody"})
    before = rows()
    plain(at, {"service": "nobody"}, later=5)
    assert rows() == before


def test_a_plain_alert_that_gets_worse_raises_its_incident(web, at):
    down = {"service": "web", "target": "web-01", "severity": "low"}
    plain(at, down)
    assert plain(at, {**down, "severity": "critical"}, later=1)["accepted"] == 1
    assert plain(at, {**down, "severity": "low"}, later=2)["deduplicated"] == 1
    assert Incident.objects.get().severity == Episode.objects.get().severity == "critical"


def deliver(posts, at):
    return [
        intake.receive(json.dumps(p).encode(), actor="alertmanager", at=at + timedelta(seconds=n)) for n, p in enumerate(posts)
    ]


def test_what_a_real_alertmanager_posted_tells_the_story_once(db, at):
    if not POSTS.exists():
        pytest.skip("needs ../shared/data/alertmanager/posts.json")
    posts = json.loads(POSTS.read_text())["posts"]
    declare("api", "host1", "host2", "host3", "host4")
    answers = deliver(posts, at)
    assert [a["accepted"] for a in answers] == [3, 1, 1, 3]
    assert set(Incident.objects.values_list("status", "diagnosis", "severity")) == {("resolved", "capacity_strain", "critical")}
    assert set(Incident.objects.values_list("target", flat=True)) == {"host1", "host2", "host3", "host4"}
    before = rows()
    again = deliver(posts, at + timedelta(hours=1))
    assert rows() == before
    assert [(a["accepted"], a["deduplicated"]) for a in again] == [(0, 3), (0, 4), (0, 4), (0, 3)]


def test_posted_twice_without_its_service_nothing_changes_the_second_time_either(db, at):
    if not POSTS.exists():
        pytest.skip("needs ../shared/data/alertmanager/posts.json")
    posts = json.loads(POSTS.read_text())["posts"]
    assert [a["unmatched"] for a in deliver(posts, at)] == [3, 4, 4, 3]
    before = rows()
    deliver(posts, at + timedelta(hours=1))
    assert rows() == before


def test_our_own_body_is_taken(db, at):
    declare("shop", "shop-01", "shop-02")
    answer = intake.receive(OWN.read_bytes(), actor="alertmanager", at=at)
    assert (answer["accepted"], answer["unmatched"], answer["rejected"]) == (2, 1, [])
    assert set(Incident.objects.values_list("target", "status")) == {("shop-01", "open"), ("shop-02", "resolved")}
    assert leaves()[0]["payload"]["counts"]["truncated"] == 2


def test_a_body_that_is_none_stores_nothing(db, at):
    from selfheal.errors import Invalid

    with pytest.raises(Invalid):
        intake.receive(body(alert(at))[:-1], actor="alertmanager", at=at)
    assert not any(rows().values())
