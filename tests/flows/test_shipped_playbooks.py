"""Playbooks of config/playbooks at work: real commands on real processes and files, inside an allow-list of the test."""

from __future__ import annotations

import getpass
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.utils import timezone

from config.demo.installation import HERE, LittleService
from healing import approvals
from healing.models import ApprovalRequest, PutBack, Run
from tests.factories import APPROVE, make_user
from tests.fleet import HOSTS, Fleet

from .conftest import House

CONFIG = Path(__file__).parents[2] / "config"
RELEASES, CONFIGURATIONS = "/(srv|opt|var/www)", "/etc/logrotate\\\\.d"
Work = Callable[..., Run]


def ship(house: House, name: str, **allowed: str) -> None:
    """Take a shipped playbook and the shipped commands into the house, with other paths allowed."""
    texts = {"playbook": (CONFIG / "playbooks" / f"{name}.yaml").read_text(), "commands": (CONFIG / "commands.yaml").read_text()}
    for what, path in allowed.items():
        texts = {key: text.replace({"releases": RELEASES, "logs": CONFIGURATIONS}[what], path) for key, text in texts.items()}
    tests = texts["playbook"].index("tests:\n")  # they are of the paths as they are shipped
    (house.config / "commands.yaml").write_text(texts["commands"])
    house.declare()
    house.playbook(name, texts["playbook"][:tests])


def approved(house: House, diagnosis: str, service: str, **labels: str) -> Run:
    """The alert comes in, and a person approves what is proposed."""
    run = house.propose("Odd", service, diagnosis=diagnosis, **labels)
    request = ApprovalRequest.objects.get(subject_id=run.pk)
    approvals.approve(request.pk, make_user("ann", APPROVE), "", "test", timezone.now())
    return run


# -- roll-back-deploy


class Releases:
    """A service that is started by the link `current`; the release in use is broken, the one before is not."""

    def __init__(self, house: House, *, both_broken: bool = False) -> None:
        self.root = house.root / "srv"
        for name, broken in (("old", both_broken), ("new", True)):
            text = (HERE / "service.py").read_text().replace("= given.broken", f"= {broken}")
            (self.root / name).mkdir(parents=True)
            (self.root / name / "service.py").write_text(text)
        (self.root / "current").symlink_to(self.root / "new")
        (self.root / "previous").symlink_to(self.root / "old")
        self.little = house.services["shop"] = LittleService("shop", house.root)
        self.little.argv[1] = str(self.root / "current" / "service.py")
        self.little.start()
        labels = {"current": str(self.root / "current"), "previous": str(self.root / "previous"), "health_path": "/healthz"}
        ship(house, "roll-back-deploy", releases=str(house.root))
        house.declare(shop={"labels": {**self.little.document()["labels"], **labels}})

    @property
    def current(self) -> str:
        return (self.root / "current").resolve().name

    @property
    def health(self) -> int:
        return requests.get(f"{self.little.url}/healthz", timeout=2).status_code


def test_a_failing_deploy_goes_back_to_the_release_before(house: House, work: Work) -> None:
    shop = Releases(house)
    assert (shop.current, shop.health) == ("new", 503)
    run = work(approved(house, "bad_deploy", "shop"))
    assert (run.outcome, run.reason) == ("success", "verified")
    assert (shop.current, shop.health) == ("old", 200)


def test_a_deploy_whose_rollback_does_not_help_is_where_it_was(house: House, work: Work) -> None:
    shop = Releases(house, both_broken=True)
    text = (house.playbooks / "roll-back-deploy.yaml").read_text()
    house.playbook("roll-back-deploy", text.replace("within: 60s, every: 2s", "within: 1s, every: 200ms"))
    before = shop.little.pid
    run = work(approved(house, "bad_deploy", "shop"))
    assert run.outcome == "rolled_back", run.reason
    assert shop.current == "new"
    assert shop.little.pid != before


def test_a_release_that_changed_since_it_was_approved_is_not_gone_back_to(house: House, work: Work) -> None:
    shop = Releases(house)
    run = approved(house, "bad_deploy", "shop")
    shutil.copytree(shop.root / "old", shop.root / "older")
    (shop.root / "previous").unlink()
    (shop.root / "previous").symlink_to(shop.root / "older")
    run = work(run)
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    assert shop.current == "new"


# -- end-runaway-process


