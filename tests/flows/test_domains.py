"""What selfheal senses by itself, healed without any alert: a process, a service that answers to HTTP, a part of selfheal."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.utils import timezone

from healing.domains import domains
from healing.models import Incident, Run, Sample
from healing.signals import sensing
from selfheal.states import Health
from tests.installation import Installation
from tests.processes import until

from .conftest import House

Work = Callable[..., Run]
SHIPPED = Path(__file__).resolve().parents[2] / "config" / "playbooks"


@pytest.fixture
def sensed(house: House, settings: Any) -> Callable[..., None]:
    """Playbooks as they are shipped; and looks at a domain, each a second after the one before."""
    for path in house.playbooks.iterdir():
        path.unlink()
    for name in ("restart-process", "restart-quiet-process", "watch-recovery"):
        shutil.copy(SHIPPED / f"{name}.yaml", house.playbooks)

    began = timezone.now() - timedelta(minutes=1)
    clock = (began + timedelta(seconds=second) for second in range(60))

    def looks(domain: str, times: int) -> None:
        settings.SELF_HEAL_SENSE = [domain]
        for _ in range(times):
            sensing.sense(next(clock))

    return looks


def health_in(domain: str, service: str) -> Health:
    (found,) = (each for each in domains(timezone.now()) if each.name == domain)
    return next(node.health for node in found.nodes if node.name == service)


def test_a_process_that_dies_is_sensed_restarted_and_well_again_without_an_alert(
    house: House, work: Work, sensed: Callable[..., None]
) -> None:
    queue = house.service("queue", domain="host", url="")
    sensed("host", 1)
    assert health_in("host", "queue") is Health.HEALTHY
    queue.signal(signal.SIGKILL)
    queue.child.wait()
    sensed("host", 2)
    assert health_in("host", "queue") is Health.CRITICAL
    house.look()
    run = Run.objects.get()
    assert (run.plan["playbook"], run.decision["verdict"], run.trigger) == ("restart-quiet-process", "auto", "alert")
    run = work(run)
    assert (run.outcome, run.reason) == ("success", "verified")
    assert run.incident.status == "resolved"
    sensed("host", 3)
    assert health_in("host", "queue") is Health.HEALTHY
    assert not Incident.objects.get().episodes.filter(status="firing").exists()


def test_a_server_that_dies_is_sensed_restarted_and_answers_again_without_an_alert(
    house: House, work: Work, sensed: Callable[..., None]
) -> None:
    little = house.service("shop", domain="http")
    house.declare(shop={"labels": {**little.document()["labels"], "health_path": "/healthz"}})
    sensed("http", 1)
    assert Sample.objects.get(metric="http.status").value == 200
    little.signal(signal.SIGKILL)
    little.child.wait()
    sensed("http", 2)
    house.look()
    run = work(Run.objects.get())
    assert (run.plan["playbook"], run.outcome) == ("restart-process", "success"), run.reason
    assert requests.get(f"{little.url}/healthz", timeout=2).status_code == 200
    sensed("http", 3)
    assert health_in("http", "shop") is Health.HEALTHY


def test_a_service_that_is_only_observed_is_sensed_and_left_as_it_is(house: House, sensed: Callable[..., None]) -> None:
    house.service("queue", mode="observe", up=False, domain="host", url="")
    sensed("host", 2)
    house.look()
    assert Run.objects.get().abort_reason == "policy"


class Up:
    """A `selfheal up` that senses itself each second, and what its API says."""

    def __init__(self, installation: Installation) -> None:
        self.at = installation
        installation.run("user", "create", "vera", "--role", "viewer")
        made = installation.run("token", "create", "--user", "vera", "--scope", "read", "--json").stdout
        self.headers = {"Authorization": f"Bearer {json.loads(made)['token']}"}

    def get(self, path: str) -> list[dict[str, Any]]:
        address = f"http://127.0.0.1:{self.at.port}/api/self_heal/{path}"
        return list(requests.get(address, headers=self.headers, timeout=30).json()["results"])

    def platform(self) -> dict[str, Any]:
        return next(each for each in self.get("domains") if each["name"] == "platform")

    def health(self, part: str) -> str:
        return str(next(node["health"] for node in self.platform()["nodes"] if node["name"] == part))

    def runs(self) -> list[dict[str, Any]]:
        return self.get("runs")


@pytest.fixture
def up(tmp_path: Path) -> Any:
    execute = {"SELF_HEAL_EXECUTE": "true", "SELF_HEAL_TIME_ZONE": "UTC", "SELF_HEAL_POLL_SECONDS": "1"}
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    shutil.copy(SHIPPED / "restart-selfheal-part.yaml", playbooks)
    with Installation(tmp_path, SELF_HEAL_SENSE="platform", SELF_HEAL_PLAYBOOK_DIRS=str(playbooks), **execute) as installation:
        services = [
            {"name": f"selfheal-{part.replace(':', '-')}", "mode": "auto", "domain": "platform", "labels": {"part": part}}
            for part in ("web", "sequencer", "worker:runs")
        ]
        (installation.config / "services.yaml").write_text(json.dumps({"services": services}))
        yield Up(installation.start())


@pytest.mark.slow
def test_a_part_that_hangs_is_sensed_and_restarted_and_what_healing_stands_on_is_left_alone(up: Up) -> None:
    assert until(lambda: up.platform()["health"] == "healthy"), up.platform()
    runs, sequencer = up.at.pid("worker-runs"), up.at.pid("sequencer")
    psutil.Process(runs).suspend()
    assert until(lambda: up.health("worker runs") == "critical")
    assert up.platform()["first"] == ["worker runs"]
    assert up.at.pid("worker-runs") == runs
    psutil.Process(runs).resume()
    assert until(lambda: up.health("worker runs") == "healthy")

    psutil.Process(sequencer).suspend()
    assert until(lambda: up.health("sequencer") == "critical")
    assert until(lambda: [run["outcome"] for run in up.runs()] == ["success"], 120), up.runs()
    assert up.at.pid("sequencer") != sequencer
    assert not psutil.pid_exists(sequencer)
    assert up.health("sequencer") == "healthy"
    assert up.runs()[0]["service"] == "selfheal-sequencer"


@pytest.mark.slow
def test_a_part_that_dies_is_started_by_up_before_anybody_could_propose_it(up: Up) -> None:
    before = up.at.pid("worker-runs")
    psutil.Process(before).kill()
    assert until(lambda: up.at.pid("worker-runs") not in (0, before))
    assert until(lambda: up.platform()["health"] == "healthy")
    assert up.runs() == []
