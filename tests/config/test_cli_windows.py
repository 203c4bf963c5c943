from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from config.cli import run
from healing.catalog.windows import save_window
from tests.selfheal.windows.texts import event, text

pytestmark = pytest.mark.django_db
NIGHTS = text(event("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY"))


@pytest.fixture(autouse=True)
def _noon(settings: Any) -> Iterator[None]:
    settings.SELF_HEAL_TIME_ZONE = "Europe/Berlin"
    with time_machine.travel("2026-11-25T12:00:00+01:00", tick=False):
        yield


@pytest.fixture
def nights() -> None:
    said = {"name": "Nights", "kind": "window", "calendar": NIGHTS, "time_zone": "Europe/Berlin", "services": [], "impacts": []}
    save_window(None, said, "agreed", "root", timezone.now())


def test_the_list_says_how_each_stands(nights: None, capsys: Any) -> None:
    assert run(["windows", "list", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["now"] == "closed, opens 2026-11-25 22:00 Europe/Berlin"
    assert run(["windows", "list"]) == 0
    assert "Nights" in capsys.readouterr().out


def test_without_a_calendar_the_list_says_what_holds(capsys: Any) -> None:
    assert run(["windows", "list"]) == 0
    assert "SELF_HEAL_CHANGE_WINDOW holds" in capsys.readouterr().out


def test_next_lists_five_openings_and_names_the_zone(nights: None, capsys: Any) -> None:
    assert run(["windows", "next", "--impact", "high"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("closed: window 'Nights', opens 2026-11-25 22:00 Europe/Berlin")
    assert "2026-11-25 22:00 Europe/Berlin  2026-11-26 06:00 Europe/Berlin" in out
    assert len(out.splitlines()) == 8


def test_show_prints_the_calendar(nights: None, capsys: Any) -> None:
    assert run(["windows", "show", "Nights"]) == 0
    assert "RRULE:FREQ=DAILY" in capsys.readouterr().out
    assert run(["windows", "show", "Days"]) == 1
    assert "there is no window or freeze 'Days'" in capsys.readouterr().err


def test_check_is_status_1_outside(nights: None, capsys: Any) -> None:
    assert run(["windows", "check", "--at", "2026-11-25T23:00:00+01:00"]) == 0
    assert run(["windows", "check"]) == 1
    assert "opens   2026-11-25 22:00 Europe/Berlin" in capsys.readouterr().out
    assert run(["windows", "check", "--at", "soon"]) == 1
    assert "is a time like" in capsys.readouterr().err


def test_lint_tells_the_next_opening_or_each_fault_with_its_line(tmp_path: Path, capsys: Any) -> None:
    sound, torn = tmp_path / "nights.ics", tmp_path / "torn.ics"
    sound.write_text(NIGHTS)
    torn.write_text(NIGHTS.replace("DAILY", "SECONDLY"))
    assert run(["windows", "lint", str(sound)]) == 0
    assert capsys.readouterr().out == "nights: window, closed, opens 2026-11-25 22:00 Europe/Berlin\n"
    assert run(["windows", "lint", str(sound), str(torn)]) == 1
    assert f"{torn}:8:1: FREQ=SECONDLY is refused" in capsys.readouterr().err
    assert run(["windows", "lint", str(torn), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["errors"]) == 1
