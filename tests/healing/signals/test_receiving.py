from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from healing.models import Episode, Incident, LedgerOutbox, MapRule, Sample, Signal
from healing.signals import keeping, receiving
from healing.signals.health import health_of, state_of
from healing.signals.samples import recent
from selfheal.states import Health
from tests.healing.intake.conftest import alert, body, declare

SECOND = timedelta(seconds=1)


@pytest.fixture
def web(db):
    return declare("web", "web-01", "web-02")


@pytest.fixture
def send(web, at, monkeypatch):
    """Send values of one metric, one a second, the last one `later` seconds after `at`."""
    monkeypatch.setattr("healing.intake.look", lambda: None)

    def sent(metric, *values, later=0.0, target="web-01", service="web"):
        now = at + timedelta(seconds=later)
        first = now - SECOND * (len(values) - 1)
        many = [
            {"service": service, "target": target, "metric": metric, "value": value, "at": (first + SECOND * n).isoformat()}
            for n, value in enumerate(values)
        ]
        return receiving.receive(json.dumps(many).encode(), actor="probe", at=now, token="t")

    return sent


def told(action="signals.changed"):
    found = [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True)]
    return [leaf["payload"] for leaf in found if leaf["action"] == action]


def test_samples_are_stored_once_and_a_sample_is_no_state(send):
    assert send("up", 1, 1) == {"accepted": 2, "deduplicated": 0, "unmatched": 0, "rejected": [], "incidents": []}
    assert send("up", 1, 1)["deduplicated"] == 2
    send("up", 1, 1, 1, later=60)
    assert Sample.objects.count() == 5
    assert [each["changed"] for each in told()] == [
        [{"service": "web", "target": "web-01", "metric": "up", "from": "unknown", "to": "healthy", "value": "1"}]
    ]


def test_a_metric_without_a_threshold_is_kept_for_checks_and_says_nothing(send):
    assert send("queue_length", 5, 10**9)["accepted"] == 2
    assert Signal.objects.count() == 0


@pytest.mark.parametrize(
    ("metric", "bad", "good", "diagnosis", "severity"),
    [
        ("up", 0, 1, "service_down", "critical"),
        ("latency_ms", 1500, 20, "latency_spike", "medium"),
        ("error_rate", 0.2, 0, "elevated_errors", "medium"),
    ],
)
def test_a_signal_that_becomes_bad_opens_an_incident_and_its_recovery_resolves_it(send, metric, bad, good, diagnosis, severity):
    assert send(metric, good, bad)["incidents"] == []
    answer = send(metric, bad, later=30)
    (incident,) = Incident.objects.all()
    assert answer["incidents"] == [str(incident.pk)]
    assert (incident.status, incident.diagnosis, incident.severity, incident.target) == ("open", diagnosis, severity, "web-01")
    assert incident.next_look_at is not None
    (episode,) = incident.episodes.all()
    assert (episode.source, episode.status) == ("signal", "firing")
    assert send(metric, good, good, later=60)["incidents"] == []
    send(metric, good, later=90)
    incident.refresh_from_db()
    episode.refresh_from_db()
    assert (incident.status, episode.status) == ("resolved", "resolved")
    assert [each["changed"][0]["to"] for each in told()] == ["healthy", "critical" if metric == "up" else "degraded", "healthy"]
    assert list(incident.timeline.values_list("action", flat=True)) == ["incident.open", "alert.ended", "incident.resolved"]


def test_the_confidence_is_that_of_the_diagnosis(send):
    send("up", 0, 0)
    assert Incident.objects.get().confidence == 0.95


def test_worse_makes_the_incident_worse_and_a_little_better_keeps_it(send, settings, tmp_path):
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    (tmp_path / "signals.yaml").write_text("signals:\n  queue: {degraded: 10, critical: 100}\n")
    send("queue", 10, 10)
    assert Incident.objects.get().severity == "medium"
    send("queue", 100, 100, later=30)
    assert (Incident.objects.get().severity, Incident.objects.get().diagnosis) == ("critical", "general_degradation")
    send("queue", 20, 20, 20, later=60)
    assert (Signal.objects.get().state, Incident.objects.get().status) == ("degraded", "open")
    assert Episode.objects.count() == 1


def test_one_bad_sample_alone_changes_nothing(send):
    send("up", 1, 0)
    send("up", 1, later=30)
    send("up", 0, later=60)
    assert (Signal.objects.get().state, Incident.objects.count()) == ("healthy", 0)


