"""From outcomes to the next choice: what did not help is tried less, as soon as the log has told of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from healing.ledger import keys
from healing.ledger.sequencer import sequence_once
from healing.models import Backoff, Run
from healing.runs.watchdog import take_care
from learning.follow import follow
from learning.models import Weight
from selfheal.choices import drawn_again
from selfheal.ranking import HALF_LIFE

from .conftest import House

USELESS = """
playbook: a-prayer
title: Do nothing, and hope
domain: host
diagnoses: [service_down]
impact: low
reversible: false
timeout: 1m
steps:
  - {id: only, action: noop, timeout: 5s, rollback: none}
verify:
  - {check: process_up, within: 0s, every: 100ms}
"""


def learn() -> None:
    sequence_once(keys.load(), timezone.now())
    while follow():
        continue


def die(little: Any) -> None:
    little.signal(signal.SIGKILL)
    little.child.wait()


def candidate(run: Run, playbook: str) -> dict[str, Any]:
    return next(row for row in run.decision["choice"]["candidates"] if row["playbook"] == playbook)


def test_what_failed_and_what_held_is_believed_at_the_next_choice(house: House, work: Callable[..., Run], settings: Any) -> None:
    settings.SELF_HEAL_DUPLICATE_WINDOW_MIN = 0
    house.playbook("a-prayer", USELESS)
    shop = house.service("shop")
    die(shop)
    starts = timezone.now() - timedelta(minutes=1)
    house.alert("InstanceDown", "shop", starts=starts)
    house.look()
    first = work(Run.objects.get())
    assert (first.playbook.name, first.outcome) == ("a-prayer", "failed")
    learn()
    Backoff.objects.all().delete()
    house.look()
    second = work(Run.objects.latest("created_at"))
    assert (second.playbook.name, second.outcome) == ("restart-process", "success")
    aged = 0.5 ** ((timezone.now() - first.created_at) / HALF_LIFE)
    assert aged - 0.000001 <= float(candidate(second, "a-prayer")["seen"]["service"]) <= 1
    house.alert("InstanceDown", "shop", status="resolved", starts=starts)
    take_care(timezone.now() + timedelta(minutes=20))
    learn()
    assert {(row.playbook, row.failed > 0, row.succeeded > 0) for row in Weight.objects.filter(service="shop")} == {
        ("a-prayer", True, False),
        ("restart-process", False, True),
    }
    choice = second.decision["choice"]
    assert drawn_again(choice) == {row["playbook"]: row["sample"] for row in choice["candidates"]}
