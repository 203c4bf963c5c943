"""The page of a run goes on by itself, and leaves alone what a person has unfolded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from healing.admin.runs import RunAdmin
from healing.models import Run
from tests.factories import make_run, make_step


def test_a_run_goes_on_on_the_page_and_what_was_unfolded_stays_so(
    desk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = RunAdmin.live_page
    monkeypatch.setattr(RunAdmin, "live_page", lambda self, run: min(usual(self, run), 1))  # 0 once it is over, as always
    run = make_run(status="running", started_at=timezone.now())
    text = "a line of output\n" * 60
    times = {"started_at": timezone.now(), "finished_at": timezone.now()}
    step = make_step(run, status="succeeded", stdout=text, stdout_bytes=len(text), **times)
    page = desk("ann", "operator")
    page.goto(f"/admin/healing/run/{run.pk}/change/")
    page.click("summary:has-text('stdout')")
    type(step).objects.filter(pk=step.pk).update(status="failed", message="exit code 3", finished_at=timezone.now())
    page.wait_for_selector("text=exit code 3")
    assert page.locator("details.sh-output[open]").count() == 1
    Run.objects.filter(pk=run.pk).update(status="failed", outcome="failed", reason="it broke", finished_at=timezone.now())
    page.wait_for_selector("text=it broke")
    page.wait_for_selector("[data-live]", state="detached")
