"""What is killed here is really killed, and what fails fails in the system call: see killing.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAIRS = 100  # of a writer and a sequencer

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("killed")]


@pytest.fixture
def said(tmp_path: Path, migrated: Path):
    shutil.copy(migrated, tmp_path / "selfheal.sqlite3")
    places = {"SELF_HEAL_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "config.settings"}
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | places

    def run(*arguments: str) -> str:
        command = [sys.executable, str(Path(__file__).with_name("killing.py")), *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    tmp_path.chmod(0o700)
    return run


def test_writers_and_sequencers_that_are_killed_200_times_lose_and_double_nothing(said):
    assert said("kills", str(PAIRS), "7").startswith("200 kills")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here: apt-get install strace")
def test_a_fault_at_every_writing_system_call_leaves_a_log_that_is_whole(said):
    count = int(said("faults").split()[0])
    assert count > 40
