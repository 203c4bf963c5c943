"""`host`: processes on this machine, and the machine itself.

A service is a process, known by its labels as everywhere (`healing.processes`), or, with the label `disk`, this machine with the
file system that has this path. What is reached by ssh is not looked at from here: an exporter there sends what it measures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import psutil

from healing import processes
from healing.actions import supervised, supervisord, systemd
from healing.actions.base import Context
from healing.actions.tools import Machine, ToolError
from healing.parameters import frozen
from selfheal.errors import Invalid, NotApplicable
from selfheal.signals import Threshold
from selfheal.telemetry import known

from .base import Around, Metric, Place, Placed, Seen, each

STRAIN = "capacity_strain"
MIB = 1024 * 1024
TOOL_SECONDS = 5.0
MOST_KEPT = 10_000
_used: dict[tuple[int, float], tuple[float, float]] = {}  # process → seconds of processor that it had used, and when that was
NO_PROCESS = (
    "it says neither which process it is (label `unit`, `program`, or `pidfile` with `start`) nor, by the label `disk`, that it "
    "is this machine"
)


class Host(Placed):
    """Processes on this machine, kept by systemd, by supervisord or in a pidfile, and the machine itself."""

    name = "host"
    telemetry = (
        known("up", "1: its process lives, as whoever keeps it sees it; 0: it does not"),
        Metric("host.cpu_percent", "% of one processor", "what its process used since the look before"),
        Metric("host.memory_mib", "MiB", "resident memory of its process"),
        Metric("host.age_seconds", "s", "since its process began: it falls when the process was started again"),
        Metric("host.files_percent", "% of its limit", "open files and sockets of its process", Threshold(STRAIN, degraded=90)),
        Metric(
            "host.disk_used_percent", "%", "of the file system that holds the label `disk`", Threshold(STRAIN, 90, critical=97)
        ),
        Metric("host.memory_used_percent", "%", "of the memory of the machine", Threshold(STRAIN, degraded=95)),
        Metric("host.load_per_processor", "processes", "that want to run, over a minute, for each processor"),
    )
    actions = ("process.restart", "process.start", "process.stop", "command.run", "wait")
    checks = ("process_up", "http_health", "command")
    playbooks = ("restart-process", "restart-quiet-process", "rotate-logs")

    def sense(self, places: Sequence[Place], around: Around) -> list[Seen]:
        return each(places, lambda place: _look(place, around), around.until)


def _look(place: Place, around: Around) -> Seen:
    if place.via != "local":
        return Seen(place, why=f"it is reached by {place.via}, and only this machine is looked at: send its `up` as a signal")
    try:
        values = _machine(place.labels["disk"]) if "disk" in place.labels else {}
        if values and not any(label in place.labels for label in ("unit", "program", "pidfile")):
            return Seen(place, values)
        return _process(place, values, around)
    except Invalid as error:
        return Seen(place, why=NO_PROCESS if error.field == "labels" else str(error))
    except (NotApplicable, ToolError) as error:
        return Seen(place, why=str(error))
    except OSError as error:
        return Seen(place, why=f"{error.filename or 'it'} cannot be looked at: {error.strerror or error}")


def _machine(path: str) -> dict[str, float]:
    return {
        "host.disk_used_percent": psutil.disk_usage(path).percent,
        "host.memory_used_percent": psutil.virtual_memory().percent,
        "host.load_per_processor": round(os.getloadavg()[0] / (os.cpu_count() or 1), 3),
    }


def _process(place: Place, values: dict[str, float], around: Around) -> Seen:
    known_by = processes.known(place)
    up, pid = _kept(known_by, place, around)
    values = {**values, "up": float(up)}
    if not up or not pid:
        return Seen(place, values, "" if up else f"{processes.described(frozen(known_by))} does not live")
    more, why = _measured(pid)
    return Seen(place, {**values, **more}, why)


def _kept(process: processes.Known, place: Place, around: Around) -> tuple[bool, int | None]:
    """Whether whoever keeps it says that it lives, and its process. Raises ToolError where nobody says."""
    if isinstance(process, processes.ByPidfile):
        pid = processes.running(process, around.home)
        return pid is not None, pid
    if isinstance(process, processes.ByPart):
        pid = supervised.running(process, around.home)
        return pid is not None, pid
    context = Context("sense", place.service, place.target, home=around.home)
    seconds = max(0.1, min(TOOL_SECONDS, around.left))
    if isinstance(process, processes.ByUnit):
        return systemd.main_process(process.unit, Machine(context), seconds)
    return supervisord.main_process(process, Machine(context), seconds)


def _measured(pid: int) -> tuple[dict[str, float], str]:
    """What psutil says of a process, and what it may not say."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            found = {
                "host.memory_mib": process.memory_info().rss / MIB,
                "host.age_seconds": max(0.0, time.time() - process.create_time()),
                **_share(process),
            }
        limit = process.rlimit(psutil.RLIMIT_NOFILE)[0]
        if limit > 0:
            found["host.files_percent"] = 100 * process.num_fds() / limit
    except psutil.NoSuchProcess:
        return {}, f"process {pid} ended while it was looked at"
    except psutil.AccessDenied:
        return {}, f"process {pid} belongs to somebody else: that it lives is all that can be seen of it"
    return found, ""


def _share(process: psutil.Process) -> dict[str, float]:
    """What it used of a processor since this worker looked last; nothing at the first look, since there is nothing to compare."""
    used, now = sum(process.cpu_times()[:2]), time.monotonic()
    key = process.pid, process.create_time()
    before = _used.get(key)
    if len(_used) >= MOST_KEPT:
        _used.clear()
    _used[key] = used, now
    if before is None or now <= before[1]:
        return {}
    return {"host.cpu_percent": max(0.0, 100 * (used - before[0]) / (now - before[1]))}
