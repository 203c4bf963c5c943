"""Beats and workers that turn the loop at the same moment, on real connections: one cycle at a time, one finding a trouble."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection

from healing.models import Incident, LedgerOutbox
from metafocus import loop
from metafocus.models import Cycle, Finding
from metafocus.sources import SOURCES, running
from selfheal.sources import Candidate
from selfheal.states import Trigger
from tests.factories import make_incident, make_service

pytestmark = pytest.mark.usefixtures("real_database")
SIDES = 6


def at_once(call: Callable[[int], object]) -> None:
    """From threads that start together."""
    gate, errors = threading.Barrier(SIDES), []

    def turn(side: int) -> None:
        try:
            gate.wait()
            call(side)
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=turn, args=(side,)) for side in range(SIDES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_cycles_beside_each_other_follow_one_another_and_each_has_one_entry(at: datetime) -> None:
    db = make_service("db")
    make_incident(make_service("web", depends_on=[db]), at)
    for turn in range(3):
        at_once(lambda side, turn=turn: loop.cycle(at + timedelta(seconds=60 * turn + side)))
    numbers = list(Cycle.objects.order_by("number").values_list("number", flat=True))
    leaves = [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)]
    written = sorted(leaf["payload"]["number"] for leaf in leaves if leaf["action"] == "cycle.finished")
    assert numbers == list(range(1, len(numbers) + 1)) == written
    assert len(numbers) >= 3


def test_a_trouble_that_several_find_at_once_is_one_finding_and_one_incident(at: datetime) -> None:
    make_service("web")
    source, seen = SOURCES[Trigger.IMMUTABLE_LOG], Candidate("web", "", "service_down", 0.8, "seen")
    at_once(lambda side: running.take(source, [seen], at))
    assert (Finding.objects.count(), Incident.objects.count()) == (1, 1)
    assert Finding.objects.get().incident == Incident.objects.get()


def test_the_limit_of_an_hour_holds_when_several_open_at_once(at: datetime) -> None:
    for side in range(SIDES):
        make_service(f"s{side}")
    source = SOURCES[Trigger.IMMUTABLE_LOG]
    at_once(lambda side: running.take(source, [Candidate(f"s{side}", "", "service_down", 0.8, "seen")], at))
    assert Incident.objects.count() == 5
