"""Calm: what flaps is damped, and services that need each other are one trouble with a probable root."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import scheduler
from healing.models import Counter, Incident, LedgerOutbox, Run
from healing.runs import abort
from selfheal.correlation import WAIT
from selfheal.flapping import QUIET

from .conftest import House

MINUTE = timedelta(minutes=1)
PLAYBOOK = """
playbook: mend
title: Mend it
domain: host
diagnoses: [service_down, general_degradation]
impact: low
reversible: false
steps:
  - {id: only, action: noop, timeout: 5s, rollback: none}
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 1s, every: 200ms}
"""


@pytest.fixture
def shop(house: House) -> House:
    """web needs api, api and jobs need db; one playbook that fits all of them, and one for each trouble that it can be."""
    for path in house.playbooks.glob("*.yaml"):
        path.unlink()
    needs = {"db": [], "api": ["db"], "jobs": ["db"], "web": ["api"], "wiki": []}
    house.declare(**{name: {"mode": "auto", "url": f"http://{name}.internal", "depends_on": on} for name, on in needs.items()})
    house.playbook("mend", PLAYBOOK)
    return house


def incident(service: str) -> Incident:
    return Incident.objects.select_related("part_of").get(service__name=service)


def proposed() -> list[str]:
    return sorted(Run.objects.values_list("service__name", flat=True))


def down(house: House, *names: str) -> datetime:
    for name in names:
        house.alert("InstanceDown", name)
    at = timezone.now()
    scheduler.look(at)
    return at


# ---- what belongs together


def test_dependents_are_parts_of_the_root_which_is_looked_at_first(shop: House) -> None:
    at = down(shop, "web", "api", "wiki", "db")
    assert proposed() == ["db", "wiki"]
    root = incident("db")
    for name in ("web", "api"):
        part = incident(name)
        assert (part.part_of, part.status, part.why["skip"]) == (root, "open", "part_of")
        assert f"part of the trouble of db (incident {root.pk}), which is healed first; by itself from" in part.why["reason"]
        assert part.next_look_at == at + MINUTE
        assert part.timeline.filter(action="incident.correlated").count() == 1
    assert incident("wiki").part_of is None
    assert "2 further incidents are its parts: api, web" in root.timeline.get(action="incident.root").reason
    leaf = next(row for row in map(bytes, LedgerOutbox.objects.values_list("leaf", flat=True)) if b'"incident.correlated"' in row)
    assert {item["service"] for item in json.loads(leaf)["payload"]["incidents"]} == {"web", "api"}
    assert Counter.objects.get(service="web", name="skipped_part_of").value == 1


def test_the_same_is_not_written_again_with_the_next_look(shop: House) -> None:
    at = down(shop, "web", "db")
    scheduler.look(at + MINUTE)
    assert incident("web").timeline.filter(action="incident.correlated").count() == 1
    assert proposed() == ["db"]


def test_a_part_is_looked_at_by_itself_when_its_root_is_over(shop: House) -> None:
    at = down(shop, "web", "db")
    root = incident("db")
    shop.alert("InstanceDown", "db", status="resolved", starts=root.episodes.get().starts_at)
    scheduler.look(at + MINUTE)
    assert proposed() == ["db", "web"]


def test_a_part_waits_for_no_root_that_nobody_heals(shop: House) -> None:
    at = down(shop, "web", "db")
    abort(Run.objects.get().pk, "otto", "not now", at)
    scheduler.look(at + MINUTE)
    assert proposed() == ["db", "web"]


def test_a_part_waits_a_bounded_time(shop: House, settings: Any) -> None:
    shop.declare(db={"mode": "ask"})
    at = down(shop, "web", "db")
    opened = incident("web").opened_at
    for minutes in range(1, 15):
        scheduler.look(at + minutes * MINUTE)
        assert proposed() == ["db"]
    assert incident("web").next_look_at == opened + WAIT
    scheduler.look(opened + WAIT)
    assert proposed() == ["db", "web"]


def test_a_root_that_shows_itself_later_takes_over_what_was_found_before(shop: House) -> None:
    shop.declare(api={"mode": "ask"})
    down(shop, "web", "api")
    assert incident("web").part_of == incident("api")
    down(shop, "db")
    assert {incident("web").part_of, incident("api").part_of} == {incident("db")}


def test_what_was_opened_long_before_is_another_trouble(shop: House) -> None:
    down(shop, "db")
    Incident.objects.update(opened_at=timezone.now() - 6 * MINUTE)
    down(shop, "web")
    assert incident("web").part_of is None
    assert proposed() == ["db", "web"]


def test_a_root_that_nobody_complains_of_needs_a_person_and_ends_with_its_parts(shop: House) -> None:
    at = down(shop, "api", "jobs")
    root = incident("db")
    assert (root.source, root.diagnosis, root.status) == ("agentic_spine", "general_degradation", "open")
    assert root.title == "db is the probable root: 2 services that depend on it are unwell (api, jobs)"
    assert not root.episodes.exists()
    run = Run.objects.get()
    assert (run.service.name, run.trigger, run.status) == ("db", "agentic_spine", "pending")
    assert "no alert of its own is firing" in run.decision["why"]
    assert incident("api").why["skip"] == "part_of"
    for name in ("api", "jobs"):
        shop.alert("InstanceDown", name, status="resolved", starts=incident(name).episodes.get().starts_at)
    scheduler.look(at + MINUTE)
    run.refresh_from_db()
    assert (incident("db").status, run.status, run.abort_reason) == ("resolved", "aborted", "superseded")


def test_two_schedulers_open_such_a_root_once(shop: House) -> None:
    at = down(shop, "api", "jobs")
    Incident.objects.exclude(service__name="db").update(next_look_at=at, part_of=None)
    scheduler.look(at)
    assert Incident.objects.filter(service__name="db").count() == 1
    assert incident("api").part_of == incident("db")


def test_a_graph_that_cannot_be_read_keeps_nobody_from_being_healed(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healing.correlation.correlate", lambda *_: 1 / 0)
    down(shop, "web", "db")
    assert proposed() == ["db", "web"]


# ---- what flaps


def flaps(house: House, times: int, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert comes and goes, every four minutes."""
    for n in range(times, 0, -1):
        at = now - 4 * n * MINUTE
        monkeypatch.setattr(timezone, "now", lambda at=at: at)
        starts = at - MINUTE
        house.alert("InstanceDown", "wiki", starts=starts)
        monkeypatch.setattr(timezone, "now", lambda at=at: at + MINUTE)
        house.alert("InstanceDown", "wiki", starts=starts, status="resolved")
    monkeypatch.setattr(timezone, "now", lambda: now)


