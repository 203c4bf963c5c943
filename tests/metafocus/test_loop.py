"""A cycle sees what is there, decides, writes it down once, and asks for what ends by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from healing import guardrail
from healing.governance import world
from healing.models import Control, LedgerOutbox
from healing.signals import pulling
from metafocus import loop, tasks
from metafocus.models import Cycle
from selfheal import cycles
from selfheal.states import Level
from tests.factories import make_incident, make_playbook, make_service
from tests.learning.conftest import answers

from .conftest import MINUTE, entries, samples

pytestmark = pytest.mark.django_db
Outcomes = Callable[..., None]


def cycle(at: datetime) -> Cycle:
    found = loop.cycle(at)
    assert found
    return found


def leaves(action: str) -> list[dict[str, Any]]:
    found = (json.loads(bytes(row)) for row in LedgerOutbox.objects.order_by("id").values_list("leaf", flat=True))
    return [leaf for leaf in found if leaf["action"] == action]


# -- what it sees


def test_an_empty_house_is_routine(at: datetime) -> None:
    found = cycle(at)
    assert (found.focus_area, found.reasoning[0]) == ("routine_maintenance", "no service is declared")


@pytest.mark.parametrize(("count", "area"), [(10, "routine_maintenance"), (11, "error_spike")])
def test_errors_of_the_last_five_minutes_of_the_log_are_a_spike(count: int, area: str, at: datetime) -> None:
    entries(20, "run.failed", at - 6 * MINUTE)
    entries(count, "run.failed", at - 4 * MINUTE)
    assert cycle(at).focus_area == area


def test_only_the_last_two_hundred_entries_are_looked_at(at: datetime) -> None:
    entries(20, "run.failed", at - MINUTE)
    entries(200, "run.succeeded", at)
    assert cycle(at).seen["errors"] == 0


def test_blocked_accesses_are_violations_of_trust(at: datetime) -> None:
    entries(6, "memory.denied", at, "blocked")
    found = cycle(at)
    assert (found.focus_area, found.reasoning[0]) == ("trust_violations", "6 accesses were blocked in 5 min, over 5")


@pytest.mark.parametrize(("now", "area"), [(129.0, "routine_maintenance"), (135.0, "latency_drift")])
def test_a_service_that_is_slower_than_in_the_hour_before_drifts(now: float, area: str, at: datetime) -> None:
    samples(make_service("shop"), "latency_ms", [100.0] * 30 + [now] * 5, at)
    assert cycle(at).focus_area == area


def test_few_samples_are_no_drift(at: datetime) -> None:
    samples(make_service("shop"), "latency_ms", [100.0, 100.0, 900.0, 900.0, 900.0, 900.0, 900.0], at)
    assert cycle(at).focus_area == "routine_maintenance"


@pytest.fixture
def disk(settings: Any, tmp_path: Any) -> None:
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    text = "signals:\n  disk_free: {degraded: 10, critical: 2, worse: below, diagnosis: capacity_strain}\n"
    (tmp_path / "signals.yaml").write_text(text)


@pytest.mark.parametrize(("step", "area"), [(0.0, "routine_maintenance"), (1.0, "capacity_strain")])
def test_a_disk_that_will_be_full_soon_is_strain(disk: None, step: float, area: str, at: datetime) -> None:
    samples(make_service("db"), "disk_free", [60.0 - step * n for n in range(55)], at)
    cycle(at)
    assert answers(at) == 1
    found = cycle(at + 2 * MINUTE)
    assert found.focus_area == area, found.seen


def test_a_cycle_does_not_wait_for_the_adviser_and_says_what_it_went_without(disk: None, at: datetime) -> None:
    samples(make_service("db"), "disk_free", [60.0 - n for n in range(55)], at)
    found = cycle(at)
    assert (found.focus_area, found.seen["unforecast"]) == ("routine_maintenance", 1)
    assert "1 capacities were not forecast: the adviser forecast has not answered yet" in found.reasoning
    assert cycles.replay(leaves("cycle.finished")[0]) == []


def test_what_was_said_longer_than_two_cycles_ago_counts_no_more(disk: None, at: datetime) -> None:
    samples(make_service("db"), "disk_free", [60.0 - n for n in range(55)], at)
    cycle(at)
    answers(at)
    assert cycle(at + 4 * MINUTE).focus_area == "capacity_strain"
    assert cycle(at + 5 * MINUTE).focus_area == "routine_maintenance"


def test_what_was_said_of_another_limit_does_not_count(disk: None, at: datetime, settings: Any) -> None:
    samples(make_service("db"), "disk_free", [60.0 - n for n in range(55)], at)
    cycle(at)
    answers(at)
    file = settings.SELF_HEAL_CONFIG_DIR / "signals.yaml"
    file.write_text(file.read_text().replace("critical: 2", "critical: 1"))
    assert cycle(at + MINUTE).seen["unforecast"] == 1


def test_where_no_forecaster_is_named_nothing_is_asked(disk: None, at: datetime, settings: Any) -> None:
    settings.SELF_HEAL_FORECASTER = ""
    samples(make_service("db"), "disk_free", [60.0 - n for n in range(55)], at)
    assert cycle(at).seen["unforecast"] == 0
    assert answers(at) == 0


def test_an_unwell_service_that_others_need_is_the_focus(at: datetime) -> None:
    db = make_service("db")
    make_service("web", depends_on=[db])
    make_incident(db, at)
    found = cycle(at)
    assert (found.focus_area, found.seen["unwell"]) == (
        "dependency_health",
        [{"service": "db", "health": "critical", "dependents": 1, "unwell_dependents": 0}],
    )


def test_a_cycle_costs_the_same_statements_however_long_the_history_is(at: datetime, outcomes: Outcomes) -> None:
    make_incident(make_service("db"), at)
    cycle(at)
    with CaptureQueriesContext(connection) as few:
        cycle(at + MINUTE)
    outcomes(*[True] * 20)
    entries(300, "run.succeeded", at - 60 * MINUTE)
    for number in range(3, 30):
        cycle(at + number * MINUTE)
    with CaptureQueriesContext(connection) as many:
        cycle(at + 30 * MINUTE)
    assert len(many) == len(few)


# -- the guardrail


def test_too_few_that_held_tighten_and_that_counts_in_decisions(at: datetime, outcomes: Outcomes) -> None:
    outcomes(*[False] * 6, *[True] * 4)
    assert cycle(at).guardrail_adjustment == "tighten"
    assert world(at).level is Level.TIGHTEN
    (changed,) = leaves("guardrail.tightened")
    assert changed["payload"] == {"from": "maintain", "to": "tighten", "reason": "4 of the last 10 outcomes held: fewer than 50%"}


def test_a_storm_tightens(at: datetime) -> None:
    guardrail.standing(at)
    Control.objects.create(pk=1, storm="9 of 12 services are unhealthy", storm_at=at)
    assert cycle(at).guardrail_adjustment == "tighten"


def test_it_loosens_up_to_its_ceiling_only_half_an_hour_later_and_while_it_is_calm(
    at: datetime, outcomes: Outcomes, settings: Any
) -> None:
    settings.SELF_HEAL_GUARDRAIL_CEILING = "loosen"
    settings.META_LOOP_CYCLE_SECONDS = 1200
    outcomes(*[True] * 10)
    said = [cycle(at + minutes * MINUTE).guardrail_adjustment for minutes in (0, 20, 29, 30)]
    assert said == ["maintain", "maintain", "maintain", "loosen"]
    make_incident(make_service("db"), at)
    assert cycle(at + 31 * MINUTE).guardrail_adjustment == "maintain"


def test_oscillation_is_bounded_under_a_square_wave_of_outcomes(at: datetime, outcomes: Outcomes, settings: Any) -> None:
    settings.SELF_HEAL_GUARDRAIL_CEILING = "loosen"
    settings.META_LOOP_CYCLE_SECONDS = 300
    levels = []
    for step in range(48):  # four hours; all that ran in ten minutes held, then nothing, and so on
        moment = at + step * 5 * MINUTE
        outcomes(*[(step // 2) % 2 == 0] * 10, at=moment)
        levels.append(cycle(moment).guardrail_adjustment)
    changes = [(step, one, other) for step, (one, other) in enumerate(pairwise(levels)) if one != other]
    looser = [step for step, one, other in changes if list(Level).index(Level(other)) > list(Level).index(Level(one))]
    assert levels[2] == "tighten"
    assert all(later - earlier >= 6 for earlier, later in pairwise(looser))
    assert len(changes) <= 2 * 48 * 5 / 30 + 1, changes


def test_distress_only_recommends(at: datetime) -> None:
    for name in ("a", "b", "c"):
        make_incident(make_service(name), at)
    found = cycle(at)
    assert found.advice["recommends"] == "tighten"
    assert found.guardrail_adjustment == "maintain"


# -- written once


def test_row_and_entry_say_the_same(at: datetime) -> None:
    found = cycle(at)
    (leaf,) = leaves("cycle.finished")
    assert (leaf["actor"], leaf["resource"], leaf["subsystem"]) == ("meta loop", f"cycle:{found.pk}", "metafocus")
    assert leaf["payload"] == json.loads(json.dumps(Cycle.objects.get().document()))


def test_of_two_cycles_beside_each_other_one_is_written(at: datetime, monkeypatch: Any) -> None:
    observe = loop.observe

    def slowly(moment: datetime, until: float) -> Any:
        monkeypatch.setattr(loop, "observe", observe)
        cycle(moment)
        return observe(moment, until)

    monkeypatch.setattr(loop, "observe", slowly)
    assert loop.cycle(at) is None
    assert len(leaves("cycle.finished")) == Cycle.objects.count() == 1


@pytest.mark.usefixtures("at")
def test_a_slot_has_one_cycle_however_many_beats(time_machine_at: Any) -> None:
    for _ in range(3):
        tasks.cycle()
    assert Cycle.objects.count() == 1
    time_machine_at.shift(timedelta(seconds=120))
    tasks.cycle()
    assert Cycle.objects.count() == 2


def test_while_the_mode_is_off_there_is_no_cycle(settings: Any) -> None:
    settings.SELF_HEAL_EXECUTE = settings.SELF_HEAL_OBSERVE_ONLY = False
    tasks.cycle()
    assert not Cycle.objects.exists()


def test_old_rows_go_and_the_numbers_go_on(at: datetime, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop, "KEPT", 3)
    for number in range(6):
        cycle(at + number * MINUTE)
    assert list(Cycle.objects.values_list("number", flat=True)) == [6, 5, 4]


def test_without_a_meta_loop_nothing_is_missed(at: datetime) -> None:
    Control.objects.create(pk=1, level="tighten", level_at=at - 7 * MINUTE)
    assert world(at).level is Level.MAINTAIN


# -- what it asks for, and what comes of it


@pytest.fixture
def asked(settings: Any, tmp_path: Any, monkeypatch: Any) -> list[tuple[str, ...]]:
    """Prometheus can be asked for `error_rate` and `up`; what is asked of it, one tuple of metrics each time."""
    settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PROMETHEUS_URL = tmp_path, "http://prometheus:9090"
    (tmp_path / "queries.yaml").write_text("q: {promql: up}\n")
    (tmp_path / "signals.yaml").write_text("pull:\n  - {signal: error_rate, query: q}\n  - {signal: up, query: q}\n")
    calls: list[tuple[str, ...]] = []

    def samples_of(lines: Any, faults: list[str], at: datetime) -> Any:
        calls.append(tuple(line.signal for line in lines))
        labels = {"service": "web", "instance": "web"}
        return iter([pulling.Measured(labels, line.signal, 0.0 if line.signal == "error_rate" else 1.0, at) for line in lines])

    monkeypatch.setattr(pulling, "_samples", samples_of)
    return calls


def test_a_spike_samples_errors_more_often_for_five_minutes(asked: list[tuple[str, ...]], at: datetime) -> None:
    make_service("web")
    entries(11, "run.failed", at)
    found = cycle(at)
    assert found.directives["extra_probes"] == [{"metric": "error_rate", "until": (at + 5 * MINUTE).isoformat()}]
    assert [loop.probe(at + seconds * MINUTE / 60) for seconds in (10, 20, 299)] == [1, 1, 1]
    assert loop.probe(at + 5 * MINUTE) == 0
    assert asked == [("error_rate",)] * 3
    assert cycle(at + 6 * MINUTE).came_of["extra_samples"] == 3


def test_probes_last_beyond_the_next_cycle_and_no_longer(asked: list[tuple[str, ...]], at: datetime) -> None:
    entries(11, "run.failed", at - 4 * MINUTE)
    cycle(at)
    calm = cycle(at + 2 * MINUTE)
    assert (calm.focus_area, calm.directives["extra_probes"][0]["metric"]) == ("routine_maintenance", "error_rate")
    assert cycle(at + 5 * MINUTE).directives["extra_probes"] == []


def test_the_beat_of_the_probes_samples_once_a_slot(asked: list[tuple[str, ...]], time_machine_at: Any, at: datetime) -> None:
    make_service("web")
    tasks.probe()
    entries(11, "run.failed", at)
    cycle(at)
    tasks.probe()
    tasks.probe()
    assert len(asked) == 1


def test_priorities_are_the_playbooks_of_the_focus_by_what_was_learnt(at: datetime) -> None:
    from learning.models import Hour

    for name, good in (("flush", 1), ("scale", 9)):
        make_playbook(name, diagnoses=["elevated_errors"])
        counts = {"runs": 10, "runs_succeeded": good}
        Hour.objects.create(hour=at - 60 * MINUTE, playbook=name, service="web", diagnosis="elevated_errors", **counts)
    make_playbook("untried", diagnoses=["elevated_errors", "latency_spike"])
    entries(11, "run.failed", at)
    found = cycle(at).directives
    assert [(each["playbook"], each["at_least"] is None) for each in found["playbook_priorities"]] == [
        ("scale", False), ("flush", False), ("untried", True),
    ]  # fmt: skip
    assert world(at).attention == ("elevated_errors", "service_down")


def test_a_cycle_says_what_came_of_the_last_one(at: datetime, outcomes: Outcomes) -> None:
    incident = make_incident(make_service("db"), at)
    first = cycle(at)
    assert first.came_of is None
    incident.status = "resolved"
    incident.save()
    outcomes(True, False, at=at + MINUTE)
    assert cycle(at + 2 * MINUTE).came_of == {
        "cycle": str(first.pk), "focus_area": "routine_maintenance", "still": True, "distress_before": 50, "distress_after": 0,
        "runs_succeeded": 1, "runs_went_wrong": 1, "extra_samples": 0,
    }  # fmt: skip