@pytest.fixture
def start() -> Iterator[Callable[[str, str | None], psutil.Process]]:
    """Start a process of some name as some user; all of them are ended afterwards."""
    place = Path(tempfile.mkdtemp(prefix="runaway-"))
    place.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []

    def begun(name: str, user: str | None) -> psutil.Process:
        (place / name).symlink_to("/bin/sleep")
        started.append(subprocess.Popen([place / name, "300"], user=user))
        return psutil.Process(started[-1].pid)

    yield begun
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(place)


def test_a_runaway_process_is_ended_by_name_and_user_and_no_other(house: House, work: Work, start) -> None:
    user = "nobody" if os.geteuid() == 0 else None
    name = f"r{uuid.uuid4().hex[:12]}"
    runaway, other = start(name, user), start(f"{name}x", user)
    ship(house, "end-runaway-process")
    labels = {"runaway": name, "runaway_user": user or getpass.getuser(), "runaway_seconds": "0"}
    house.declare(render={"mode": "auto", "labels": labels})
    run = work(approved(house, "runaway_process", "render"))
    assert (run.outcome, run.reason) == ("success", "verified")
    assert not runaway.is_running() or runaway.status() == psutil.STATUS_ZOMBIE
    assert other.status() != psutil.STATUS_ZOMBIE


def test_a_process_that_is_younger_than_the_bound_is_left_alone(house: House, work: Work, start) -> None:
    user = "nobody" if os.geteuid() == 0 else None
    name = f"r{uuid.uuid4().hex[:12]}"
    young = start(name, user)
    ship(house, "end-runaway-process")
    house.declare(render={"mode": "auto", "labels": {"runaway": name, "runaway_user": user or getpass.getuser()}})
    run = work(approved(house, "runaway_process", "render"))
    assert (run.status, run.abort_reason) == ("aborted", "superseded")
    assert young.status() != psutil.STATUS_ZOMBIE


# -- rotate-logs


@pytest.mark.skipif(not Path("/usr/sbin/logrotate").exists(), reason="logrotate is not installed")
def test_logs_are_rotated_on_the_disk_that_is_full(house: House, work: Work) -> None:
    log, rules, state = house.root / "web.log", house.root / "rules", house.root / "state"
    log.write_text("line\n" * 1000)
    rules.mkdir()
    (rules / "web").write_text(f'"{log}" {{\n  rotate 1\n  compress\n  missingok\n}}\n')
    ship(house, "rotate-logs", logs=re.escape(str(rules)).replace("\\", "\\\\"))
    commands = house.config / "commands.yaml"
    commands.write_text(commands.read_text().replace("logrotate, --force,", f"logrotate, --force, --state, {state},"))
    house.declare(logs={"mode": "auto", "labels": {"logrotate": str(rules / "web"), "least_free": "90"}})
    fuller(house, until=f'not os.path.exists("{log}")')
    run = work(house.propose("DiskFull", "logs"))
    assert (run.outcome, run.reason) == ("success", "verified")
    assert not log.exists()
    assert (house.root / "web.log.1.gz").exists()


def fuller(house: House, until: str) -> None:
    """A disk cannot be filled here: the check that is shipped sees one that is full until something holds."""
    commands = house.config / "commands.yaml"
    text = commands.read_text().replace("disk.f_bavail // max", f"(disk.f_blocks if {until} else 0) // max")
    assert until in text
    commands.write_text(text)


# -- turn-feature-off, raise-log-level, rolling-restart: what they talk to


class Knobs(http.server.BaseHTTPRequestHandler):
    """A service with flags, loggers and a health page, and a load balancer; `server.told` has what it was told."""

    server: Any

    def do_GET(self) -> None:
        value = self.server.values.get(self.path)
        self.answer(404 if value is None else 503 if self.path == "/health" and self.server.ill() else 200, value)

    def do_PUT(self) -> None:
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, value, self.headers.get("Authorization", "")))
        self.server.values[self.path] = value
        self.answer(200, value)

    do_POST = do_PUT

    def answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def knobs() -> Iterator[Any]:
    made: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Knobs)
    made.values = {"/health": {}, "/flags/beta": {"value": True}, "/loggers/ROOT": {"configuredLevel": "INFO"}}
    made.told, made.url, made.ill = [], f"http://127.0.0.1:{made.server_port}", lambda: False
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def declare_shop(house: House, knobs: Any, **labels: str) -> None:
    house.declare(shop={"mode": "auto", "url": knobs.url, "labels": labels})


