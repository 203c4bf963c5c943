"""SIGKILL at seeded points of a run: gather, steps, verification, rollback, between batches. What must hold, holds (I1 to I7).

The worker is a forked child on a real database. It dies before its n-th statement, which is every point at which something has
just been written down, or is about to be. Then another worker takes over, and may die as well.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from healing import approvals, catalog, intake, scheduler
from healing.ledger import keys, sequencer
from healing.ledger.replay import replay_run
from healing.ledger.verify import verify_database
from healing.models import ApprovalRequest, LedgerEntry, Run, User
from healing.runs import runner, starting
from healing.runs.watchdog import look_after
from selfheal.canonical import digest
from selfheal.states import OUTCOME_OF, StepStatus
from tests.factories import APPROVE, make_user

pytestmark = pytest.mark.usefixtures("real_database", "sent")
POINTS = 6  # runs of each playbook, with one or two kills in each
SINGLE = """
playbook: append-and-undo
title: It does not help and is undone
domain: host
diagnoses: [service_down]
impact: low
reversible: true
timeout: 5m
gather:
  found: {check: command, command: "true"}
steps:
  - {id: first, action: command.run, with: {command: append, args: {what: first, on: "${target.name}"}}, timeout: 20s,
     rollback: {action: command.run, with: {command: append, args: {what: undone, on: "${target.name}"}}, timeout: 20s}}
  - {id: pause, action: wait, with: {duration: 1ms}, timeout: 20s, rollback: none}
  - {id: last, action: command.run, with: {command: append, args: {what: last, on: "${target.name}"}}, timeout: 9s,
     rollback: none}
verify:
  - {check: command, command: "false", within: 0s, every: 100ms}
"""
ROLLING = """
playbook: append-everywhere
title: One target after the other
domain: host
diagnoses: [latency_spike]
impact: low
reversible: true
targets: service
batch: {size: 1, min_healthy: 1}
timeout: 5m
symptom:
  - {check: command, command: "false"}
steps:
  - {id: first, action: command.run, with: {command: append, args: {what: first, on: "${target.name}"}}, timeout: 9s,
     rollback: none}
verify:
  - {check: command, command: "true", within: 1s, every: 100ms}
