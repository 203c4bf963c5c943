"""From an alert to a healed service on another host, and what `selfheal doctor` says of such hosts."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from config.cli import doctor
from healing.actions.tools import find
from healing.models import Step
from healing.remote import setup
from healing.remote.client import Keys
from selfheal.places import Place
from tests.flows.conftest import house, sent, sequencer, work
from tests.healing.actions.test_supervisord import CONFIG
from tests.healing.remote.conftest import HOST, keygen
from tests.processes import PYTHON, carrying, until

__all__ = ["house", "sent", "sequencer", "work"]

pytestmark = pytest.mark.xdist_group("sshd")

PLAYBOOK = """
playbook: restart-there
title: Restart a program on its host
domain: host
diagnoses: [service_down]
impact: low
reversible: false
steps:
  - {id: note, action: command.run, with: {command: note}, timeout: 60s}
  - {id: restart, action: process.restart, timeout: 60s}
verify:
  - {check: process_up, within: 60s, every: 1s}
"""
COMMANDS = """
note:
  argv: [/usr/bin/touch, "{home}/noted $(id)"]
"""


@pytest.fixture
def supervisord(tmp_path, marker):
    """A supervisord with a program that does not run; the path of its configuration."""
    config = tmp_path / "supervisord.conf"
    text = CONFIG.replace("[program:web]", "[program:web]\nautostart = false")
    config.write_text(text.format(home=tmp_path, python=PYTHON, marker=marker))
    daemon = subprocess.Popen([find("supervisord"), "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: os.path.exists(tmp_path / "s"), 60)
    yield config
    daemon.terminate()
    daemon.wait()


@pytest.fixture
def installation(house, sshd, settings):
    """A service on a host that is reached by ssh."""
    settings.SELF_HEAL_SSH_KEY_FILE, settings.SELF_HEAL_SSH_KNOWN_HOSTS = sshd.keys.key_file, sshd.keys.known_hosts
    targets = {"hosts": [HOST], "via": "ssh", "user": sshd.remote.user, "port": sshd.port}
    house.declare(web={"mode": "auto", "targets": targets, "labels": {"program": "web"}})
    return house


@pytest.mark.slow
def test_a_service_on_another_host_is_healed(installation, sshd, supervisord, work, marker, tmp_path):
    labels = {"program": "web", "supervisor_config": str(supervisord)}
    installation.declare(web={"labels": labels})
    (installation.config / "commands.yaml").write_text(COMMANDS.format(home=tmp_path))
    installation.playbook("restart-there", PLAYBOOK)
    sshd.allow(find("supervisorctl"), "/usr/bin/touch")
    run = installation.propose("ServiceDown", "web", instance=HOST)
    assert run.plan["steps"][1]["with"]["remote"] == {"host": HOST, "user": sshd.remote.user, "port": sshd.port}

    run = work(run)

    steps = {step.name: step.message for step in Step.objects.filter(run=run, phase="step")}
    assert (run.status, run.outcome) == ("succeeded", "success"), steps
    assert steps == {"note": f"exit code 0 on {HOST}", "restart": "web is RUNNING"}
    assert carrying(marker)
    assert (tmp_path / "noted $(id)").exists()


def findings(place, keys):
    return {finding.what: finding for finding in setup.look([place], keys)}


def of_host(place, keys):
    return findings(place, keys)[f"ssh {place.target}"]


def test_a_host_that_is_ready_is_said_to_be(sshd):
    sshd.allow("/bin/true")
    found = of_host(sshd.place(), sshd.keys)
    assert (found.wrong, found.found) == ("", f"{sshd.remote} answers; it allows 1 line")


def test_a_host_key_that_is_not_pinned_comes_with_what_to_do(sshd, tmp_path):
    found = of_host(sshd.place(), replace(sshd.keys, known_hosts=tmp_path / "none"))
    assert found.wrong == f"its host key is not in {tmp_path}/none"
    assert found.mend.startswith(f"ssh-keyscan -p {sshd.port} -t ed25519 {HOST} > ")


def test_the_commands_that_pin_a_host_key_do(sshd, tmp_path):
    keys = replace(sshd.keys, known_hosts=tmp_path / "known hosts")
    shown = setup.how_to_pin(sshd.remote, keys).split("; ")
    for command in (shown[0], shown[-1].partition(": ")[2]):
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=tmp_path)
    assert setup.is_pinned(sshd.remote, keys)


def test_a_host_that_does_not_know_our_key_is_asked_for_the_line_of_it(sshd, tmp_path):
    public = keygen(tmp_path / "other")
    found = findings(sshd.place(), replace(sshd.keys, key_file=tmp_path / "other"))
    assert "Permission denied (publickey)" in found[f"ssh {HOST}"].wrong
    assert found["ssh key"].mend == setup.authorized_key(public)


def test_an_empty_allow_list_and_none_at_all_are_said(sshd):
    assert of_host(sshd.place(), sshd.keys).wrong == "its /etc/selfheal/allow allows nothing"
    (sshd.home / "allow").unlink()
    assert "the allow-list" in of_host(sshd.place(), sshd.keys).wrong


def test_another_version_of_the_script_is_said(sshd, monkeypatch, tmp_path):
    sshd.allow("/bin/true")
    (tmp_path / "newer.py").write_text("newer")
    monkeypatch.setattr(setup, "SCRIPT", tmp_path / "newer.py")
    assert of_host(sshd.place(), sshd.keys).wrong == "its forced command is of another version"


def test_a_host_without_a_user_is_a_matter_of_services_yaml(sshd):
    assert of_host(replace(sshd.place(), user=""), sshd.keys).mend.startswith("correct services.yaml")


def test_a_key_that_others_can_read_and_one_that_is_not_there_are_said(tmp_path):
    keygen(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    keys = Keys(tmp_path / "key", tmp_path / "known_hosts")
    place = Place("web", HOST, via="ssh", user="heal")
    assert "can be read by others" in findings(place, keys)["ssh key"].wrong
    assert findings(place, replace(keys, key_file=Path("/none")))["ssh key"].mend.startswith("ssh-keygen -q -t ed25519")


def test_doctor_prints_the_line_for_authorized_keys(installation, sshd, capsys):
    with pytest.raises(doctor.Failed):
        doctor.command()
    public = sshd.keys.key_file.with_suffix(".pub").read_text().strip()
    assert f"\n{setup.authorized_key(public)}\n" in capsys.readouterr().out


def test_doctor_says_nothing_of_ssh_where_nothing_is_reached_so(house):
    assert not [finding for finding in doctor.look() if finding.what.startswith("ssh")]
