"""compose.yaml and Dockerfile name commands and settings that exist, and what they start is a whole installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.cli import COMMANDS
from config.env import SETTINGS
from config.worker import QUEUES
from tests.config.test_systemd import broker, database
from tests.docs.pages import ROOT, blocks
from tests.installation import free_port
from tests.processes import end_all, until

COMPOSE: dict[str, Any] = YAML(typ="safe").load(Path("compose.yaml"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def test_every_process_of_the_architecture_has_a_container() -> None:
    assert set(OURS) == {"migrate", "web", "worker-control", "worker-runs", "worker-advice", "beat", "sequencer"}


def test_every_command_is_one_of_the_command_line() -> None:
    for service in OURS.values():
        command, *arguments = service["command"]
        assert command in COMMANDS
        assert set(arguments) <= set(QUEUES)


def test_every_variable_is_a_setting() -> None:
    known = {setting.name for setting in SETTINGS}
    assert all(set(service["environment"]) <= known for service in OURS.values())


def test_only_the_sequencer_sees_the_signing_key() -> None:
    holders = [name for name, service in OURS.items() if any(v.startswith("key:") for v in service["volumes"])]
    assert holders == ["sequencer"]
    key = OURS["sequencer"]["environment"]["SELF_HEAL_SIGNING_KEY_FILE"]
    mounted = next(volume.split(":")[1] for volume in OURS["sequencer"]["volumes"] if volume.startswith("key:"))
    assert key.startswith(mounted + "/")
    assert all("SELF_HEAL_SIGNING_KEY_FILE" not in s["environment"] for n, s in OURS.items() if n != "sequencer")


def test_every_named_volume_is_declared() -> None:
    used = {v.split(":")[0] for s in COMPOSE["services"].values() for v in s.get("volumes", []) if not v.startswith(".")}
    assert used == set(COMPOSE["volumes"])


def test_the_image_starts_a_command_that_exists() -> None:
    assert 'CMD ["up"]' in Path("Dockerfile").read_text()


def test_the_services_that_an_upgrade_starts_again_are_all_there_are() -> None:
    lines = [line for block in blocks("how-to/upgrade.md") for line in block.splitlines() if line.startswith("docker compose")]
    named = {word for line in lines for word in line.split()[3:] if not word.startswith("-")}
    assert named == set(OURS)


# ---- what it starts


class Containers:
    """The processes of the containers without containers: their commands, environment, user data and health check."""

    def __init__(self, root: Path, database_url: str, broker_url: str) -> None:
        self.root, self.port = root, free_port()
        self.given = {"POSTGRES_PASSWORD": "p", "SECRET_KEY": "k" * 50, "SELF_HEAL_BASE_URL": f"http://127.0.0.1:{self.port}"}
        self.instead = {"DATABASE_URL": database_url, "CELERY_BROKER_URL": broker_url, "SELF_HEAL_PORT": str(self.port)}
        (root / "app").mkdir()
        (root / "app" / "config").symlink_to(ROOT / "config")
        for folder in ("selfheal", "selfheal-key"):
            (root / "var/lib" / folder).mkdir(parents=True, mode=0o700)

    def environment(self, name: str) -> dict[str, str]:
        image = dict(re.findall(r"(SELF_HEAL_\w+|PYTHONUNBUFFERED)=(\S+)", Path("Dockerfile").read_text()))
        said = image | {key: self._filled(str(value)) for key, value in OURS[name]["environment"].items()} | self.instead
        return {"PATH": os.environ["PATH"]} | {key: self._here(value) for key, value in said.items()}

    def _filled(self, value: str) -> str:
        return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", lambda m: self.given.get(m[1], m[3] if m[2] == "-" else ""), value)

    def _here(self, value: str) -> str:
        return f"{self.root}{value}" if value.startswith("/var/lib/selfheal") else value

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        program = Path(sys.executable).parent / "selfheal"
        with (self.root / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [program, *(command or OURS[name]["command"])],
                env=self.environment(name),
                cwd=self.root / "app",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        """What the health check of `web` says."""
        kind, _, *arguments = OURS["web"]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [sys.executable, *(each.replace(":8000/", f":{self.port}/") for each in arguments)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.root.glob("*.log")))


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    with database(tmp_path) as url, broker(tmp_path) as queue:
        try:
            yield Containers(tmp_path, url, queue)
        finally:
            end_all(str(tmp_path))


@pytest.mark.soak
def test_what_the_containers_run_is_healthy_and_passes_the_smoke_test(containers: Containers) -> None:
    assert containers.start("migrate").wait(60) == 0, containers.logs()
    for name in OURS:
        if name != "migrate":
            containers.start(name)
    assert until(containers.healthy, 90), containers.logs()
    assert containers.start("web", "smoke").wait(90) == 0, containers.logs()
