"""Why nothing happened: a table of what is stored, and the one answer that it gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from selfheal.whynot import SKIPS, IncidentFacts, Kind, RunFacts, of_incident, of_nothing, of_sign_of_life, of_unmatched

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
SINCE, NEXT, EXPIRES = AT - timedelta(minutes=4), AT + timedelta(minutes=3), AT + timedelta(minutes=50)
INCIDENT = IncidentFacts("web", "service_down", "open", AT - timedelta(minutes=9), next_look_at=NEXT)
DENIED = (
    {"rule": "kill_switch", "verdict": "auto", "reason": "the kill switch is off"},
    {"rule": "service_mode", "verdict": "deny", "reason": "web is only observed: nothing runs"},
    {"rule": "impact", "verdict": "approval", "reason": "high impact always needs approval"},
)


def run(status: str, **fields: Any) -> RunFacts:
    return RunFacts("restart-process", status, fields.pop("reason", ""), SINCE, **fields)


def skip(name: str, reason: str = "because") -> dict[str, Any]:
    return {"skip": name, "reason": reason, "since": SINCE.isoformat()}


@pytest.mark.parametrize(
    ("changes", "kind", "headline"),
    [
        ({}, Kind.NOT_LOOKED, "Nobody has looked at it yet"),
        ({"last": skip("backoff")}, Kind.SKIP, "It waits before it is proposed again"),
        ({"last": skip("silenced")}, Kind.SILENCE, "It is silenced"),
        ({"last": skip("no_playbook", "no playbook for service_down")}, Kind.NO_PLAYBOOK, "No playbook is for service_down"),
        ({"last": skip("no_playbook", "x: when")}, Kind.NO_PLAYBOOK, "No playbook for service_down applies"),
        ({"last": skip("flapping")}, Kind.SKIP, "It comes and goes"),
        ({"last": skip("something_new", "the moon is full")}, Kind.SKIP, "The moon is full"),
        ({"last": skip("something_new", "")}, Kind.SKIP, "Something new"),
        ({"run": run("pending", until=EXPIRES)}, Kind.PERSON, "restart-process waits for a person"),
        ({"run": run("deferred", until=EXPIRES)}, Kind.WINDOW, "restart-process waits for the change window"),
        ({"run": run("queued")}, Kind.START, "restart-process waits to start"),
        ({"run": run("rolling_back")}, Kind.RUNNING, "restart-process is rolling back"),
        ({"run": run("failed", started=True), "last": skip("backoff")}, Kind.FAILED, "restart-process did not help: failed"),
        ({"run": run("succeeded", started=True)}, Kind.FAILED, "restart-process succeeded, and the alert still fires"),
        ({"run": run("rejected"), "last": skip("dup")}, Kind.REJECTED, "A person rejected restart-process"),
        ({"run": run("aborted"), "last": skip("dup")}, Kind.SKIP, "restart-process did not start"),
        ({"run": run("failed", started=True), "last": skip("kill_switch")}, Kind.SKIP, "The kill switch is on"),
        ({"status": "ack", "has_it": "ann"}, Kind.HAS_IT, "ann has it: nothing is proposed meanwhile"),
        ({"status": "ack"}, Kind.HAS_IT, "Somebody has it: nothing is proposed meanwhile"),
        ({"declared": False, "last": skip("dup")}, Kind.SKIP, "web is not declared any more"),
        ({"status": "resolved"}, Kind.OVER, "It is over (resolved); nothing was proposed for it"),
        ({"status": "closed", "run": run("failed")}, Kind.OVER, "It is over (closed); restart-process: failed"),
        ({"status": "resolved", "run": run("succeeded")}, Kind.HEALED, "Healed by restart-process"),
        (
            {"status": "resolved", "run": run("succeeded", held=True)},
            Kind.HEALED,
            "Healed by restart-process, and it stayed away",
        ),
        ({"status": "resolved", "run": run("succeeded", held=False)}, Kind.HEALED, "Healed by restart-process, but it came back"),
    ],
)
def test_what_is_stored_gives_one_answer(changes: dict[str, Any], kind: Kind, headline: str) -> None:
    why = of_incident(replace(INCIDENT, **changes))
    assert (why.kind, why.headline) == (kind, headline)


@pytest.mark.parametrize("status", ["pending", "deferred", "queued"])
def test_a_run_that_waits_says_that_its_incident_was_silenced_meanwhile(status: str) -> None:
    waiting = run(status, why="high impact", reason="high impact", silenced="silenced by ann until 14:00")
    detail = of_incident(replace(INCIDENT, run=waiting)).detail
    assert detail == "high impact; meanwhile silenced by ann until 14:00"


@pytest.mark.parametrize("last", [None, skip("dup"), skip("backoff"), skip("rate")])
def test_a_refusal_of_policy_is_not_hidden_by_the_wait_that_follows_it(last: dict[str, Any] | None) -> None:
    refused = run("aborted", verdict="deny", why="web is only observed: nothing runs", rules=DENIED)
    why = of_incident(replace(INCIDENT, run=refused, last=last))
    assert (why.kind, why.rule) == (Kind.RULE, "service_mode")
    assert why.headline == "web is only observed: nothing runs"
    assert "ask or auto" in why.todo
    assert (why.since, why.next_look_at) == (SINCE, NEXT)


def test_it_says_since_when_and_when_it_is_looked_at_next() -> None:
    why = of_incident(replace(INCIDENT, last=skip("rate", "3 proposals in the last hour, the limit is 3")))
    assert (why.since, why.next_look_at, why.detail) == (SINCE, NEXT, "3 proposals in the last hour, the limit is 3")
    asked = of_incident(replace(INCIDENT, run=run("pending", until=EXPIRES, why="high impact")))
    assert (asked.since, asked.next_look_at, asked.detail) == (SINCE, EXPIRES, "high impact")


@pytest.mark.parametrize("name", SKIPS)
def test_every_skip_says_what_a_person_can_do(name: str) -> None:
    changes: dict[str, Any] = {"last": skip(name)}
    assert of_incident(replace(INCIDENT, **changes)).todo


def test_an_alert_without_a_service_says_which_line_would_match() -> None:
    why = of_unmatched("DiskFull", "no service lists host 'db-07'", "- match: {…}", SINCE, firing=False)
    assert (why.missing, why.since) == ("mapping", SINCE)
    assert "- match: {…}" in why.todo
    assert "not firing any more" in why.detail


def test_what_never_came_says_since_when_we_listen() -> None:
    why = of_nothing("DiskFull", SINCE, AT)
    assert (why.kind, why.since, why.headline) == (Kind.NEVER, SINCE, "No alert named DiskFull came in")
    assert "2026-11-25 12:00 UTC" in why.detail
    assert "no alert at all" in of_nothing("DiskFull", None).detail


def test_watchdog_is_no_trouble() -> None:
    assert of_sign_of_life("Watchdog", SINCE).kind is Kind.SIGN_OF_LIFE
