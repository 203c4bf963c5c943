"""What every long-lived process of ours does about signals, its name, and the death of its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

from setproctitle import setproctitle

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` is gone, however it died (Linux; elsewhere it does nothing).

    KILL, because a supervisor that was killed is a crash of everything: leases, transactions and launchers are made for that.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def stop_on_signals() -> threading.Event:
    """An event that TERM or INT sets."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def take_name(name: str) -> None:
    setproctitle(f"selfheal {name}")
