"""What adapters see becomes samples like others; what they do not see is written down, and changes no state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from healing import tasks
from healing.adapters import ADAPTERS
from healing.adapters.base import NO_TIME, Metric, Place, Placed, Seen
from healing.models import Incident, JobRun, Sample, Sensed, Service, Signal
from healing.signals import keeping, sensing
from selfheal.signals import Threshold
from selfheal.telemetry import known
from tests.healing.intake.conftest import declare

pytestmark = pytest.mark.django_db
POLL = timedelta(seconds=30)


class Sees(Placed):
    """A domain whose places are as the test says."""

    name = "acme"
    telemetry = (known("up", "it lives"), Metric("acme.full_percent", "%", "of it", Threshold("capacity_strain", degraded=90)))
    actions, checks, playbooks = (), (), ()

    def __init__(self) -> None:
        self.says: dict[str, Seen | Callable[[], Seen]] = {}
        self.asked: list[str] = []

    def sense(self, places: Any, around: Any) -> list[Seen]:
        self.asked = [place.target for place in places]
        return [self.look(place) for place in places]

    def look(self, place: Any) -> Seen:
        values, why = self.says.get(place.target, ({"up": 1.0}, ""))  # type: ignore[misc]
        return Seen(place, values, why)


@pytest.fixture
def acme(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Sees:
    monkeypatch.setattr("healing.intake.look", lambda: None)
    settings.SELF_HEAL_SENSE = ["acme"]
    adapter = Sees()
    monkeypatch.setitem(ADAPTERS, "acme", adapter)
    return adapter


def of_acme(name: str, *hosts: str, **fields: Any) -> Service:
    service = declare(name, *hosts)
    Service.objects.filter(pk=service.pk).update(domain="acme", **fields)
    return service


def test_what_is_seen_is_a_sample_of_its_place(acme: Sees, at: datetime) -> None:
    of_acme("web", "web-01", "web-02")
    acme.says["web-02"] = ({"up": 0.0, "acme.full_percent": 40.0}, "")  # type: ignore[assignment]
    assert sensing.sense(at) == 3
    assert set(Sample.objects.values_list("target", "metric", "value", "at")) == {
        ("web-01", "up", 1.0, at),
        ("web-02", "up", 0.0, at),
        ("web-02", "acme.full_percent", 40.0, at),
    }


def test_two_looks_in_a_row_that_find_it_down_open_an_incident_by_no_other_road(acme: Sees, at: datetime) -> None:
    of_acme("web")
    acme.says["web"] = ({"up": 0.0}, "")  # type: ignore[assignment]
    sensing.sense(at)
    assert not Incident.objects.exists()
    sensing.sense(at + POLL)
    incident = Incident.objects.get()
    assert (incident.diagnosis, incident.episodes.get().source) == ("service_down", "signal")


def test_a_threshold_of_an_adapter_judges_and_names_its_diagnosis(acme: Sees, at: datetime) -> None:
    of_acme("web")
    acme.says["web"] = ({"acme.full_percent": 91.0}, "")  # type: ignore[assignment]
    for turn in range(2):
        sensing.sense(at + turn * POLL)
    assert Incident.objects.get().diagnosis == "capacity_strain"


def test_signals_yaml_moves_the_threshold_of_an_adapter_and_keeps_its_diagnosis(
    acme: Sees, at: datetime, settings: Any, tmp_path: Any
) -> None:
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    (tmp_path / "signals.yaml").write_text("signals:\n  acme.full_percent: {critical: 50}\n")
    of_acme("web")
    acme.says["web"] = ({"acme.full_percent": 60.0}, "")  # type: ignore[assignment]
    for turn in range(2):
        sensing.sense(at + turn * POLL)
    incident = Incident.objects.get()
    assert (incident.diagnosis, incident.severity) == ("capacity_strain", "critical")


def test_what_could_not_be_seen_is_written_down_and_after_the_window_it_is_unknown(acme: Sees, at: datetime) -> None:
    of_acme("web")
    sensing.sense(at)
    acme.says["web"] = ({}, "the tool did not answer")  # type: ignore[assignment]
    for minutes in (1, 11):
        sensing.sense(at + timedelta(minutes=minutes))
    assert Sensed.objects.get().why == "the tool did not answer"
    assert Signal.objects.get().state == "healthy"
    keeping.expire(at + timedelta(minutes=11))
    assert Signal.objects.get().state == "unknown"
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"acme.other": 1.0}, "acme.other is not in the telemetry"),
        ({"up": float("nan")}, "no finite number"),
    ],
)
def test_what_does_not_fit_its_telemetry_is_not_taken_and_is_a_fault_of_the_job(
    acme: Sees, at: datetime, values: dict[str, float], fault: str
) -> None:
    of_acme("web", "web-01", "web-02")
    acme.says["web-01"] = (values, "")  # type: ignore[assignment]
    with pytest.raises(sensing.Failed, match=fault):
        sensing.sense(at)
    assert list(Sample.objects.values_list("target", flat=True)) == ["web-02"]
    assert fault in Sensed.objects.get(target="web-01").why


def test_an_adapter_that_fails_stops_no_other(acme: Sees, at: datetime, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaks(Sees):
        name = "broken"

        def sense(self, places: Any, around: Any) -> list[Seen]:
            raise RuntimeError("no licence")

    monkeypatch.setitem(ADAPTERS, "broken", Breaks())
    settings.SELF_HEAL_SENSE = ["broken", "acme"]
    of_acme("web")
    Service.objects.filter(pk=declare("mail").pk).update(domain="broken")
    with pytest.raises(sensing.Failed, match="broken: RuntimeError: no licence"):
        sensing.sense(at)
    assert Sample.objects.get().service.name == "web"


def test_an_adapter_that_tells_of_a_place_that_nobody_asked_about_stops_no_other(
    acme: Sees, at: datetime, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strays(Sees):
        name = "astray"

        def sense(self, places: Any, around: Any) -> list[Seen]:
            return [Seen(Place("elsewhere", "elsewhere"), {"up": 1.0})]

    monkeypatch.setitem(ADAPTERS, "astray", Strays())
    settings.SELF_HEAL_SENSE = ["astray", "acme"]
    of_acme("web")
    Service.objects.filter(pk=declare("mail").pk).update(domain="astray")
    with pytest.raises(sensing.Failed, match="astray: Invalid: elsewhere/elsewhere is no place"):
        sensing.sense(at)
    assert Sample.objects.get().service.name == "web"


def test_who_was_not_reached_is_looked_at_first_the_next_time(acme: Sees, at: datetime) -> None:
    of_acme("web", "a", "b", "c")
    acme.says["b"] = ({}, NO_TIME)  # type: ignore[assignment]
    sensing.sense(at)
    assert set(Sensed.objects.values_list("target", flat=True)) == {"a", "c"}
    sensing.sense(at + POLL)
    assert acme.asked[0] == "b"


def test_a_service_with_a_pool_is_not_looked_at_from_here(acme: Sees, at: datetime) -> None:
    of_acme("web", pool="edge-1")
    assert sensing.sense(at) == 0
    assert "the pool edge-1 stands beside it" in Sensed.objects.get().why
    assert acme.asked == []


def test_services_of_other_domains_and_those_that_are_withdrawn_are_left_alone(acme: Sees, at: datetime) -> None:
    declare("other")
    of_acme("gone", active=False)
    assert sensing.sense(at) == 0
    assert not Sensed.objects.exists()


def test_it_costs_the_same_statements_for_one_place_and_for_thirty(
    acme: Sees, at: datetime, django_assert_max_num_queries: Any
) -> None:
    of_acme("web", *(f"web-{n:02}" for n in range(30)))
    sensing.sense(at)
    with django_assert_max_num_queries(30):
        sensing.sense(at + POLL)


def test_a_place_that_nobody_declares_any_more_is_forgotten(acme: Sees, at: datetime) -> None:
    service = of_acme("web")
    sensing.sense(at)
    Service.objects.filter(pk=service.pk).update(active=False)
    sensing.sense(at + timedelta(days=2))
    assert not Sensed.objects.exists()


def test_the_beat_looks_once_a_slot_and_writes_down_that_it_did(acme: Sees) -> None:
    of_acme("web")
    tasks.sense()
    tasks.sense()
    assert Sample.objects.count() == 1
    assert JobRun.objects.get(job="sense").error == ""


@pytest.mark.parametrize("quiet", [{"SELF_HEAL_SENSE": []}, {"SELF_HEAL_EXECUTE": False, "SELF_HEAL_OBSERVE_ONLY": False}])
def test_without_a_domain_to_sense_and_while_the_mode_is_off_nothing_is_looked_at(acme: Sees, quiet: dict[str, Any]) -> None:
    of_acme("web")
    with override_settings(**quiet):
        tasks.sense()
    assert not Sample.objects.exists()


def test_between_two_polls_only_the_domain_is_looked_at_that_measures_what_is_asked_for(acme: Sees, at: datetime) -> None:
    of_acme("web")
    assert sensing.metrics() == ["up", "acme.full_percent"]
    assert sensing.probe(["latency_ms"], at) == 0
    assert sensing.probe(["up", "latency_ms"], at) == 1
    assert acme.asked == ["web"]
