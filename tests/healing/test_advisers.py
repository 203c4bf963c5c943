"""Whether advisers answer: told to people and programs, and nothing is less ready without them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from healing import breaker, findings, heartbeats, metrics

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def there(at: datetime) -> None:
    heartbeats.beat("advice-1", heartbeats.ADVICE, at)


def switch_off(name: str, at: datetime) -> None:
    for _ in range(3):
        breaker.failed(name, "it failed: ValueError: no", at)


def off(at: datetime) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text(at).decode())
    (found,) = [family for family in families if family.name == "selfheal_adviser_off"]
    return {sample.labels["adviser"]: sample.value for sample in found.samples}


def test_nothing_that_is_ready_needs_a_worker_for_advice() -> None:
    assert heartbeats.ADVICE not in heartbeats.ROLES


@pytest.mark.usefixtures("there")
def test_an_adviser_that_is_asked_and_on_is_well(at: datetime) -> None:
    found = findings.advisers(at)
    assert (found.ok, found.found) == (True, "forecast is asked")


def test_a_worker_that_is_gone_is_found(at: datetime) -> None:
    found = findings.advisers(at)
    assert (found.ok, found.mend) == (False, "selfheal worker advice (up starts it); SELF_HEAL_FORECASTER= asks none")


def test_where_none_is_asked_no_worker_is_missed(at: datetime, settings: Any) -> None:
    settings.SELF_HEAL_FORECASTER = ""
    assert findings.advisers(at).ok


@pytest.mark.usefixtures("there")
def test_one_that_is_switched_off_is_found_with_its_reason(at: datetime) -> None:
    switch_off("forecast", at)
    found = findings.advisers(at)
    assert (found.ok, found.found) == (
        False, "forecast is switched off until 2026-11-25 12:05:00 UTC: it failed: ValueError: no"
    )  # fmt: skip


def test_the_metric_has_the_one_that_is_asked_and_those_that_are_off(at: datetime) -> None:
    assert off(at) == {"forecast": 0}
    switch_off("seer", at)
    assert off(at) == {"forecast": 0, "seer": 1}
    assert off(at + 6 * MINUTE) == {"forecast": 0, "seer": 1}  # until it has answered on trial


def test_of_two_that_would_try_one_that_was_off_one_may(at: datetime) -> None:
    switch_off("seer", at)
    assert not breaker.begin("seer", at + MINUTE)
    assert [breaker.begin("seer", at + 6 * MINUTE) for _ in range(2)] == [True, False]
    assert breaker.begin("seer", at + 8 * MINUTE)  # whoever tried it is gone
