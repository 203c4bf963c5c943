"""Many schedulers at once, and clocks that jump: each thing is proposed once, and what is counted is right."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from healing import scheduler, tasks
from healing.models import ApprovalRequest, Counter, Incident, JobRun, Run, Service
from healing.runs import abort
from tests.flows.conftest import House

# A server takes a hundred connections: half of them are not wanted beside other fifty, nor beside the processes of `selfheal up`.
pytestmark = pytest.mark.xdist_group("up")
TICKS = 50
HOURS = timedelta(hours=5)
PLAYBOOK = """
playbook: mend
title: Mend it
domain: host
diagnoses: [service_down]
impact: {impact}
reversible: false
steps:
  - {{id: only, action: noop, timeout: 5s, rollback: none}}
verify:
  - {{check: http_health, url: "${{target.url}}/healthz", expect: {{status: 200}}, within: 1s, every: 200ms}}
"""


def furnish(house: House, *names: str, impact: str = "high", mode: str = "auto") -> None:
    for path in house.playbooks.glob("*.yaml"):
        path.unlink()
    house.declare(**{name: {"mode": mode, "url": f"http://{name}.internal"} for name in names})
    house.playbook("mend", PLAYBOOK.format(impact=impact))


def counted(name: str, service: str = "") -> int:
    return sum(Counter.objects.filter(name=name, service=service).values_list("value", flat=True))


def at_once(tick: Callable[[], Any]) -> None:
    """TICKS threads that begin together, each with a connection that it has already."""
    gate, errors, connections = threading.Barrier(TICKS), [], []

    def run() -> None:
        try:
            connection.ensure_connection()
            connections.append(connection.connection)
            gate.wait()
            tick()
        except Exception as error:  # noqa: BLE001
            gate.abort()
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(TICKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({id(each) for each in connections}) == TICKS


def test_fifty_ticks_at_once_propose_each_thing_once(real_database: None, house: House) -> None:
    names = [f"web-{n}" for n in range(20)]
    furnish(house, *names)
    for name in names:
        house.alert("InstanceDown", name)
    at = timezone.now()

    def tick() -> None:
        while scheduler.look(at, 1):  # one each time: nobody has all of them
            pass

    at_once(tick)
    assert sorted(Run.objects.values_list("service__name", flat=True)) == sorted(names)
    assert ApprovalRequest.objects.filter(status="pending").count() == len(names)
    assert counted("proposed") == len(names)
    assert counted("proposed", "web-7") == 1
    assert not Incident.objects.exclude(why__skip="").exists()


def test_fifty_schedulers_whose_leases_ran_out_propose_what_all_of_them_hold_once(
    real_database: None, house: House, monkeypatch: Any
) -> None:
    monkeypatch.setattr(scheduler, "LOOK_LEASE", timedelta(milliseconds=1))
    furnish(house, "web")
    house.alert("InstanceDown", "web")
    at, together = timezone.now(), threading.Barrier(TICKS, timeout=60)
    moments = [at + timedelta(milliseconds=2 * n) for n in range(TICKS)]
    held = [(moment, scheduler._take(moment, 1)) for moment in moments]

    def tick() -> None:
        moment, due = held.pop()
        look = scheduler.Look(due, moment)
        together.wait()
        look.take_up(look.due[0])
        scheduler.write_skips(look.skips, look.tally, moment)

    at_once(tick)
    assert Run.objects.count() == ApprovalRequest.objects.count() == counted("proposed") == 1
    told = Incident.objects.get().timeline.filter(action="incident.skipped").count()
    assert told == counted("skipped_dup") <= 1, "only the last who took it may say why it was passed over"


def test_a_slot_of_the_tick_is_taken_once_and_written_down(house: House, at: datetime, monkeypatch: Any) -> None:
    furnish(house, "web")
    monkeypatch.setattr("healing.tasks.timezone.now", lambda: at)
    looks: list[datetime] = []
    monkeypatch.setattr(scheduler, "look", lambda at: looks.append(at) or 0)
    tasks.tick()
    tasks.tick()
    assert looks == [at]
    row = JobRun.objects.get(pk="tick")
    assert (row.started_at, row.error) == (at, "")
    assert row.seconds is not None


def test_a_tick_that_failed_says_why(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr(scheduler, "look", lambda at: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tasks.tick()
    assert "ZeroDivisionError" in JobRun.objects.get(pk="tick").error


@pytest.mark.parametrize("jumps", [(HOURS, -HOURS), (-HOURS, HOURS), (HOURS, HOURS * 2, timedelta())])
def test_a_clock_that_jumps_proposes_nothing_twice(house: House, jumps: tuple[timedelta, ...]) -> None:
    furnish(house, "web")
    house.alert("InstanceDown", "web")
    at = timezone.now()
    scheduler.look(at)
    for jump in jumps:
        Incident.objects.update(next_look_at=at + jump)  # whoever asks for it
        scheduler.look(at + jump)
    assert Run.objects.count() == 1
    abort(Run.objects.get().pk, "otto", "not now", at)
    for jump in (timedelta(), -HOURS, timedelta(minutes=1), -HOURS):
        Incident.objects.update(next_look_at=at + jump)
        scheduler.look(at + jump)
    assert Run.objects.count() == 1
    assert Incident.objects.get().why["skip"] == "dup"


def test_what_a_clock_put_far_into_the_future_is_due_when_the_clock_is_right_again(house: House, monkeypatch: Any) -> None:
    furnish(house, "web", impact="low")
    house.declare(other={"mode": "auto"})
    house.alert("HighLatency", "other")
    at = timezone.now()
    for moment in (at + HOURS, at):
        monkeypatch.setattr("healing.tasks.timezone.now", lambda moment=moment: moment)
        tasks.tick()
        incident = Incident.objects.get()
        assert incident.why["skip"] == "no_playbook"
        assert incident.next_look_at == moment + scheduler.NO_PLAYBOOK_AGAIN


def test_who_dies_with_a_look_leaves_it_to_the_next_a_minute_later(house: House) -> None:
    furnish(house, "web")
    house.alert("InstanceDown", "web")
    at = timezone.now()
    assert len(scheduler._take(at, 10)) == 1  # and dies
    assert scheduler.look(at + timedelta(seconds=59)) == 0
    assert scheduler.look(at + timedelta(seconds=61)) == 1
    assert Run.objects.count() == 1


def test_a_look_without_time_gives_back_what_is_left(house: House, monkeypatch: Any) -> None:
    furnish(house, "web", "api")
    house.alert("InstanceDown", "web")
    house.alert("InstanceDown", "api")
    at = timezone.now()
    monkeypatch.setattr(scheduler, "SECONDS", -1)
    assert scheduler.look(at) == scheduler.BATCH
    monkeypatch.undo()
    assert not Run.objects.exists()
    assert scheduler.look(at) == 2
    assert Run.objects.count() == 2


def test_what_somebody_asked_for_during_a_look_is_looked_at_again(house: House) -> None:
    furnish(house)
    house.declare(web={"mode": "auto"})
    house.alert("InstanceDown", "web")
    at = timezone.now()
    (taken,) = scheduler._take(at, 1)
    Incident.objects.update(next_look_at=at)  # a run of it has ended
    look = scheduler.Look([taken], at)
    look.take_up(look.due[0])
    scheduler.write_skips(look.skips, look.tally, at)
    incident = Incident.objects.get()
    assert (incident.next_look_at, incident.why["skip"]) == (at, "no_playbook")


def test_the_rate_is_kept_by_many_troubles_of_one_target_at_once(house: House) -> None:
    furnish(house, "web")
    house.playbook("mend", PLAYBOOK.format(impact="high").replace("[service_down]", "[a, b, c, d, e]"))
    for name in "abcde":
        house.alert("Odd", "web", diagnosis=name)
    house.look()
    assert Run.objects.count() == 3
    assert counted("skipped_rate", "web") == 2
    why = Incident.objects.filter(why__skip="rate").first().why  # type: ignore[union-attr]
    assert "3 proposals in the last hour, the limit is 3" in why["reason"]
    assert why["next_look_at"]


def test_a_service_that_is_not_declared_any_more_says_so(house: House) -> None:
    furnish(house, "web")
    house.alert("InstanceDown", "web")
    Service.objects.update(active=False)
    house.look()
    assert Incident.objects.get().why["skip"] == "not_declared"
    assert counted("skipped_unmapped") == 1


def test_a_skip_is_counted_when_it_begins_and_not_with_each_look(house: House) -> None:
    furnish(house)
    house.declare(web={"mode": "auto"})
    house.alert("InstanceDown", "web")
    at = timezone.now()
    for n in range(4):
        scheduler.look(at + n * timedelta(minutes=6))
    assert counted("skipped_no_playbook", "web") == counted("skipped_no_playbook") == 1
    assert Incident.objects.get().timeline.filter(action="incident.skipped").count() == 1


def test_what_mode_storm_and_window_keep_from_starting_is_counted_as_proposed_too(house: House, settings: Any) -> None:
    day = f"{timezone.now() + timedelta(days=3):%a}"
    settings.SELF_HEAL_CHANGE_WINDOW = f"{day}-{day} 03:00-03:01"
    settings.SELF_HEAL_STORM_MIN_SERVICES = 1
    furnish(house, "web", mode="observe")
    house.alert("InstanceDown", "web")
    house.look()
    names = ("proposed", "skipped_mode", "skipped_storm", "skipped_window", "skipped_dup")
    assert [counted(name, "web") for name in names] == [1, 1, 1, 1, 0]