"""
NEVER = "0001-01-01T00:00:00Z"
ALERTS = {"append-and-undo": "InstanceDown", "append-everywhere": "HighLatency"}
SERVICES = {name: [f"{name}-{n}" for n in range(POINTS + 1)] for name in ALERTS}


@pytest.fixture
def marks(tmp_path: Path, settings: Any) -> Path:
    """The file that each start of a command appends a line to. One service for each point, so that none knows of another."""
    settings.SELF_HEAL_HOME, settings.SELF_HEAL_CONFIG_DIR = tmp_path, tmp_path
    settings.SELF_HEAL_PLAYBOOK_DIRS, settings.SELF_HEAL_STORM_MIN_SERVICES = [tmp_path / "playbooks"], 1_000
    path, text = tmp_path / "marks", {"type": "string", "pattern": "^[a-z0-9-]{1,60}$"}
    append = ["/bin/sh", "-c", f'echo "$1 $2" >> {path}', "append", "${args.what}", "${args.on}"]
    commands = {
        "append": {"argv": append, "args": {"what": text, "on": text}, "sandbox": False},
        "true": {"argv": ["/bin/true"], "sandbox": False},
        "false": {"argv": ["/bin/false"], "sandbox": False},
    }
    (tmp_path / "commands.yaml").write_text(json.dumps(commands))
    hosts = {name: [f"{name}-{host}" for host in "ab"] for name in SERVICES["append-everywhere"]}
    services = [
        {"name": name, "mode": "ask", "targets": {"hosts": hosts[name]} if name in hosts else {}}
        for names in SERVICES.values()
        for name in names
    ]
    (tmp_path / "services.yaml").write_text(json.dumps({"map": [], "services": services}))
    (tmp_path / "playbooks").mkdir()
    for name, playbook in (("single", SINGLE), ("rolling", ROLLING)):
        (tmp_path / "playbooks" / f"{name}.yaml").write_text(playbook)
    report = catalog.sync(tmp_path, [tmp_path / "playbooks"], actor="test", at=timezone.now())
    assert not report.errors, report.errors
    make_user("ann", APPROVE)
    return path


def approved(playbook: str, service: str) -> Run:
    """A run that a person has approved and that waits for a worker."""
    at = timezone.now()
    labels = {"alertname": ALERTS[playbook], "service": service, "instance": f"{service}-a"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": at.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
    }
    intake.receive(json.dumps({"version": "4", "alerts": [alert]}).encode(), actor="am", at=at)
    scheduler.look(at)
    run = Run.objects.get(service__name=service)
    request = ApprovalRequest.objects.get(subject_id=run.pk)
    approvals.approve(request.pk, User.objects.get(username="ann"), "", "test", at)
    return run


def worker(run: Run, die_at: int) -> int:
    """A forked worker that claims the run and works on it until its `die_at`-th statement (0: to the end); how many there were.

    Returns when it is dead and nothing that it had started is left (I6): each fork of it holds an end of a pipe.
    """
    connection.close()
    life, held = os.pipe()
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(life)
            statements = _counting(die_at)
            lease = starting.claim(run.pk, f"worker {os.getpid()}")
            if lease:
                runner.execute(lease)
            else:
                os.write(2, f"{run.pk} was not to be had\n".encode())
            os.write(tell, str(statements()).encode())
        except BaseException:  # noqa: BLE001 — it is told below, and the process ends
            os.write(2, traceback.format_exc().encode())  # what a forked child raises is seen nowhere else
        finally:
            os._exit(0)
    os.close(held)
    os.close(tell)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    assert select.select([life], [], [], 60)[0], "something that the worker had forked goes on"
    count = os.read(told, 20)
    os.close(life)
    os.close(told)
    return int(count or 0)


def _counting(die_at: int) -> Callable[[], int]:
    count = 0

    def counted(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(*arguments)

    connection.execute_wrappers.append(counted)
    return lambda: count


def finish(run: Run, deaths: list[int]) -> Run:
    """Workers until the run is over: each of `deaths` dies at its statement, those after them do not; then comes the watchdog."""
    for die_at in [*deaths, 0, 0]:
        worker(run, die_at)
        run = Run.objects.select_related("service", "incident").get(pk=run.pk)
        if run.status in OUTCOME_OF:
            return run
        Run.objects.filter(pk=run.pk, lease_expires_at__isnull=False).update(
            lease_expires_at=timezone.now() - timedelta(seconds=1)
        )
    look_after(timezone.now() + timedelta(seconds=25))
    return Run.objects.select_related("service", "incident").get(pk=run.pk)


def check(run: Run, marks: Path) -> None:
    assert run.incident
    assert run.incident.status == ("resolved" if run.status == "succeeded" else "open")  # I1
    lines = Counter(marks.read_text().splitlines() if marks.exists() else [])
    assert set(lines.values()) <= {1}, lines  # I2: no line is of two runs
    assert run.status in OUTCOME_OF  # I3
    assert run.finished_at
    assert run.deadline_at
    assert run.finished_at <= run.deadline_at + timedelta(seconds=30)
    request = ApprovalRequest.objects.get(subject_id=run.pk)
    assert request.used_at == run.started_at  # I5
    assert run.digest == request.digest == digest(run.plan)  # I7
    for step in run.steps.filter(action="command.run"):
        what = "undone" if step.phase == "rollback" else step.name
        times = lines[f"{what} {step.target}"]
        ended = step.finished_at is not None  # else nobody knows whether it ran, also once it was undone
        assert times == 1 if ended and step.status in (StepStatus.SUCCEEDED, StepStatus.ROLLED_BACK) else times <= 1
        assert times == 0 or step.status != StepStatus.PENDING


@pytest.mark.parametrize("playbook", list(ALERTS))
def test_whenever_its_worker_is_killed_the_invariants_hold(playbook: str, marks: Path) -> None:
    chance = random.Random(f"kills of {playbook}")
    whole, *others = SERVICES[playbook]
    statements = worker(approved(playbook, whole), 0)
    check(Run.objects.select_related("service", "incident").get(service__name=whole), marks)
    for service in others:
        deaths = sorted(chance.sample(range(1, statements), chance.choice((1, 2))))
        run = finish(approved(playbook, service), deaths)
        check(run, marks)
    assert not [process for process in psutil.process_iter(["cmdline"]) if str(marks) in " ".join(process.info["cmdline"] or ())]
    sequencer.sequence_once(keys.load(), timezone.now())
    assert verify_database(lambda size: None).ok  # I4
    for run in Run.objects.all():
        found = replay_run(run.pk)
        assert found.agrees, [*found.story.faults, *map(str, found.differences)]
    assert LedgerEntry.objects.filter(action="approval.used").count() == len(SERVICES[playbook])
