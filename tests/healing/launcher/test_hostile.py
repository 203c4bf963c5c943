"""A step that does everything wrong at once, again and again: it is gone at its bound, and nothing of it is left."""

from __future__ import annotations

import time

import pytest

from healing import sandbox
from healing.forking import execute
from healing.launcher import launch, reaper
from healing.launcher.streams import KEEP
from healing.result import Result
from tests.processes import PYTHON, carrying

HOSTILE = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:                  # a daemon by the book
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setpgid(0, 0)
        break
block = b"x" * (1 << 18)
while True:                             # each of the four floods both outputs
    for number in (1, 2):
        os.write(number, block)
    time.sleep(0.02)
"""


@pytest.fixture
def end(marker, monkeypatch):
    """Run it once, with so long to live; whatever was said of it must hold each time."""
    monkeypatch.setattr(reaper, "GRACE", 0.1)

    def ended(prefix, bound):
        begun = time.monotonic()
        launched = launch(
            lambda channel: Result(False, str(execute([*prefix, PYTHON, "-I", "-S", "-c", HOSTILE, marker]))), bound_seconds=bound
        )
        assert launched.timed_out
        assert not launched.left
        assert not carrying(marker)
        assert len(launched.stdout) <= KEEP + 100
        assert time.monotonic() - begun < bound + 10
        return launched.stdout_bytes > KEEP and launched.stderr_bytes > KEEP

    return ended


@pytest.mark.slow
@pytest.mark.parametrize(("prefix", "times"), [((), 20), (sandbox.prefix(), 5)], ids=["alone", "in a sandbox"])
def test_a_step_that_ignores_term_forks_daemons_and_floods_is_gone_at_its_bound_each_time(end, prefix, times):
    for _ in range(times):
        bound = 0.5
        while not end(prefix, bound):  # a machine so busy that it had not begun
            bound *= 2
