"""The two processes of a launch: the launcher, and the work under it. Both leave by `os._exit` or `exec` only."""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
from typing import Any, NoReturn

from setproctitle import setproctitle

from healing.forking import MARKER, become_subreaper, die_with_parent, fork, keep_only
from healing.result import Result

from . import reaper
from .channel import Channel, Work
from .glimpse import Glimpse


def launcher(
    work: Work,
    life: int,
    answer: int,
    channel: socket.socket,
    bound_seconds: float,
    marker: str,
    title: str,
    glimpse: Glimpse,
) -> NoReturn:
    """The process between the worker and the work."""
    try:
        os.setsid()
        keep_only((life, answer, channel.fileno()))
        become_subreaper()
        setproctitle(f"selfheal: launcher of {title}")
        out, err = os.pipe(), os.pipe()
        parent = os.getpid()
        child = fork()
        if child == 0:
            _work(work, channel, parent, out[1], err[1], marker, title)
        for number in (out[1], err[1]):
            os.close(number)
        channel.close()
        reaper.main(child, life, (out[0], err[0]), bound_seconds, answer, glimpse)
    finally:
        os._exit(1)


def _work(work: Work, channel: socket.socket, parent: int, out: int, err: int, marker: str, title: str) -> NoReturn:
    """The work itself: its own process group, its outputs in pipes, nothing open but its channel."""
    code = 1
    try:
        die_with_parent(parent)
        os.setpgid(0, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        keep_only((0, 1, 2, channel.fileno()))
        os.environ[MARKER] = marker
        setproctitle(f"selfheal: {title}")
        _fresh_output()
        end = Channel(channel)
        result = _performed(work, end)
        sys.stdout.flush()
        sys.stderr.flush()
        if result is not None:
            end.finish(result)
            code = 0
    finally:
        os._exit(code)


def _performed(work: Work, end: Channel) -> Result | None:
    try:
        return work(end)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it becomes the result of this step
        traceback.print_exc()
        return Result(False, f"{type(error).__name__}: {error}")


_PARENTS: list[Any] = []  # objects of the worker that must not die in a child: they would write what the worker will write


def _fresh_output() -> None:
    """`print` and logging go to the pipes, not into the worker's buffers and handlers."""
    _PARENTS.extend((sys.stdout, sys.stderr))
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", closefd=False)
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for logger in (logging.root, *loggers):
        _PARENTS.append(logger.handlers)
        logger.handlers, logger.propagate = [], True
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
