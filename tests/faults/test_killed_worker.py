"""Real processes: `selfheal up`, a step that runs, and SIGKILL to the worker that runs it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from config.demo.installation import Installation, LittleService, wait_for
from config.demo.storage import database
from config.demo.story import OVER, alertmanager_body

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed")]

PLAYBOOK = """
playbook: slow-fix-of-DIAGNOSIS
title: A fix that takes long
domain: host
diagnoses: [DIAGNOSIS]
impact: low
reversible: false
timeout: 2m
steps:
  - {id: slow, action: command.run, with: {command: slow, args: {on: "${target.name}"}}, timeout: 60s, rollback: none}
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 5s, every: 500ms}
"""
# Each on a fault of its own: after one failure people are asked about that fix.
SERVICES = {"the child that works": "shop", "the whole worker": "billing"}
FAULTS = {"shop": ("InstanceDown", "service_down"), "billing": ("HighLatency", "latency_spike")}


class Killed:
    """An installation with services that are down and a fix that takes a minute; its marks tell where it was started."""

    def __init__(self, installation: Installation, marks: Path) -> None:
        self.at, self.marks = installation, marks
        self.at.cli("user", "create", "am", "--role", "viewer")
        self.token = self.at.token("am", "ingest,read")

    def alert(self, service: str) -> None:
        body = alertmanager_body(FAULTS[service][0], service, "down")
        self.at.call("POST", "/api/self_heal/alerts/alertmanager", self.token, body)

    def run(self, service: str) -> dict:
        runs = self.at.call("GET", f"/api/self_heal/runs?service={service}", self.token)["results"]
        return self.at.call("GET", f"/api/self_heal/runs/{runs[0]['id']}", self.token) if runs else {}

    def lines(self, service: str) -> list[str]:
        return [line for line in self.marks.read_text().split() if line == service] if self.marks.exists() else []

    def workers(self) -> list[psutil.Process]:
        """The processes of the worker for runs: the parent, and the children that do the work."""
        parent = int((self.at.home / "var" / "run" / "worker-runs.pid").read_text())
        return [psutil.Process(parent), *psutil.Process(parent).children()]

    def doing(self, service: str) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if str(self.marks) in " ".join(line) and service in line:
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Killed]:
    """One for all that are killed: each has a service of its own, with a fault of its own."""
    folder = tmp_path_factory.mktemp("killed")
    services = [LittleService(name, folder) for name in SERVICES.values()]
    for service in services:
        service.pidfile.write_text("999999999")
    with database(folder, keep=False) as url:
        installation = Installation(services, folder, url)
        marks = configured(installation)
        if not url:
            (folder / "var").mkdir(mode=0o700)
            shutil.copy(migrated, folder / "var" / "selfheal.sqlite3")
        try:
            installation.start()
            yield Killed(installation, marks)
        finally:
            installation.stop()


def configured(installation: Installation) -> Path:
    """Give the installation its one fix; the file that each start of it appends the service's name to."""
    folder, marks = installation.home, installation.home / "marks"
    script = f"import sys, time; open({str(marks)!r}, 'a').write(sys.argv[1] + '\\n'); time.sleep(50)"
    slow = {
        "argv": ["/usr/bin/python3", "-c", script, "${args.on}"],
        "args": {"on": {"type": "string", "pattern": "^[a-z]{1,20}$"}},
    }
    (folder / "config" / "commands.yaml").write_text(json.dumps({"slow": slow}))
    (folder / "playbooks").mkdir()
    for _, diagnosis in FAULTS.values():
        text = PLAYBOOK.replace("DIAGNOSIS", diagnosis)
        (folder / "playbooks" / f"{diagnosis}.yaml").write_text(text)
    installation.environment["SELF_HEAL_PLAYBOOK_DIRS"] = str(folder / "playbooks")
    return marks


@pytest.mark.parametrize("whom", SERVICES)
def test_a_run_whose_worker_is_killed_ends_in_time_and_nothing_is_done_twice(killed: Killed, whom: str) -> None:
    service = SERVICES[whom]
    killed.alert(service)
    wait_for(lambda: killed.lines(service), "the step does not start")
    above = killed.doing(service)[0].parents()
    victims = [
        p
        for p in killed.workers()
        if whom == "the whole worker" or (p in above and p.ppid() in {w.pid for w in killed.workers()})
    ]
    assert victims
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)
    died = time.monotonic()
    wait_for(lambda: not killed.doing(service), "what the step started goes on", 12.0)
    run = wait_for(lambda: (r := killed.run(service))["status"] in OVER and r, "the run does not end")
    assert time.monotonic() - died < 15 + 30
    assert killed.lines(service) == [service]
    assert [s["status"] for s in run["steps"] if s["phase"] == "step"] == ["unknown"]
    assert run["status"] in ("failed", "aborted")
    assert datetime.fromisoformat(run["finished_at"]) <= datetime.fromisoformat(run["deadline_at"])
