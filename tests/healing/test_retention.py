"""What steps wrote is taken away when it is old, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import retention
from healing.models import Step
from healing.signals.receiving import kept
from tests.factories import make_run, make_step

pytestmark = pytest.mark.django_db
AT = timezone.now()


def step(days: int, **fields: Any) -> Step:
    values = {"finished_at": AT - timedelta(days=days), "stdout": "it did", "stdout_bytes": 6, "message": "exit code 0"}
    return make_step(make_run(), status="succeeded", **values | fields)


@pytest.fixture
def days(settings: Any) -> int:
    settings.SELF_HEAL_KEEP_OUTPUT_DAYS = 30
    return 30


def test_an_output_is_taken_away_when_it_is_too_old(days: int) -> None:
    old = step(days + 1)
    assert retention.prune(AT) == 1
    old.refresh_from_db()
    assert (old.stdout, old.stdout_bytes, old.message, old.status) == ("", 6, "exit code 0", "succeeded")


def test_an_output_that_is_not_too_old_stays(days: int) -> None:
    young = step(days - 1)
    assert retention.prune(AT) == 0
    young.refresh_from_db()
    assert young.stdout == "it did"


def test_what_is_gone_is_not_found_again(days: int) -> None:
    step(days + 1)
    assert [retention.prune(AT), retention.prune(AT)] == [1, 0]


@pytest.mark.parametrize(
    ("text", "size", "finished_at", "gone"),
    [
        ("", 6, AT - timedelta(days=31), True),
        ("", 6, AT - timedelta(days=29), False),  # somebody else emptied it
        ("", 0, AT - timedelta(days=31), False),
        ("it did", 6, AT - timedelta(days=31), False),
        ("", 6, None, False),
    ],
)
def test_an_output_is_gone_where_it_was_written_and_is_old(
    text: str, size: int, finished_at: datetime | None, gone: bool, days: int
) -> None:
    assert retention.is_gone(text, size, finished_at, AT) is gone


def test_samples_are_kept_as_long_as_the_setting_says_and_no_less_than_checks_look_back(settings: Any) -> None:
    settings.SELF_HEAL_KEEP_SIGNALS_HOURS = 48
    assert kept() == timedelta(hours=48)
    settings.SELF_HEAL_KEEP_SIGNALS_HOURS = 1
    assert kept() >= timedelta(hours=1)
