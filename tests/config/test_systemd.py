"""config/systemd: the units are well formed, name what exists, and what they start is a whole installation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from config import broker as embedded
from config.cli import COMMANDS
from config.demo import storage
from config.env import SETTINGS
from healing import heartbeats
from tests import units
from tests.docs.pages import blocks
from tests.processes import end_all, until
from tests.units import UNITS, Machine, one

SERVICES = units.services()
PROCESSES = {name: unit for name, unit in SERVICES.items() if one(unit, "Service.Type") == "exec"}
TARGET = units.read("selfheal.target")


def test_every_process_of_the_architecture_has_a_unit() -> None:
    started = {one(unit, "Service.ExecStart").removeprefix(f"{units.INSTALLED} ") for unit in PROCESSES.values()}
    assert started == {"web", "worker control", "worker runs", "worker advice", "beat", "sequencer"}


def test_every_command_is_one_of_the_command_line() -> None:
    assert {one(unit, "Service.ExecStart").split()[1] for unit in SERVICES.values()} <= set(COMMANDS)


def test_every_variable_is_a_setting() -> None:
    given = set(units.assigned((UNITS / "selfheal.env").read_text()))
    given |= {value.split("=")[0] for unit in SERVICES.values() for value in unit.get("Service.Environment", [])}
    assert given <= {setting.name for setting in SETTINGS}


def test_the_target_starts_every_process_and_ends_with_them() -> None:
    wanted = {name for line in TARGET["Unit.Wants"] for name in line.split()}
    assert wanted == {f"{name}.service" for name in PROCESSES} | {"selfheal-web.socket"}
    assert all(unit["Unit.PartOf"] == ["selfheal.target"] for unit in PROCESSES.values())


def test_a_database_that_is_away_ends_no_unit_for_good() -> None:
    for unit in PROCESSES.values():
        assert "selfheal-migrate.service" in unit["Unit.Wants"]
        assert one(unit, "Unit.StartLimitIntervalSec") == "0"
        assert one(unit, "Service.Restart") == "always"


def test_only_the_sequencer_can_read_the_key() -> None:
    users = {name: one(unit, "Service.User") for name, unit in SERVICES.items()}
    assert {name for name, user in users.items() if user == "selfheal-log"} == {"selfheal-sequencer"}
    keys = {name: value for name, unit in SERVICES.items() for value in unit.get("Service.Environment", [])}
    assert keys == {"selfheal-sequencer": "SELF_HEAL_SIGNING_KEY_FILE=/var/lib/selfheal-log/signing.key"}
    assert one(SERVICES["selfheal-sequencer"], "Service.StateDirectoryMode") == "0700"


def test_nothing_of_a_unit_is_undone_by_the_environment_file() -> None:
    file = units.assigned((UNITS / "selfheal.env").read_text())
    assert file.keys().isdisjoint(
        value.split("=")[0] for unit in SERVICES.values() for value in unit.get("Service.Environment", [])
    )


def test_what_a_playbook_was_asked_to_start_outlives_its_worker() -> None:
    assert one(SERVICES["selfheal-worker-runs"], "Service.KillMode") == "process"


def test_what_runs_commands_of_playbooks_may_use_sudo() -> None:
    confined = {name for name, unit in PROCESSES.items() if unit.get("Service.NoNewPrivileges") == ["yes"]}
    assert set(PROCESSES) - confined == {"selfheal-worker-runs"}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(units.INSTALLED, sys.executable))
    files = sorted(str(path) for path in tmp_path.iterdir() if path.suffix != ".env")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# ---- what they start


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The units, started in the order in which systemd would, on PostgreSQL and Redis where the environment names them."""
    root = tmp_path_factory.mktemp("units")
    with database(root) as url, broker(root) as queue:
        found = Machine(root, DATABASE_URL=url, CELERY_BROKER_URL=queue)
        try:
            assert found.start("selfheal-migrate").wait(60) == 0, found.logs()
            for name in PROCESSES:
                found.start(name)
            yield found
        finally:
            end_all(str(root))


@contextmanager
def database(root: Path) -> Iterator[str]:
    """A database of PostgreSQL that is made and dropped, else a file."""
    with storage.database(root, keep=False) as url:
        yield url or f"sqlite:///{root}/units.sqlite3"


@contextmanager
def broker(root: Path) -> Iterator[str]:
    """Redis where the environment names it, else the server that comes with us."""
    if url := os.environ.get("CELERY_BROKER_URL"):
        yield url
        return
    socket, data = root / "run" / "broker.sock", root / "broker"
    embedded.prepare(socket, data)
    code = "import sys, pathlib; from config import broker; broker.run(*map(pathlib.Path, sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", code, str(socket), str(data)]) as server:
        embedded.wait(socket)
        yield f"redis+socket://{socket}"
        server.terminate()


