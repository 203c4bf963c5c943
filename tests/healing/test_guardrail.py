"""The guardrail as healing holds it: what was said, what is pinned, and what counts of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from healing import guardrail, scheduler
from healing.admin import health
from healing.governance import world
from healing.models import Channel, LedgerOutbox, Notification, Run, User
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.states import Level
from tests.factories import CONFIGURE, make_incident, make_playbook, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
T, M, L = Level


@pytest.fixture
def root() -> User:
    return make_user("root", CONFIGURE)


def say(level: Level, at: datetime, reason: str = "because") -> None:
    guardrail.say(level, reason, ("service_down",), at)


def actions() -> list[str]:
    return [json.loads(bytes(leaf))["action"] for leaf in LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True)]


def test_without_a_meta_loop_healing_runs_at_normal(at: datetime) -> None:
    assert world(at).level is M


def test_what_the_meta_loop_says_counts_in_decisions(at: datetime) -> None:
    say(T, at)
    now = world(at + MINUTE)
    assert (now.level, now.attention) == (T, ("service_down",))


def test_after_three_missed_cycles_it_is_normal_and_says_why(at: datetime) -> None:
    say(T, at)
    late = guardrail.standing(at + 7 * MINUTE)
    assert (late.level, late.attention) == (M, ())
    assert late.reason == "the meta loop has missed 3 cycles; it spoke last at 12:00:00 UTC"
    assert world(at + 7 * MINUTE).level is M


def test_it_counts_since_when_a_level_is_so_and_only_changes_are_entries(at: datetime) -> None:
    for minute in range(4):
        say(T, at + minute * MINUTE)
    assert guardrail.standing(at + 3 * MINUTE).since == at
    assert actions() == ["guardrail.tightened"]


def test_a_level_that_was_forgotten_begins_anew(at: datetime) -> None:
    say(M, at)
    later = at + 60 * MINUTE
    say(M, later)
    assert guardrail.standing(later).since == later


def test_a_pin_stands_over_the_meta_loop_and_its_ceiling_until_it_is_taken_away(root: User, at: datetime) -> None:
    guardrail.pin("loosen", "a night of tests", root, at)
    say(T, at)
    pinned = guardrail.standing(at + 600 * MINUTE)
    assert (pinned.level, pinned.pinned_by, pinned.reason) == (L, "root", "pinned by root: a night of tests")
    assert guardrail.unpin("done", root, at + MINUTE).level is T
    assert actions() == ["guardrail.pinned", "guardrail.tightened", "guardrail.unpinned"]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda root, at: guardrail.pin("lax", "why", root, at), Invalid, "level: must be one of"),
        (lambda root, at: guardrail.pin("tighten", " ", root, at), Invalid, "reason: says why"),
        (lambda root, at: guardrail.pin("tighten", "a\0b", root, at), Invalid, "reason: says why"),
        (lambda root, at: guardrail.unpin("why", root, at), Conflict, "not pinned"),
        (lambda root, at: guardrail.pin("tighten", "why", make_user("vera"), at), NotAllowed, "role admin"),
    ],
)
def test_a_pin_that_cannot_be_says_why(root: User, at: datetime, call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call(root, at)
    assert actions() == []


def ended(at: datetime, minutes: int, **fields: Any) -> Run:
    return make_run(make_incident(make_service(f"s{minutes}"), at), at=at, finished_at=at - minutes * MINUTE, **fields)


def test_outcomes_count_once_judged_and_what_says_nothing_of_playbooks_is_left_out(at: datetime) -> None:
    ended(at, 1, status="succeeded", held=None)
    ended(at, 2, status="succeeded", held=True)
    ended(at, 3, status="succeeded", held=False)
    ended(at, 4, status="failed")
    ended(at, 5, status="rolled_back", abort_reason="operator")
    ended(at, 6, status="aborted", abort_reason="kill_switch")
    ended(at, 7, status="aborted", abort_reason="timeout")
    ended(at, 8, status="aborted", abort_reason="policy")
    ended(at, 9, status="rejected", started_at=None)
    ended(at, 25 * 60, status="failed")
    assert guardrail.last_outcomes(at) == [True, False, False, False]


def test_only_ten_outcomes_are_read_by_their_index(at: datetime) -> None:
    run = ended(at, 1, status="failed")
    for minutes in range(2, 16):
        ended(at, minutes, status="succeeded", held=True)
    assert guardrail.last_outcomes(at) == [False] + [True] * 9
    if connection.vendor == "sqlite":
        plan = (
            Run.objects.filter(started_at__isnull=False, finished_at__gt=run.created_at).order_by("-finished_at")[:10].explain()
        )
        assert "run_by_end" in plan


def test_what_the_meta_loop_has_its_eye_on_is_looked_at_first(at: datetime) -> None:
    make_playbook()
    for name, diagnosis, minutes in (("web", "latency_spike", 9), ("shop", "service_down", 5), ("db", "latency_spike", 3)):
        make_incident(make_service(name), at, diagnosis=diagnosis, opened_at=at - minutes * MINUTE, next_look_at=at)
    say(M, at)
    due = scheduler._take(at, 10)
    assert [each.service.name for each in scheduler.Look(due, at).due] == ["shop", "web", "db"]


@pytest.mark.parametrize(
    ("minutes", "ok", "said"), [(0, True, "strict: because"), (7, False, "normal: the meta loop has missed")]
)
def test_the_health_page_says_when_the_meta_loop_is_silent(at: datetime, minutes: int, ok: bool, said: str) -> None:
    say(T, at)
    (found,) = [each for each in health.governance(at + minutes * MINUTE) if each.what == "guardrail"]
    assert (found.ok, found.found.startswith(said)) == (ok, True)


def test_whoever_listens_hears_that_it_is_tighter_and_looser_again(at: datetime, settings: Any) -> None:
    Channel.objects.create(name="on call", kind="apprise", url="json://localhost")
    say(T, at)
    say(T, at + MINUTE)
    say(M, at + 2 * MINUTE)
    told = list(Notification.objects.order_by("created_at").values_list("event", "title"))
    assert told == [
        ("guardrail.tightened", "Guardrail tightened: normal → strict"),
        ("guardrail.loosened", "Guardrail loosened: strict → normal"),
    ]