def test_what_comes_late_is_kept_and_changes_no_state(send):
    send("up", 1, later=60)
    assert send("up", 0, 0, 0)["accepted"] == 3
    assert (Signal.objects.get().state, Incident.objects.count()) == ("healthy", 0)


def test_what_is_older_than_the_window_is_not_triaged(send, at):
    old = (at - timedelta(minutes=11)).isoformat()
    many = [{"service": "web", "target": "web-01", "metric": "up", "value": 0, "at": old}] * 2
    assert receiving.receive(json.dumps(many).encode(), actor="probe", at=at)["accepted"] == 1
    assert Signal.objects.count() == 0


def test_what_matches_no_service_or_target_is_counted_and_never_guessed(send, web):
    MapRule.objects.create(position=0, match={"alertname": ".*"}, service="web", target="web-01")
    assert send("up", 1, service="nobody")["unmatched"] == 1
    assert send("up", 1, target="web-09")["unmatched"] == 1
    assert send("up", 1, target="web-02:9100")["accepted"] == 1
    assert Sample.objects.get().target == "web-02"


def test_a_service_that_is_its_own_target_needs_none(send):
    declare("db")
    send("up", 0, 0, service="db", target="")
    assert str(Incident.objects.get()) == "service_down on db/db"


def test_what_a_broken_file_says_is_not_waited_for(send, settings, tmp_path):
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    (tmp_path / "signals.yaml").write_text("signals: [")
    send("up", 0, 0)
    assert Incident.objects.count() == 1


def test_a_body_is_stored_as_a_whole_or_not_at_all(send, monkeypatch):
    def fail(*_, **__):
        raise ValueError("the disk is full")

    monkeypatch.setattr(receiving, "store", fail)
    with pytest.raises(ValueError, match="the disk is full"):
        send("up", 0, 0)
    assert (Sample.objects.count(), Signal.objects.count(), LedgerOutbox.objects.count()) == (0, 0, 0)


def test_who_comes_second_reads_again(send, monkeypatch):
    first, calls = receiving._judge, []

    def raced(*given):
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError
        return first(*given)

    monkeypatch.setattr(receiving, "_judge", raced)
    assert send("up", 0, 0)["accepted"] == 2
    assert (len(calls), Incident.objects.count()) == (2, 1)


def test_an_alert_of_another_system_joins_the_same_incident(send, at):
    from healing import intake

    send("up", 0, 0)
    intake.receive(body(alert(at)), actor="alertmanager", at=at + SECOND)
    incident = Incident.objects.get()
    assert {episode.source for episode in incident.episodes.all()} == {"signal", "alertmanager"}
    send("up", 1, 1, 1, later=60)
    incident.refresh_from_db()
    assert incident.status == "open"


def test_what_went_quiet_is_unknown_and_rests_until_it_is_measured_again(send, at):
    send("up", 0, 0)
    later = at + timedelta(minutes=11)
    assert (keeping.expire(at + timedelta(minutes=9)), keeping.expire(later), keeping.expire(later)) == (0, 1, 0)
    assert Signal.objects.get().state == "unknown"
    incident = Incident.objects.get()
    assert (incident.status, incident.next_look_at, incident.why["skip"]) == ("open", None, "stale_signal")
    assert told()[-1]["reason"] == "no sample for 10 min"
    send("up", 0, 0, later=12 * 60)
    incident.refresh_from_db()
    assert (incident.status, incident.next_look_at) == ("open", at + timedelta(minutes=12))
    assert Episode.objects.count() == 1


def test_what_went_quiet_and_comes_back_well_ends_it_after_as_many_samples_as_ever(send, at):
    send("up", 0, 0)
    keeping.expire(at + timedelta(minutes=11))
    send("up", 1, 1, later=12 * 60)
    assert Incident.objects.get().status == "open"
    send("up", 1, later=13 * 60)
    assert Incident.objects.get().status == "resolved"


def test_a_silence_that_nobody_wrote_down_counts_as_well(send):
    send("up", 0, 0)
    send("up", 1, later=12 * 60)
    assert (Signal.objects.get().state, Incident.objects.get().status) == ("unknown", "open")
    assert told()[-1]["changed"][0]["to"] == "unknown"


def test_an_incident_that_another_alert_tells_of_does_not_rest(send, at):
    from healing import intake

    send("up", 0, 0)
    intake.receive(body(alert(at)), actor="alertmanager", at=at + SECOND)
    keeping.expire(at + timedelta(minutes=11))
    assert Incident.objects.get().next_look_at is not None