def test_a_feature_that_makes_its_service_fail_is_turned_off(house: House, work: Work, knobs: Any) -> None:
    knobs.ill = lambda: knobs.values["/flags/beta"]["value"]
    ship(house, "turn-feature-off")
    declare_shop(house, knobs, kill_flag="beta", flags_url=f"{knobs.url}/flags")
    run = work(approved(house, "bad_feature", "shop"))
    assert (run.outcome, run.reason) == ("success", "verified")
    assert knobs.values["/flags/beta"] == {"value": False}


def test_a_feature_whose_turning_off_does_not_help_has_its_value_again(house: House, work: Work, knobs: Any) -> None:
    knobs.ill = lambda: True
    ship(house, "turn-feature-off")
    text = (house.playbooks / "turn-feature-off.yaml").read_text()
    house.playbook("turn-feature-off", text.replace("within: 2m, every: 5s", "within: 500ms, every: 100ms"))
    declare_shop(house, knobs, kill_flag="beta", flags_url=f"{knobs.url}/flags")
    run = work(approved(house, "bad_feature", "shop"))
    assert run.outcome == "rolled_back", run.reason
    assert [value for _, value, _ in knobs.told] == [{"value": False}, {"value": True}]


def test_a_log_level_is_raised_by_itself_and_due_to_be_put_back(house: House, work: Work, knobs: Any) -> None:
    ship(house, "raise-log-level")
    declare_shop(house, knobs, log_level_url=f"{knobs.url}/loggers")
    run = work(house.propose("Odd", "shop", diagnosis="needs_debug_log"))
    assert (run.outcome, run.reason) == ("success", "verified")
    assert knobs.values["/loggers/ROOT"] == {"configuredLevel": "DEBUG"}
    assert PutBack.objects.filter(step__run=run).count() == 1


class Rolled:
    """Two targets of the fleet behind a balancer."""

    def __init__(self, house: House, knobs: Any, settings: Any) -> None:
        self.fleet, self.knobs = Fleet(house.root, HOSTS[:2]), knobs
        secrets = house.root / "secrets"
        secrets.mkdir()
        (secrets / "balancer_password").write_text("swordfish")
        settings.SELF_HEAL_SECRETS_DIR, settings.SELF_HEAL_CHANGE_WINDOW = secrets, "Mon-Sun 00:00-24:00"
        ship(house, "rolling-restart")
        text = (house.playbooks / "rolling-restart.yaml").read_text()
        quicker = {"settle: 5s": "settle: 0s", "within: 60s, for: 3s, every: 1s": "within: 2s, for: 200ms, every: 100ms"}
        for slow, quick in quicker.items():
            assert slow in text
            text = text.replace(slow, quick)
        house.playbook("rolling-restart", text)
        declared = self.fleet.declared()
        labels = {**declared["labels"], "balancer": f"{knobs.url}/servers", "drain_time": "1ms", "health_path": "/"}
        house.declare(balancer={"url": knobs.url}, web={**declared, "labels": labels})

    @property
    def told(self) -> list[tuple[str, str]]:
        """What the balancer was told: target, state."""
        return [(path.removeprefix("/servers/"), value["admin_state"]) for path, value, _ in self.knobs.told]


@pytest.fixture
def rolled(house: House, knobs: Any, settings: Any) -> Iterator[Rolled]:
    made = Rolled(house, knobs, settings)
    yield made
    made.fleet.end()


@pytest.mark.slow
def test_each_target_is_taken_out_restarted_and_taken_in(house: House, work: Work, rolled: Rolled) -> None:
    run = work(approved(house, "memory_leak", "web", instance=HOSTS[1]))
    assert run.outcome == "success", run.reason
    assert rolled.told == [(host, state) for host in HOSTS[:2] for state in ("drain", "ready")]
    assert rolled.fleet.starts() == [1, 1]
    assert {who for _, _, who in rolled.knobs.told} == {"Basic c2VsZmhlYWw6c3dvcmRmaXNo"}
    assert "swordfish" not in json.dumps(run.plan)


@pytest.mark.slow
def test_a_target_that_does_not_come_back_stays_out_and_ends_it(house: House, work: Work, rolled: Rolled) -> None:
    rolled.fleet.fall_ill(HOSTS[0])
    run = work(approved(house, "memory_leak", "web", instance=HOSTS[1]))
    assert (run.status, run.outcome) == ("failed", "failed"), run.reason
    assert rolled.told == [(HOSTS[0], "drain")]
    assert rolled.fleet.starts() == [1, 0]
