"""Real processes: the adviser is killed in the middle of a call, and all that is lost is its advice; nobody else loads one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.docs.pages import ROOT
from tests.installation import Installation
from tests.processes import until

SEER = """
import os, pathlib, time
from selfheal.advice import Advice

here = pathlib.Path(__file__).parent

def advise(facts):
    (here / "calls").open("a").write(f"{os.getpid()} {os.nice(0)}\\n")
    while (here / "slow").exists():
        try:
            time.sleep(0.05)
        except Exception:  # the soft bound of its call, which it does not heed
            pass
    return Advice(0.9, (1.0, 2.0), ("it will be full",))
"""
SIGNALS = "signals:\n  disk_free: {degraded: 10, critical: 2, worse: below, diagnosis: capacity_strain}\n"
SERVICES = "services:\n  - {name: db, url: http://db.internal}\n  - {name: web, url: http://web.internal}\n"


class House:
    """An installation whose forecaster is a seer of the test's: it takes long as long as it is told to."""

    def __init__(self, installation: Installation, seer: Path) -> None:
        self.at, self.seer = installation, seer
        self.at.run("user", "create", "am", "--role", "viewer")
        done = self.at.run("token", "create", "--user", "am", "--scope", "ingest,read", "--json")
        self.headers = {"Authorization": f"Bearer {json.loads(done.stdout)['token']}"}
        self.url = f"http://127.0.0.1:{self.at.port}"

    def get(self, path: str) -> Any:
        return requests.get(self.url + path, headers=self.headers, timeout=30).json()

    def measure(self) -> None:
        now = datetime.now(UTC)
        body = [
            {
                "service": name,
                "target": name,
                "metric": "disk_free",
                "value": 60 - n,
                "at": (now - timedelta(minutes=30 - n)).isoformat(),
            }
            for name in ("db", "web")
            for n in range(30)
        ]
        answer = requests.post(f"{self.url}/api/self_heal/signals", json=body, headers=self.headers, timeout=30)
        assert answer.status_code == 202, answer.text

    def calls(self) -> list[str]:
        return (self.seer / "calls").read_text().splitlines() if (self.seer / "calls").exists() else []

    def slow(self, wanted: bool) -> None:
        (self.seer / "slow").touch() if wanted else (self.seer / "slow").unlink()

    def cycle(self) -> dict[str, Any]:
        return self.get("/api/meta/cycles?limit=1")["cycles"][0]

    def sees(self) -> bool:
        return self.cycle()["focus_area"] == "capacity_strain"

    def turns(self, times: int) -> bool:
        """Whether the meta loop turns so often more."""
        count = self.get("/api/meta/focus")["metadata"]["total_cycles"]
        return until(lambda: self.get("/api/meta/focus")["metadata"]["total_cycles"] >= count + times)

    def kill(self, whom: str) -> None:
        worker = psutil.Process(self.at.pid("worker-advice"))
        (child,) = worker.children()
        os.kill((worker if whom == "worker" else child).pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("advice")
    seer = folder / "seer"
    about = seer / "seer-1.dist-info"
    about.mkdir(parents=True)
    (seer / "seer.py").write_text(SEER)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: seer\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[selfheal.advisers]\nseer = seer:advise\n")
    (folder / "playbooks").mkdir()
    given = {"SELF_HEAL_FORECASTER": "seer", "META_LOOP_CYCLE_SECONDS": "4", "PYTHONPATH": str(seer)}
    given["SELF_HEAL_PLAYBOOK_DIRS"] = str(folder / "playbooks")
    with Installation(folder, **given) as installation:
        (installation.config / "signals.yaml").write_text(SIGNALS)
        (installation.config / "services.yaml").write_text(SERVICES)
        built = House(installation.start(), seer)
        built.measure()
        yield built


@pytest.mark.slow
@pytest.mark.xdist_group("up")
def test_what_the_adviser_says_is_seen_by_a_later_cycle(house: House) -> None:
    assert until(house.sees), house.at.output()
    assert {line.split()[1] for line in house.calls()} == {"10"}  # it gives way to what heals


@pytest.mark.slow
@pytest.mark.xdist_group("up")
@pytest.mark.parametrize("whom", ["child", "worker"])
def test_an_adviser_that_is_killed_in_a_call_costs_nothing_but_its_advice(house: House, whom: str) -> None:
    assert until(house.sees), house.at.output()
    house.slow(True)
    before = len(house.calls())
    assert until(lambda: len(house.calls()) > before), house.at.output()
    house.kill(whom)
    assert house.turns(3), house.at.output()
    assert house.at.status("/readyz") == 200
    assert any("2 capacities were not forecast" in reason for reason in house.cycle()["reasoning"]), house.cycle()
    house.slow(False)
    assert until(house.sees), house.at.output()


@pytest.mark.slow
@pytest.mark.xdist_group("up")
def test_an_adviser_that_does_not_heed_its_bound_is_ended_and_that_counts_against_it(house: House) -> None:
    assert until(house.sees), house.at.output()
    house.slow(True)
    before = len(house.calls())
    assert until(lambda: len(house.calls()) > before), house.at.output()
    caller = int(house.calls()[-1].split()[0])
    assert until(lambda: not psutil.pid_exists(caller)), house.at.output()
    assert until(lambda: house.get("/api/meta/advisers")["advisers"][0]["failures"]), house.at.output()
    house.slow(False)
    assert until(house.sees), house.at.output()


@pytest.mark.slow
@pytest.mark.xdist_group("up")
def test_only_the_worker_for_advice_has_an_adviser_loaded(house: House) -> None:
    names = [path.stem for path in (house.at.home / "run").glob("*.pid")]
    assert "worker-advice" in names
    others = [psutil.Process(house.at.pid(name)) for name in names if name != "worker-advice"]
    pids = {str(each.pid) for process in others for each in (process, *process.children(recursive=True))}
    assert pids.isdisjoint({line.split()[0] for line in house.calls()})


LOADED = """
import sys, django
django.setup()
from config import up
up.load_for_workers()
up.load_for_web()
wanted = ("numpy", "scipy", "sklearn", "learning.advisers", "selfheal.forecast", "selfheal.anomaly", "selfheal.rootcause")
print(*[name for name in sys.modules if name.startswith(wanted)])
"""


def test_what_web_and_workers_load_has_no_adviser_and_nothing_that_one_needs(tmp_path: Path) -> None:
    own = {"DJANGO_SETTINGS_MODULE": "config.settings", "SELF_HEAL_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
