"""The lock of a home: one `up` at a time, and whoever is refused reads who has it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import up

GONE = 2**22 + 1  # no process has a number above the system's largest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture
def left(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that an `up`, which is gone, has left with its lock."""
    with (home / "run" / "up.lock").open("w") as lock:
        lock.write(f"{GONE}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(["/bin/sleep", "60"], pass_fds=[lock.fileno()])
    yield process
    process.kill()
    process.wait()


def test_while_another_runs_it_is_refused_at_once(home: Path) -> None:
    with up.take_lock(home), pytest.raises(up.CannotStart) as refused:
        up.take_lock(home)
    assert str(refused.value) == f"another `selfheal up` (process {os.getpid()}) is running in {home}"


def test_what_is_left_of_another_is_named(home: Path, left: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "LEFT_SECONDS", 0)
    with pytest.raises(up.CannotStart) as refused:
        up.take_lock(home)
    assert str(refused.value) == (
        f"what another `selfheal up` has left goes on in {home}: process {left.pid} (/bin/sleep 60); end it, then start again"
    )


def test_once_nothing_is_left_it_is_had(home: Path, left: subprocess.Popen[bytes]) -> None:
    left.kill()
    with up.take_lock(home):
        assert (home / "run" / "up.lock").read_text() == f"{os.getpid()}\n"
