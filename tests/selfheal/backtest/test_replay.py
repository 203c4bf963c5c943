"""Small histories, and what would have become of each alert in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from selfheal import mapping
from selfheal.alerts import Alert, PlainAlert, from_plain
from selfheal.backtest import Declared, Limits, Listed, Stands, declared_by, difference, replay, report
from selfheal.playbooks import PlaybookDocument, Vocabulary
from selfheal.services import parse_service
from selfheal.states import Impact, Level
from selfheal.trust import Standing
from selfheal.windows import WeeklyIn, parse_weekly

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday, inside the window


class Anything:
    """An action, or a check, that takes what it is given."""

    impact = Impact.LOW

    def __init__(self, name: str) -> None:
        self.name = name

    def freeze(self, given: Any, place: Any) -> dict[str, Any]:
        return dict(given)


VOCABULARY = Vocabulary({"restart": Anything("restart")}, {"health": Anything("health")})  # type: ignore[dict-item]


def playbook(name: str, *, diagnosis: str = "service_down", impact: str = "low", **fields: Any) -> Listed:
    steps = [{"id": "restart", "action": "restart", "rollback": "none"}]
    said = {"playbook": name, "title": name, "domain": "host", "diagnoses": [diagnosis], "impact": impact, "steps": steps}
    document = PlaybookDocument.of({**said, "verify": [{"check": "health"}], **fields})
    return Listed(document, 1, impact)


def declared(*playbooks: Listed, services: int = 3, mode: str = "auto", depends: str = "", **more: Any) -> Declared:
    specs = [
        parse_service({"name": f"s{n}", "url": f"http://s{n}", "mode": mode, "depends_on": [depends] if depends and n else []})
        for n in range(services)
    ]
    return declared_by(specs, more.pop("rules", []), playbooks or (playbook("restart"),), VOCABULARY, **more)


def alert(begin: float = 0, end: float | None = 30, service: str = "s0", name: str = "ServiceDown", **labels: str) -> Alert:
    """From minute `begin` to minute `end`."""
    ends_at = None if end is None else AT + timedelta(minutes=end)
    said = {"alertname": name, "service": service, **labels}
    status: Any = "firing" if end is None else "resolved"
    return from_plain(PlainAlert(labels=said, starts_at=AT + timedelta(minutes=begin), ends_at=ends_at, status=status), AT)


def said(world: Declared, *alerts: Alert, limits: Limits | None = None) -> list[str]:
    told = replay(alerts, world, limits or Limits())
    return [f"{each.verdict} {each.skip or each.rule}".strip() for each in told]


@pytest.mark.parametrize(
    ("world", "alerts", "expected"),
    [
        (declared(), [alert()], ["auto"]),
        (declared(mode="observe"), [alert()], ["auto"]),
        (declared(mode="ask"), [alert()], ["approval service_mode"]),
        (declared(), [alert(service="none")], ["unmatched"]),
        (declared(), [alert(name="Watchdog")], ["sign_of_life"]),
        (declared(), [alert(name="DiskFull")], ["skipped no_playbook"]),
        (declared(playbook("a", when="incident.severity == 'low'")), [alert()], ["skipped no_playbook"]),
        (declared(playbook("a", when="incident.severity == 'low'")), [alert(severity="info")], ["auto"]),
        (declared(playbook("a", gather={"seen": {"check": "health"}})), [alert()], ["skipped not_known"]),
        (declared(playbook("a", impact="high")), [alert()], ["approval impact"]),
        (declared(playbook("a", impact="medium")), [alert()], ["approval earned_autonomy"]),
        (declared(playbook("b", impact="medium"), playbook("c")), [alert()], ["auto"]),
        (declared(services=5, depends="s0"), [alert()], ["approval blast_radius"]),
        (declared(playbook("a", diagnosis="general_degradation")), [alert(name="Odd")], ["approval confidence"]),
        (declared(), [alert(), alert(1, instance="x")], ["auto", "joined"]),
        (declared(), [alert(0, 5), alert(5, 9, instance="x")], ["auto", "skipped backoff"]),
        (declared(), [alert(0, 5), alert(8, 12)], ["auto", "auto"]),
        (declared(), [alert(0, 1), alert(25, 26), alert(50, 51)], ["auto", "auto", "auto"]),
        (declared(), [alert(0, 1), alert(17, 18), alert(34, 35), alert(51, 52)], ["auto"] * 3 + ["skipped rate"]),
        (declared(), [alert(0, 1), alert(17, 18), alert(34, 35), alert(51, None)], ["auto"] * 4),
        (declared(), [alert(0, 0)], ["auto"]),
        (declared(), [alert(n / 10, 60, f"s{n}") for n in range(2)], ["auto", "auto"]),
    ],
)
def test_each_alert_has_one_outcome(world: Declared, alerts: list[Alert], expected: list[str]) -> None:
    assert said(world, *alerts) == expected


def test_who_waits_is_looked_at_again_and_proposed_for_then() -> None:
    told = replay([alert(0, 1), alert(2, 60)], declared(), Limits())
    assert [each.verdict for each in told] == ["auto", "auto"]
    assert told[1].decided_at == AT + timedelta(minutes=10)


def test_the_wait_grows_while_it_comes_back_and_is_over_when_it_stays_away() -> None:
    limits = Limits(per_hour=100)
    told = replay([alert(0, 1), alert(2, 11), alert(12, 90), alert(120, 130)], declared(), limits)
    assert [each.decided_at for each in told] == [AT + timedelta(minutes=n) for n in (0, 10, 30, 120)]


def test_a_storm_asks_about_all_that_began_at_the_same_time() -> None:
    world = declared(services=12)
    told = replay([alert(0, 30, f"s{n}") for n in range(6)], world, Limits())
    assert {each.rule for each in told} == {"storm"}
    assert {each.rule for each in replay([alert(n * 6, n * 6 + 5, f"s{n}") for n in range(6)], world, Limits())} == {""}


def test_a_map_and_a_record_count() -> None:
    rules = [mapping.Rule({"alertname": "Odd"}, "s1", diagnosis="service_down")]
    records = {("service_down", "restart"): Stands(Standing(streak=6), 6, 6)}
    world = declared(playbook("restart", impact="medium"), rules=rules, records=records)
    (told,) = replay([alert(name="Odd", service="")], world, Limits())
    assert (told.verdict, told.service, told.playbook) == ("auto", "s1", "restart")


def test_outside_of_the_window_medium_impact_is_asked_about_or_waits() -> None:
    closed = Limits(window=WeeklyIn(parse_weekly("Sun-Sun 09:00-10:00"), ZoneInfo("UTC")))
    granted = {("service_down", "a"): Stands(Standing(granted_until=AT + timedelta(days=9)))}
    asked = declared(playbook("a", impact="medium"), records=granted)
    waits = declared(playbook("a", impact="medium", outside_window="wait"), records=granted)
    assert said(asked, alert(), limits=closed) == ["approval change_window"]
    assert said(waits, alert(), limits=closed) == ["defer change_window"]


def test_another_policy_is_compared_alert_by_alert() -> None:
    alerts = [alert(), alert(service="s1"), alert(name="DiskFull", service="s2")]
    before = replay(alerts, declared(), Limits())
    after = replay(alerts, declared(), Limits(level=Level.TIGHTEN, autoapprove_low_risk=False))
    changes = difference(before, after)
    assert {(c["service"], c["before"], c["after"]) for c in changes} == {("s0", "auto", "approval"), ("s1", "auto", "approval")}
    assert difference(before, before) == []


def test_the_report_counts_every_alert_once() -> None:
    alerts = [
        alert(0, 3, severity="critical"),
        alert(-720, -660, "s1", severity="page"),
        alert(service="none"),
        alert(1, 2, "none"),
        alert(name="DiskFull"),
    ]
    found = report(replay(alerts, declared(), Limits()), ZoneInfo("UTC"))
    assert sum(found["verdicts"].values()) == found["alerts"] == 5
    assert found["verdicts"]["auto"] == 2
    assert found["skips"] == {"no_playbook": 1}
    assert found["brief"] == {"within_seconds": 300, "alerts": 2, "auto": 1, "approval": 0}
    assert found["night"] == {"hours": [22, 7], "pages": 1, "auto": 1}
    (line,) = found["unmatched"]
    assert (line["alerts"], line["alertname"]) == (2, "ServiceDown")
    assert line["suggestion"].startswith("- {match: {")
    assert {row["name"]: row["alerts"] for row in found["by_service"]} == {"s0": 2, "s1": 1}


def test_nothing_at_all_is_a_report_too() -> None:
    found = report(replay([], declared(), Limits()), ZoneInfo("UTC"))
    assert (found["alerts"], found["from"], found["reasons"]) == (0, None, [])


def test_the_order_of_the_input_does_not_matter() -> None:
    alerts = [alert(n, n + 7, f"s{n % 3}", instance=str(n % 5)) for n in range(60)]
    world = declared()
    assert replay(alerts, world, Limits()) == replay(alerts[::-1], world, Limits())


def test_ten_thousand_alerts_are_no_trouble() -> None:
    alerts = [alert(n * 3, n * 3 + n % 50, f"s{n % 100}", instance=f"h{n % 10}") for n in range(10_000)]
    assert len(replay(alerts, declared(services=100), Limits())) == 10_000


def test_a_changed_limit_changes_nothing_else() -> None:
    limits = Limits()
    alerts = [alert(0, 1), alert(2, 60)]
    assert said(declared(), *alerts, limits=replace(limits, backoff_base=timedelta(0))) == ["auto", "auto"]
