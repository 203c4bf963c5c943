from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from healing.catalog.windows import save_window
from healing.models import Window
from tests.factories import make_service
from tests.selfheal.windows.texts import event, text

from .conftest import problem

NIGHTS = text(event("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY"))


@pytest.fixture(autouse=True)
def _noon(settings: Any) -> Iterator[None]:
    settings.SELF_HEAL_TIME_ZONE = "Europe/Berlin"
    with time_machine.travel("2026-11-25T12:00:00+01:00", tick=False):
        yield


def stored(**fields: Any) -> Window:
    said = {"name": "Nights", "kind": "window", "calendar": NIGHTS, "time_zone": "Europe/Berlin", "services": [], "impacts": []}
    return save_window(None, said | fields, "agreed", "root", timezone.now())


def test_windows_are_listed_with_how_they_stand_and_what_comes(reader):
    make_service("web")
    stored(services=["web"], impacts=["high"])
    [row] = reader.get("windows").json()["results"]
    assert (row["name"], row["services"], row["impacts"]) == ("Nights", ["web"], ["high"])
    assert row["now"] == "closed, opens 2026-11-25 22:00 Europe/Berlin"
    assert row["openings"][0] == {"start": "2026-11-25T21:00:00Z", "end": "2026-11-26T05:00:00Z"}
    assert len(row["openings"]) == 5


def test_one_that_cannot_be_read_says_why(reader):
    Window.objects.create(name="Torn", kind="freeze", calendar="torn", time_zone="UTC")
    [row] = reader.get("windows", name="Torn").json()["results"]
    assert (row["now"], row["openings"]) == ("closed: it cannot be read", [])
    assert "line 1" in row["problem"]
    state = reader.get("windows/state").json()
    assert (state["inside"], state["openings"]) == (False, [])


def test_the_state_is_that_of_a_service_an_impact_and_a_time(reader):
    make_service("web")
    stored(services=["web"], impacts=["high"])
    found = reader.get("windows/state", service="web", impact="high").json()
    assert (found["inside"], found["opens_at"]) == (False, "2026-11-25T21:00:00Z")
    assert reader.get("windows/state", service="web").json()["inside"] is True
    late = reader.get("windows/state", service="web", impact="high", at="2026-11-25T23:00:00+01:00").json()
    assert (late["inside"], late["window"]) == (True, "window 'Nights' until 2026-11-26 06:00 Europe/Berlin")
    assert late["time_zone"] == "Europe/Berlin"


@pytest.mark.parametrize("query", [{"service": "nowhere"}, {"impact": "huge"}, {"at": "soon"}, {"at": "1066-10-14T09:00:00Z"}])
def test_what_is_asked_wrongly_is_named(reader, query):
    [field] = query
    assert problem(reader.get("windows/state", **query), 400)["field"] == field
