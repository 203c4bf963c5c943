"""Forking out of a worker that holds sockets, signal handlers and half-written buffers.

Rules that this module keeps, for every child that it makes:
1. Between fork and the reset of the handlers no signal is delivered: the parent's handlers never run in a child.
2. The garbage collector is off: a finalizer of the parent (libpq says goodbye to the server) never runs in a child.
3. What the child was not given is gone: its numbers lead to /dev/null. They are not merely closed, since an object of the
   parent that dies later would then close whatever took the number.
4. A child leaves by `os._exit` or `exec` only: no atexit, no buffer of the parent is flushed twice.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Collection, Mapping, Sequence

MARKER = "SELF_HEAL_LAUNCH"  # stands in the environment of whatever a launch starts, so that it can be found
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMITS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 1024, resource.RLIMIT_NPROC: 4096}  # and what a command declares

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def fork() -> int:
    """`os.fork`, whose child has default signal handlers and no garbage collector."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            gc.disable()
            _default_signals()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return pid


def _default_signals() -> None:
    """Python's own default: everything as the system has it, and a broken pipe is an error, not a death."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # numbers that the C library keeps for itself
            signal.signal(number, signal.SIG_IGN if number == signal.SIGPIPE else signal.SIG_DFL)


def keep_only(wanted: Collection[int]) -> None:
    """Lead every file descriptor that is not `wanted` to /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        if int(name) not in (*wanted, null):
            with contextlib.suppress(OSError):  # the one that read the directory is closed already
                os.fstat(int(name))
                os.dup2(null, int(name), inheritable=int(name) <= 2)
    os.close(null)


def become_subreaper() -> None:
    """Have orphaned descendants, `setsid` daemons included, come back to this process.

    Linux only: elsewhere they are found for as long as they have their parents.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent ends (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def clean_environment(asked: Mapping[str, str] | None = None) -> dict[str, str]:
    """PATH, HOME and LANG of the worker, what was asked for, and nothing else."""
    kept = {
        "PATH": os.environ.get("PATH", PATH),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    return kept | dict(asked or {})


def execute(argv: Sequence[str], env: Mapping[str, str] | None = None, limits: Mapping[int, int] | None = None) -> OSError:
    """Become the program `argv`, in `/`, with a clean environment and limits; returns only the error that kept it from that.

    `limits`: further ones, by `resource.RLIMIT_…`.
    """
    environment = clean_environment(env)
    if MARKER in os.environ:
        environment[MARKER] = os.environ[MARKER]
    try:
        os.chdir("/")
        _limit({**LIMITS, **(limits or {})})
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(argv[0], list(argv), environment)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        return error


def _limit(limits: Mapping[int, int]) -> None:
    for name, value in limits.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, hard if name == resource.RLIMIT_NPROC else bound))
