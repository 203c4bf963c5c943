"""`seeded_kills.py` in a process of its own: its workers are forks, which inherit nothing of other tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("killed")]
WHOLE = Path(__file__).parents[2]


def test_whenever_a_worker_is_killed_the_invariants_hold() -> None:
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--create-db", "-o", "addopts=--import-mode=importlib"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, str(WHOLE / "tests/faults/seeded_kills.py")],
        cwd=WHOLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
