"""`selfheal backtest`: alerts of the past, as it is and with another policy; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.cli import run
from healing.models import Control, Incident, MapRule, Run, UnmatchedAlert
from tests.factories import make_service

Command = Callable[..., tuple[int, str, str]]
POSTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "alertmanager" / "posts.json"
SERVICES = """
map:
  - {match: {alertname: Odd}, service: web, diagnosis: service_down}
services:
  - {name: web, url: "http://web", labels: {unit: web.service}}
"""


@pytest.fixture
def backtest(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "250")

    def carry_out(*arguments: object) -> tuple[int, str, str]:
        status = run(["backtest", *map(str, arguments)])
        return status, *capsys.readouterr()

    return carry_out


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Alerts, and services."""
    said = {"status": "resolved", "starts_at": "2026-11-24T03:00:00Z", "ends_at": "2026-11-24T03:30:00Z", "severity": "critical"}
    lines: list[dict[str, Any]] = [
        {**said, "labels": {"alertname": "ServiceDown", "service": "web"}},
        {**said, "labels": {"alertname": "Odd"}, "starts_at": "2026-11-24T05:00:00Z", "ends_at": "2026-11-24T05:03:00Z"},
        {**said, "labels": {"alertname": "Lost", "instance": "x:9100"}},
    ]
    alerts, services = tmp_path / "alerts.jsonl", tmp_path / "services.yaml"
    alerts.write_text("\n".join(map(json.dumps, lines)))
    services.write_text(SERVICES)
    return alerts, services


def test_without_a_database_it_says_what_would_have_become_of_each(backtest: Command, files: tuple[Path, Path]) -> None:
    alerts, services = files
    status, out, _ = backtest("--alerts", alerts, "--services", services)
    assert status == 0
    assert "3 alerts from 2026-11-24 03:00 to 2026-11-24 05:03" in out
    assert "1 services are only observed today" in out
    assert '- {match: {alertname: "Lost"' in out
    found = json.loads(backtest("--alerts", alerts, "--services", services, "--json")[1])
    assert (found["now"]["verdicts"]["auto"], found["now"]["verdicts"]["unmatched"]) == (2, 1)
    assert found["now"]["night"] == {"hours": [22, 7], "pages": 3, "auto": 2}
    assert found["now"]["brief"]["auto"] == 1


def test_another_policy_stands_beside_it_with_the_decisions_that_differ(backtest: Command, files: tuple[Path, Path]) -> None:
    line = ("--alerts", files[0], "--services", files[1], "--set", "SELF_HEAL_AUTOAPPROVE_LOW_RISK=false")
    status, out, _ = backtest(*line)
    assert status == 0
    assert "SELF_HEAL_AUTOAPPROVE_LOW_RISK is false: a person decides everything" in out
    found = json.loads(backtest(*line, "--json")[1])
    assert [(each["alertname"], each["before"], each["after"]) for each in found["difference"]] == [
        ("ServiceDown", "auto", "approval"),
        ("Odd", "auto", "approval"),
    ]
    same = json.loads(backtest("--alerts", files[0], "--services", files[1], "--level", "maintain", "--json")[1])
    assert same["difference"] == []


@pytest.mark.django_db
def test_with_the_database_nothing_is_written(backtest: Command, files: tuple[Path, Path]) -> None:
    make_service()
    MapRule.objects.create(position=0, match={"alertname": "Lost"}, service="web")
    status, out, err = backtest("--alerts", files[0], "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["now"]["verdicts"]["unmatched"] == 1
    for model in (Incident, Run, UnmatchedAlert, Control):
        assert not model.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "name one of the two"),
        (("--alerts", "x", "--prometheus", "http://x"), 2, "name one of the two"),
        (("--alerts", "nowhere.json", "--services", "SERVICES"), 1, "No such file"),
        (("--alerts", "SERVICES", "--services", "SERVICES"), 1, "is neither JSON nor JSON lines"),
        (("--alerts", "ALERTS", "--services", "ALERTS"), 1, "ALERTS:2:1: is no YAML"),
        (("--alerts", "ALERTS", "--services", "SERVICES", "--set", "SELF_HEAL_PORT=1"), 2, "does not enter a backtest"),
        (("--alerts", "ALERTS", "--services", "SERVICES", "--set", "SELF_HEAL_STORM_PERCENT=x"), 2, "must be a whole number"),
        (("--alerts", "ALERTS", "--services", "SERVICES", "--level", "wild"), 2, "must be one of"),
        (("--prometheus", "http://127.0.0.1:1", "--services", "SERVICES"), 1, "Connection refused"),
        (("--prometheus", "http://127.0.0.1:1", "--services", "SERVICES", "--step", "soon"), 2, "like 15s"),
        (("--prometheus", "http://127.0.0.1:1", "--services", "SERVICES", "--days", "9999"), 1, "--days: is from 1 to 366"),
    ],
)
def test_what_is_wrong_is_said(
    backtest: Command, files: tuple[Path, Path], arguments: tuple[str, ...], status: int, says: str
) -> None:
    known = {"ALERTS": str(files[0]), "SERVICES": str(files[1])}
    found, out, err = backtest(*(known.get(each, each) for each in arguments))
    assert found == status
    assert says.replace("ALERTS", known["ALERTS"]) in " ".join(err.replace("│", " ").split()), out + err


@pytest.mark.skipif(not POSTS.exists(), reason="the shared data is not here")
def test_what_a_real_alertmanager_posted_is_read(backtest: Command, files: tuple[Path, Path]) -> None:
    found = json.loads(backtest("--alerts", POSTS, "--services", files[1], "--json")[1])
    assert found["now"]["alerts"] == 4
    assert found["now"]["unmatched"][0]["reason"] == "service 'api' is not declared"