def test_two_signals_of_one_incident_rest_when_the_second_is_quiet_too(send, at, settings, tmp_path):
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    (tmp_path / "signals.yaml").write_text("signals: {a: {degraded: 1}, b: {degraded: 1}}\n")
    send("a", 1, 1)
    send("b", 1, 1, later=300)
    keeping.expire(at + timedelta(minutes=11))
    assert Incident.objects.get().next_look_at is not None
    keeping.expire(at + timedelta(minutes=16))
    assert Incident.objects.get().next_look_at is None


def test_a_clock_that_was_set_back_blocks_nothing(send, at):
    send("up", 1, later=86_400)
    send("up", 0, 0)
    keeping.expire(at)
    send("up", 0, 0, later=2)
    assert Signal.objects.get().state == "critical"


def test_only_what_is_too_old_is_pruned(send, at, web):
    send("up", 1)
    send("up", 1, later=3600)
    assert keeping.prune(at + timedelta(minutes=60, seconds=30)) == 1
    assert Sample.objects.count() == 1
    keeping.expire(at + timedelta(days=2))
    keeping.prune(at + timedelta(days=2))
    assert (Sample.objects.count(), Signal.objects.count()) == (0, 0)


def test_a_hundred_signals_cost_no_query_each(send, at, web, django_assert_max_num_queries):
    many = [
        {"service": "web", "target": "web-01", "metric": "up", "value": 0, "at": (at - SECOND * n).isoformat()}
        for n in range(300)
    ]
    with django_assert_max_num_queries(40):
        receiving.receive(json.dumps(many).encode(), actor="probe", at=at)


def test_a_check_gets_the_samples_of_its_window_the_newest_first(send, at):
    send("queue", 1, 2, 3)
    assert recent("web", "web-01", {"signal": "queue", "window_ms": 1_500}, at) == ((0, 3), (1, 2))
    assert recent("web", "web-02", {"signal": "queue", "window_ms": 1_500}, at) == ()
    assert recent("web", "web-01", {"query": "queue", "window_ms": 1_500}, at) == ()


def test_health_is_the_worst_of_the_targets(send, web, at):
    health = lambda later=0: health_of([web.pk], at + timedelta(minutes=later))[web.pk]  # noqa: E731
    assert health() is Health.UNKNOWN
    send("up", 1)
    assert health() is Health.UNKNOWN  # web-02 was never measured
    send("up", 1, target="web-02")
    assert health() is Health.HEALTHY
    send("latency_ms", 1500, 1500, later=1)
    assert health() is Health.DEGRADED
    send("up", 0, 0, target="web-02", later=2)
    assert health() is Health.CRITICAL
    Incident.objects.update(status="closed")
    assert health(later=11) is Health.UNKNOWN
    assert state_of(Signal.objects.all()[0], at + timedelta(minutes=11)) is Health.UNKNOWN


def test_the_health_of_many_services_is_three_queries(db, at, django_assert_num_queries):
    services = [declare(f"s{n}", f"h{n}") for n in range(10)]
    with django_assert_num_queries(3):
        assert set(health_of([each.pk for each in services], at).values()) == {Health.UNKNOWN}


def test_an_incident_alone_says_how_a_service_is(web, at):
    from tests.factories import make_incident

    make_incident(web, at, severity="medium")
    assert health_of([web.pk], at)[web.pk] is Health.DEGRADED


def test_nothing_is_written_outside_a_transaction_of_its_own(web):
    with transaction.atomic():
        assert receiving.take([], origin="api", actor="probe", at=web.updated_at).accepted == 0


@pytest.mark.usefixtures("real_database")
def test_the_same_samples_from_six_sides_are_stored_once(at, monkeypatch):
    monkeypatch.setattr("healing.intake.look", lambda: None)
    declare("web", "web-01")
    many = [{"service": "web", "metric": "up", "value": 0, "at": (at - SECOND * n).isoformat()} for n in range(5)]
    gate, answers, errors = threading.Barrier(6), [], []

    def deliver() -> None:
        try:
            gate.wait()
            answers.append(receiving.receive(json.dumps(many).encode(), actor="probe", at=at))
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(answer["accepted"] for answer in answers) == 5
    assert (Sample.objects.count(), Signal.objects.count(), Incident.objects.count(), Episode.objects.count()) == (5, 1, 1, 1)
    assert len(told()) == 1