def test_a_place_that_flaps_is_one_incident_and_nothing_is_proposed_until_it_is_quiet(
    shop: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    flaps(shop, 3, now, monkeypatch)
    assert Incident.objects.count() == 3
    for _ in range(2):
        starts = timezone.now() - timedelta(seconds=1)
        shop.alert("InstanceDown", "wiki", starts=starts)
        assert Incident.objects.count() == 3
        shop.alert("InstanceDown", "wiki", starts=starts, status="resolved")
        now += 2 * MINUTE
        monkeypatch.setattr(timezone, "now", lambda now=now: now)
    shop.alert("InstanceDown", "wiki", starts=now)
    scheduler.look(now)
    same = Incident.objects.get(status="open")
    assert not Run.objects.exists()
    assert same.why["skip"] == "flapping"
    assert "it flaps: 11 changes since" in same.why["reason"]
    assert same.next_look_at == now + QUIET
    assert [line.reason for line in same.timeline.filter(action="incident.open", actor="scheduler")] == [
        "it flaps: the same trouble again"
    ] * 3
    scheduler.look(now + QUIET)  # it still fires: now it is healed
    assert Run.objects.get().incident == same


def test_a_place_that_comes_back_now_and_then_does_not_flap(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    flaps(shop, 2, now, monkeypatch)
    shop.alert("InstanceDown", "wiki", starts=now)
    scheduler.look(now)
    assert Incident.objects.count() == 3
    assert Run.objects.count() == 1