def ask(machine: Machine, path: str, seconds: float = 20) -> int:
    """The status, 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{machine.port}{path}", timeout=seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_the_processes_of_the_units_are_ready(machine: Machine) -> None:
    assert until(lambda: ask(machine, "/readyz") == 200), machine.logs()


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_the_smoke_test_finds_that_all_of_it_works(machine: Machine) -> None:
    assert until(lambda: ask(machine, "/readyz") == 200), machine.logs()
    done = machine.run("smoke")
    assert done.returncode == 0, done.stdout + done.stderr + machine.logs()


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_the_first_password_is_printed_where_the_page_says(machine: Machine) -> None:
    assert "sign in as admin with the password" in (machine.root / "selfheal-migrate.log").read_text()


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_who_asks_while_the_web_process_is_started_again_is_answered(machine: Machine) -> None:
    assert until(lambda: ask(machine, "/healthz") == 200), machine.logs()
    answers: list[int] = []
    over = threading.Event()

    def asking() -> None:
        while not over.is_set():
            answers.append(ask(machine, "/healthz"))

    thread = threading.Thread(target=asking)
    thread.start()
    old = machine.running["selfheal-web"]
    old.terminate()
    assert old.wait(20) == 0
    seen = len(answers)
    machine.start("selfheal-web")
    assert until(lambda: len(answers) > seen + 20), machine.logs()
    over.set()
    thread.join()
    assert set(answers) == {200}


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_an_upgrade_as_the_page_says_refuses_nobody_and_loses_no_alert(machine: Machine) -> None:
    assert until(lambda: ask(machine, "/readyz") == 200), machine.logs()
    machine.run("user", "create", "am", "--role", "viewer")
    token = json.loads(machine.run("token", "create", "--user", "am", "--scope", "ingest,read", "--json").stdout)["token"]
    sent: list[str] = []
    over = threading.Event()

    def alerting() -> None:
        while not over.is_set():
            name = f"upgrade-{len(sent)}"
            sent.extend([name] if post(machine, token, name) else ["not taken"])

    thread = threading.Thread(target=alerting)
    thread.start()
    for block in blocks("how-to/upgrade.md"):
        for line in block.splitlines():
            if line.startswith("systemctl restart "):
                machine.restart(line.removeprefix("systemctl restart "))
    assert until(lambda: ask(machine, "/readyz") == 200), machine.logs()
    over.set()
    thread.join()
    assert len(sent) > 20
    assert "not taken" not in sent, machine.logs()
    assert unmatched(machine, token) == set(sent)
    assert machine.run("smoke").returncode == 0


def post(machine: Machine, token: str, service: str) -> bool:
    alert = {"service": service, "target": service, "diagnosis": "service_down", "title": service, "severity": "low"}
    answer = requests.post(f"{machine.url}/api/self_heal/alerts", json=alert, headers=bearer(token), timeout=30)
    return answer.status_code == 202 and answer.json()["rejected"] == []


def unmatched(machine: Machine, token: str) -> set[str]:
    """The services that the alerts named which we were sent; none of them is declared."""
    page, found = f"{machine.url}/api/self_heal/alerts/unmatched?limit=500", set()
    while page:
        answer = requests.get(page, headers=bearer(token), timeout=30).json()
        found |= {row["labels"]["service"] for row in answer["results"]}
        page = answer["next"]
    return found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_every_process_shows_itself_in_the_metrics(machine: Machine) -> None:
    assert until(lambda: ask(machine, "/readyz") == 200), machine.logs()
    machine.run("user", "create", "prometheus", "--role", "viewer")
    token = json.loads(machine.run("token", "create", "--user", "prometheus", "--scope", "read", "--json").stdout)["token"]
    page = requests.get(f"{machine.url}/metrics", headers=bearer(token), timeout=30).text
    shown = set(re.findall(r'^selfheal_heartbeat_age_seconds{process="[^"]+",role="([^"]+)"}', page, re.MULTILINE))
    assert shown == {"web", heartbeats.ADVICE, *heartbeats.ROLES}


@pytest.mark.soak
@pytest.mark.xdist_group("units")
def test_each_of_them_ends_by_itself_when_it_is_asked_to(machine: Machine) -> None:
    assert until(lambda: ask(machine, "/readyz") == 200), machine.logs()
    assert set(machine.end().values()) == {0}, machine.logs()
