"""The page of a run: target by target, what goes on, who is asked, what is put back, and its replay from the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from healing.admin.grid import grid
from healing.models import PutBack, Run
from healing.transitions import move, record
from selfheal.states import RunStatus, StepStatus
from tests.factories import make_incident, make_request, make_run, make_service, make_step

from .conftest import text_of

pytestmark = pytest.mark.django_db
TARGETS = ["web-01", "web-02", "web-03"]


def address(run: Run, more: str = "change/") -> str:
    return f"/admin/healing/run/{run.pk}/{more}"


@pytest.fixture
def rolling() -> Run:
    """A rolling restart whose first target is back, whose second is being restarted, and whose third has not begun."""
    common = {"with": {}, "timeout_ms": 1000, "retries": {"max": 0, "delay_ms": 0}, "on_fail": "undo", "rollback": None}
    planned = [
        {"id": name, "target": target, kind: what, **common, "confirm": "Go on?" if target == "web-03" else None}
        for target in TARGETS
        for name, kind, what in (("restart", "action", "process.restart"), ("look", "check", "http_health"))
    ]
    batch = {"size": 1, "min_healthy": 2, "max_failures": 0, "settle_ms": 0}
    plan = {"targets": TARGETS, "steps": planned, "batch": batch}
    run = make_run(make_incident(make_service(hosts=3)), status="running", plan=plan, started_at=timezone.now())
    status = [StepStatus.SUCCEEDED, StepStatus.SUCCEEDED, StepStatus.RUNNING, *[StepStatus.PENDING] * 3]
    for n, step in enumerate(planned):
        began = run.started_at if status[n] != StepStatus.PENDING else None
        make_step(run, position=n, name=step["id"], target=step["target"], status=status[n], started_at=began)
    make_step(run, phase="verify", position=0, target="web-01", name="http_health", action="http_health")
    with transaction.atomic():
        for target in TARGETS[:2]:
            record(run, "run.batch", actor="worker", at=timezone.now(), payload={"batch": [target], "healthy": TARGETS})
    return run


def test_a_grid_shows_each_target_with_its_batch_and_how_far_it_is(rolling: Run) -> None:
    found = grid(rolling, rolling.steps.all())
    assert found
    assert found.columns == ["restart", "look", "comes back"]
    assert [(row.target, row.batch, row.cells) for row in found.rows] == [
        ("web-01", 1, ["succeeded", "succeeded", "succeeded"]),
        ("web-02", 2, ["running", "pending", ""]),
        ("web-03", None, ["pending", "pending", ""]),
    ]


def test_a_run_on_one_target_has_no_grid() -> None:
    run = make_run()
    assert grid(run, []) is None


def test_the_page_shows_the_grid_and_is_alive_while_the_run_is(sign_in: Any, rolling: Run) -> None:
    page = text_of(sign_in().get(address(rolling)))
    assert "Target by target" in page
    assert "3 steps have not begun" in page
    assert 'data-live="2"' in page
    Run.objects.filter(pk=rolling.pk).update(status="failed", outcome="failed", finished_at=timezone.now())
    assert "data-live" not in text_of(sign_in().get(address(rolling)))


def test_the_plan_says_before_which_step_a_person_is_asked(sign_in: Any, rolling: Run) -> None:
    page = text_of(sign_in().get(address(rolling)))
    assert "A person is asked first: Go on?" in page
    assert "<strong>http_health</strong> on <strong>web-03</strong>" in page


def test_a_step_that_waits_for_a_person_leads_to_the_question(sign_in: Any, rolling: Run) -> None:
    step = rolling.steps.get(position=2)
    request = make_request(rolling, subject_type="step", subject_id=step.pk, title="Go on? (before restart)")
    page = text_of(sign_in().get(address(rolling)))
    assert f'/admin/healing/approvalrequest/{request.pk}/change/">Go on? (before restart)</a>' in page


def test_what_is_put_back_says_when_with_its_zone(sign_in: Any) -> None:
    run = make_run(status="succeeded")
    due = timezone.now() + timedelta(minutes=15, seconds=30)
    PutBack.objects.create(
        step=make_step(run), service=run.service, target=run.target, action="log_level.set", arguments={}, due_at=due
    )
    page = text_of(sign_in().get(address(run)))
    assert "Put back by itself" in page
    assert f"{due:%H:%M:%S} UTC" in page


def test_the_replay_tells_the_run_from_its_entries_and_what_differs(sign_in: Any) -> None:
    run = make_run(status="queued")
    assert move(run, RunStatus.RUNNING, actor="worker", at=timezone.now(), changes={"started_at": timezone.now()})
    page = text_of(sign_in().get(address(run, "replay/")))
    assert "<strong>run.running</strong>" in page
    assert "differs" in page  # the factory wrote the row without the entries of what came before
    assert "moves from queued to running, and it was (nothing)" in page


def test_the_replay_of_what_the_log_does_not_know_is_no_error_of_the_program(sign_in: Any) -> None:
    assert sign_in().get(address(make_run(), "replay/"), follow=True).status_code == 200


def test_the_last_lines_of_a_step_that_goes_on_are_open_and_all_of_it_can_be_downloaded(sign_in: Any) -> None:
    run = make_run(status="running", started_at=timezone.now())
    text = "".join(f"line {n}\n" for n in range(200))
    step = make_step(run, status="running", stdout=text, stdout_bytes=len(text))
    make_step(run, name="second", stdout="zwei")
    client = sign_in()
    page = text_of(client.get(address(run)))
    assert "line 199" in page
    assert "line 100" not in page
    assert "the last lines" in page
    answer = client.get(address(run, "output/"), {"step": str(step.pk)})
    assert text in answer.content.decode()
    assert "zwei" not in answer.content.decode()
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="{run.pk}-restart.txt"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "zwei" in client.get(address(run, "output/")).content.decode()
    assert client.get(address(run, "output/"), {"step": "no-such"}).status_code == 404


def test_output_is_for_whoever_may_see_the_run(client: Any, sign_in: Any) -> None:
    run = make_run()
    assert client.get(address(run, "output/")).status_code == 302
    stranger = sign_in("nobody")
    stranger.user.groups.clear()
    assert stranger.get(address(run, "output/")).status_code == 403
