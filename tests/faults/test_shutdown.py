"""Real processes that are asked to end while a run is under way: it is finished, or handed back; nothing is done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from config.demo.installation import Installation, LittleService, wait_for
from config.demo.storage import database
from config.demo.story import OVER

from .test_killed_worker import Killed, configured

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("shutdown")]
SECONDS = 4.0  # that the fix takes: a worker that is asked to end has to wait for it


class Shut(Killed):
    """As `Killed`; the fix takes `seconds`, and the services are there again once it has begun."""

    def __init__(self, installation: Installation, services: list[LittleService], seconds: float) -> None:
        marks = configured(installation)
        commands = installation.home / "config" / "commands.yaml"
        commands.write_text(commands.read_text().replace("sleep(50)", f"sleep({seconds:g})"))
        installation.environment["SELF_HEAL_LOG_FORMAT"] = "json"
        installation.start()
        super().__init__(installation, marks)
        self.services = {service.name: service for service in services}

    def begun(self, service: str) -> None:
        self.alert(service)
        wait_for(lambda: self.lines(service), "the step does not start")
        self.services[service].start()

    def ended(self, service: str) -> dict:
        return wait_for(lambda: (run := self.run(service))["status"] in OVER and run, "the run does not end")


@pytest.fixture
def build(tmp_path: Path, migrated: Path) -> Iterator[object]:
    services = [LittleService(name, tmp_path) for name in ("shop", "billing")]
    for service in services:
        service.pidfile.write_text("999999999")
    with database(tmp_path, keep=False) as url:
        installation = Installation(services, tmp_path, url)
        if not url:
            (tmp_path / "var").mkdir(mode=0o700)
            shutil.copy(migrated, tmp_path / "var" / "selfheal.sqlite3")
        try:
            yield lambda seconds: Shut(installation, services, seconds)
        finally:
            installation.stop()
            for service in services:
                if service.child:
                    service.end()


def test_a_worker_that_is_asked_to_end_finishes_its_run_first_and_another_takes_its_place(build) -> None:  # type: ignore[no-untyped-def]
    shut = build(SECONDS)
    shut.begun("shop")
    worker = shut.workers()[0]
    os.kill(worker.pid, signal.SIGTERM)
    run = shut.ended("shop")
    assert (run["outcome"], shut.lines("shop")) == ("success", ["shop"])
    assert [step["status"] for step in run["steps"] if step["phase"] == "step"] == ["succeeded"]
    file = shut.at.home / "var/run/worker-runs.pid"
    wait_for(lambda: file.exists() and file.read_text().strip() not in ("", str(worker.pid)), "no other worker comes")


def test_a_run_that_cannot_be_finished_in_time_is_handed_back_and_ends_once_it_is_there_again(build) -> None:  # type: ignore[no-untyped-def]
    shut = build(60)
    shut.begun("billing")
    shut.at.stop()
    assert not shut.doing("billing")
    shut.at.start()
    run = shut.ended("billing")
    assert shut.lines("billing") == ["billing"]
    assert [step["status"] for step in run["steps"] if step["phase"] == "step"] == ["unknown"]
    assert run["outcome"] == "success"  # the verification decided: the service is there
    assert datetime.fromisoformat(run["finished_at"]) <= datetime.fromisoformat(run["deadline_at"])


def test_every_line_of_every_process_is_an_object_and_those_about_a_run_name_it(build) -> None:  # type: ignore[no-untyped-def]
    shut = build(SECONDS)
    shut.begun("shop")
    for name in ("worker-control", "beat", "sequencer", "web"):
        os.kill(int((shut.at.home / "var/run" / f"{name}.pid").read_text()), signal.SIGKILL)
    run = shut.ended("shop")
    shut.at.stop()
    text = shut.at.log.read_text()
    lines = [json.loads(line) for line in text[text.index("{") :].splitlines() if line.startswith("{")]
    others = [line for line in text.splitlines() if not line.startswith("{")]
    assert {"at", "level", "logger", "pid", "message"} <= set.intersection(*(set(line) for line in lines))
    assert all("selfheal ·" in line or not line.strip() or line.startswith(("  ", "ready in")) for line in others), others
    said = [line["message"] for line in lines if line.get("run") == run["id"] and line.get("incident") == run["incident"]]
    assert said == ["slow-fix-of-service_down on shop/shop is begun", "slow-fix-of-service_down on shop/shop is over: succeeded"]
