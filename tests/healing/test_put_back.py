"""What was changed for a while is put back: by the real action, over a real server, in a real launcher."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from healing import tasks
from healing.actions import ACTIONS
from healing.governance import set_kill_switch
from healing.models import LedgerOutbox, PutBack
from healing.runs import put_back, starting, steps, undoing
from selfheal.places import Place
from selfheal.states import StepStatus
from tests.factories import make_incident, make_run, make_service, make_step
from tests.healing.actions.conftest import server

__all__ = ["server"]
pytestmark = pytest.mark.django_db

SET = ACTIONS["log_level.set"]
MINUTES = timedelta(minutes=1)


@pytest.fixture
def web(server):
    return make_service(url=server.url)


@pytest.fixture
def temporary(web, server):
    """A run with one step that sets a level for 15 minutes, and the lease of its worker."""

    def made(at=None, **given):
        at = at or timezone.now()
        incident = make_incident(web, at, diagnosis=f"d{make_run.__module__}{PutBack.objects.count()}"[:60])
        run = make_run(incident, status="queued", at=at, deadline_at=at + 10 * MINUTES)
        run.__class__.objects.filter(pk=run.pk).update(status="running", lease_token=1, lease_expires_at=at + MINUTES)
        run.refresh_from_db()
        frozen = SET.freeze(
            {"level": "DEBUG", **given}, Place("web", "web", labels={"log_level_url": f"{server.url}/control/log_level"})
        )
        step = make_step(run, action="log_level.set", arguments=frozen, status="pending", attempt=0, bound_seconds=60.0)
        return step, starting.Lease(run.pk, "worker test", 1, False)

    return made


@pytest.fixture
def run_step(temporary):
    """The step as the runner does it; returns its row of what is put back."""

    def ran(at=None, **given):
        step, lease = temporary(at, **given)
        steps.begin(step, lease, timezone.now())
        steps.end(step, steps.perform(step.run, step, lambda: ""), lease)
        type(step.run).objects.filter(pk=step.run_id).update(status="failed")
        return PutBack.objects.get(step=step)

    return ran


def level(server):
    return server.state["log_level/ROOT"]["configuredLevel"]


def said():
    return [
        leaf["action"]
        for leaf in map(json.loads, LedgerOutbox.objects.order_by("pk").values_list("leaf", flat=True))
        if "put_back" in leaf["action"]
    ]


def test_the_intent_stands_before_the_step_is_done_with_the_normal_level(temporary, at):
    step, lease = temporary(at)
    steps.begin(step, lease, at)
    row = PutBack.objects.get(step=step)
    assert (row.arguments["level"], row.due_at, row.action) == ("INFO", at + 16 * MINUTES, "log_level.set")
    assert said() == ["put_back.intended"]


def test_what_was_found_takes_the_place_of_the_normal_level_and_the_time_counts_from_the_end(run_step, server):
    row = run_step()
    assert level(server) == "DEBUG"
    assert row.arguments["level"] == "WARN"
    assert row.due_at == row.step.finished_at + 15 * MINUTES


def test_nothing_is_put_back_before_its_time(run_step, server):
    row = run_step()
    assert put_back.look(row.due_at - MINUTES) == 0
    assert not put_back.perform(row.pk, row.due_at - MINUTES)
    assert level(server) == "DEBUG"


def test_it_is_put_back_when_it_is_due_once(run_step, server):
    row = run_step()
    assert put_back.perform(row.pk, row.due_at)
    assert not put_back.perform(row.pk, row.due_at)
    row.refresh_from_db()
    assert (level(server), row.due_at, row.attempts) == ("WARN", None, 1)
    assert row.done_at is not None
    assert said() == ["put_back.intended", "put_back.done"]


def test_the_watchdog_sends_what_is_due_to_the_workers_for_runs(run_step, monkeypatch, settings):
    row, sent = run_step(), []
    monkeypatch.setattr(tasks.put_back, "apply_async", lambda args, **_: sent.append(args[0]))
    assert put_back.look(row.due_at) == 1
    assert sent == [str(row.pk)]
    assert settings.CELERY_TASK_ROUTES["healing.tasks.put_back"] == {"queue": "runs"}


def test_a_step_whose_worker_died_is_put_back_to_the_normal_level(temporary, server, at):
    step, lease = temporary(at)
    steps.begin(step, lease, at)
    server.state["log_level/ROOT"]["configuredLevel"] = "DEBUG"  # it had come so far
    row = PutBack.objects.get(step=step)
    assert put_back.perform(row.pk, row.due_at)
    assert level(server) == "INFO"


def test_a_step_that_failed_before_it_changed_anything_needs_nothing_put_back(run_step, server):
    del server.state["log_level/ROOT"]
    row = run_step()
    assert (row.due_at, row.done_at, row.message) == (None, None, "the step changed nothing")


def test_a_step_that_failed_after_it_changed_something_is_put_back(run_step, server):
    server.deaf.add("log_level/ROOT")
    row = run_step()
    assert row.step.status == StepStatus.FAILED
    assert (row.arguments["level"], row.due_at is None) == ("WARN", False)


def test_a_second_change_takes_over_what_the_first_would_put_back(run_step, server):
    first, second = run_step(), run_step(ttl="2m")
    first.refresh_from_db()
    assert (first.due_at, first.message) == (None, f"taken over by run {second.step.run_id}")
    assert second.arguments["level"] == "WARN"
    assert second.due_at > second.step.finished_at + 14 * MINUTES  # as long as the first wanted it
    put_back.perform(second.pk, second.due_at)
    assert level(server) == "WARN"


def test_another_logger_is_another_thing(run_step, server):
    server.state["log_level/com.acme"] = {"configuredLevel": "ERROR"}
    first, second = run_step(), run_step(logger="com.acme")
    first.refresh_from_db()
    assert first.due_at is not None
    assert second.arguments["level"] == "ERROR"


def test_what_its_run_has_undone_is_not_put_back_once_more(run_step, server):
    row = run_step()
    undo = make_step(row.step.run, phase="rollback", position=row.step.position, action="log_level.set", arguments=row.arguments)
    put_back.settle(undo, timezone.now())
    row.refresh_from_db()
    assert (row.due_at, row.message) == (None, "undone by its run")


def test_what_a_run_has_undone_is_put_back_to_what_was_before_an_earlier_change_that_it_took_over(run_step, server):
    run_step()
    second = run_step(ttl="2m")
    before = SET.undo(second.step.arguments, second.step.result)
    undo = make_step(second.step.run, phase="rollback", position=second.step.position, action="log_level.set", arguments=before)
    put_back.settle(undo, timezone.now())
    second.refresh_from_db()
    assert (before["level"], second.arguments["level"]) == ("DEBUG", "WARN")
    assert put_back.perform(second.pk, second.due_at)
    assert level(server) == "WARN"


def test_one_that_fails_is_tried_again_later_each_time_and_then_given_up(run_step, server):
    row = run_step()
    server.deaf.add("log_level/ROOT")
    waits = []
    for _ in range(put_back.MAX_ATTEMPTS):
        due = row.due_at
        assert not put_back.perform(row.pk, due)
        row.refresh_from_db()
        waits.append(row.due_at and (row.due_at - timezone.now()).total_seconds())
    assert waits[-1] is None
    assert waits[:-1] == sorted(waits[:-1])
    assert row.attempts == put_back.MAX_ATTEMPTS
    assert said() == ["put_back.intended", "put_back.failed"]


def test_a_worker_that_dies_while_it_puts_back_leaves_it_to_be_done(run_step, server):
    row = run_step()
    claimed = put_back._claim(row.pk, row.due_at)
    assert put_back._claim(row.pk, row.due_at) is None
    assert put_back.perform(row.pk, claimed.due_at)
    assert level(server) == "WARN"


@pytest.mark.parametrize(("state", "after"), [("pause", "WARN"), ("kill", "DEBUG")])
def test_a_pause_lets_it_be_put_back_and_a_kill_holds_it(run_step, server, state, after):
    row = run_step()
    set_kill_switch(state, "trying", "ann", timezone.now())
    put_back.perform(row.pk, row.due_at)
    assert level(server) == after


def test_what_a_kill_held_is_put_back_once_it_is_released(run_step, server):
    row = run_step()
    set_kill_switch("kill", "trying", "ann", timezone.now())
    assert put_back.look(row.due_at) == 0
    set_kill_switch("off", "over", "ann", timezone.now())
    assert put_back.perform(row.pk, row.due_at + 60 * MINUTES)
    assert level(server) == "WARN"


def test_a_step_that_lasts_writes_down_nothing(web):
    step = make_step(make_run(make_incident(web)), action="noop", arguments={})
    put_back.intend(step, timezone.now())
    put_back.settle(step, timezone.now())
    assert not PutBack.objects.exists()


@pytest.mark.parametrize(
    ("status", "result", "level"),
    [("failed", {}, None), ("timed_out", {}, None), ("failed", {"before": "WARN"}, "WARN"), ("unknown", {}, "INFO")],
)
def test_the_undo_of_its_run_is_for_a_step_that_may_have_changed_something(temporary, status, result, level):
    step, _ = temporary()
    step.status, step.result = status, result
    arguments = undoing._undo_arguments(step, {"own": True, "action": "log_level.set", "timeout_ms": 1000})
    assert (arguments and arguments["level"]) == level
