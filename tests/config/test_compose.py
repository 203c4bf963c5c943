"""compose.yaml and Dockerfile name commands and settings that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from config.cli import COMMANDS
from config.env import SETTINGS
from config.worker import QUEUES

COMPOSE: dict[str, Any] = YAML(typ="safe").load(Path("compose.yaml"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def test_every_process_of_the_architecture_has_a_container() -> None:
    assert set(OURS) == {"migrate", "web", "worker-control", "worker-runs", "beat", "sequencer"}


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
