"""`selfheal up`: everything on one machine, in the foreground.

What happens, in order: the home is made ours and locked, the port is taken, the broker starts; the database is migrated and
filled from the files; then every other process is forked from this one, which has loaded its code by then.
"""

from __future__ import annotations

import fcntl
import gc
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import get_resolver
from django.utils import timezone

from config import beat, broker, settings_log, web, worker
from config.celery import app
from config.process import stop_on_signals
from config.supervisor import Child, Supervisor
from healing import access, catalog
from healing.ledger import guards, sequencer
from healing.mode import global_mode
from selfheal.states import GlobalMode

MODES = {
    GlobalMode.EXECUTE: "execute: what policy allows is run",
    GlobalMode.OBSERVE: "observe: decisions are made and shown, nothing is run (SELF_HEAL_EXECUTE=true runs them)",
    GlobalMode.OFF: "off: nothing is decided, only signs of life (SELF_HEAL_OBSERVE_ONLY=true decides and shows)",
}
# What the children would each load for themselves otherwise.
_WORKERS = (
    "billiard.sharedctypes",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.app.routes",
    "celery.concurrency.prefork",
    "celery.events",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "kombu.pidbox",
    "kombu.transport.redis",
    "pycparser.c_parser",
)
_WEB = ("config.wsgi", "gunicorn.workers.gthread")
LOCK_MS, TRIES, AGAIN_SECONDS = 500, 60, 0.5  # of a migration that waits for others
NO_LOCK = ("55P03", "40P01")  # lock_not_available, deadlock_detected
LEFT_SECONDS = 10.0  # for the children of an `up` that was killed to end


class CannotStart(Exception):
    """Why `up` does not start, a line each."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def up() -> None:
    """Run until TERM or Ctrl-C. Raises CannotStart."""
    home = settings.SELF_HEAL_HOME
    run_dir = home / "run"
    try:
        for folder in (home, run_dir):
            broker.private_dir(folder)
    except (broker.BrokerError, OSError) as error:
        raise CannotStart(str(error)) from None
    lock = take_lock(home)
    listener = take_port()
    supervisor = Supervisor(children(listener), run_dir)
    try:
        start_broker(supervisor)
        say(*where(), *prepare())
        load_for_workers()
        if settings.EMBEDDED_BROKER_SOCKET:
            broker.wait(settings.EMBEDDED_BROKER_SOCKET)
        if not supervisor.asked:
            supervisor.start("worker-control", "worker-runs", "beat", "sequencer")
            load_for_web()  # while the workers begin on another core
            supervisor.start("web")
            if settings.SELF_HEAL_FORECASTER:
                supervisor.start("worker-advice")  # nobody waits for it
        supervisor.run(Readiness().look)
    except broker.BrokerError as error:
        raise CannotStart(str(error)) from None
    finally:
        supervisor.stop()
        lock.close()


def say(*lines: str) -> None:
    print("\n".join(lines), flush=True)


# ---- what is ours alone


def take_lock(home: Path) -> IO[str]:
    """The home's lock, held as long as the file is open here or in a child. Raises CannotStart while another `up` has it.

    The children of an `up` that was killed need a moment to end: that is waited for.
    """
    lock = (home / "run" / "up.lock").open("a+")
    until = time.monotonic() + LEFT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            if _has_it(int(holder or 0), lock):
                raise CannotStart(f"another `selfheal up` (process {holder}) is running in {home}") from None
            if time.monotonic() > until:
                left = f"what another `selfheal up` has left goes on in {home}: {_who_has_open(lock.name)}"
                raise CannotStart(f"{left}; end it, then start again") from None
            time.sleep(0.1)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _who_has_open(path: str) -> str:
    """The other processes that have the file open, as far as we may see."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(file.path == path for file in process.open_files()):
                found.append(f"process {process.pid} ({' '.join(process.cmdline()).strip()})")
        except psutil.Error:
            continue
    return ", ".join(found) or "processes of somebody else"


def _has_it(pid: int, lock: IO[str]) -> bool:
    """Whether the process is the one that wrote its number into the lock: a stranger with the same number began later."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= os.fstat(lock.fileno()).st_mtime
    except psutil.Error:
        return False


def take_port() -> socket.socket:
    try:
        return web.listen()
    except OSError as error:
        raise CannotStart(
            f"{web.address()} cannot be listened on ({os.strerror(error.errno or 0)}): "
            "end what uses it, or set SELF_HEAL_PORT or SELF_HEAL_LISTEN to another"
        ) from None


# ---- the processes


def children(listener: socket.socket) -> list[Child]:
    def without_port(run: Callable[[], int | None]) -> Callable[[], int | None]:
        def only() -> int | None:
            listener.close()
            return run()

        return only

    found = [
        Child("web", lambda: web.run(listener)),
        Child("worker-control", without_port(lambda: worker.run("control"))),
        Child("worker-runs", without_port(lambda: worker.run("runs"))),
        Child("beat", without_port(lambda: beat.run(stop_on_signals()))),
        Child("sequencer", without_port(run_sequencer)),
    ]
    if settings.SELF_HEAL_FORECASTER:
        found.append(Child("worker-advice", without_port(lambda: worker.run(worker.ADVICE))))
    if settings.EMBEDDED_BROKER_SOCKET:
        path, data = settings.EMBEDDED_BROKER_SOCKET, settings.SELF_HEAL_HOME / "broker"
        found.append(Child("broker", without_port(lambda: broker.run(path, data)), last=True))
    return found


def run_sequencer() -> None:
    sequencer.run(stop_on_signals().is_set)


def start_broker(supervisor: Supervisor) -> None:
    if settings.EMBEDDED_BROKER_SOCKET:
        broker.prepare(settings.EMBEDDED_BROKER_SOCKET, settings.SELF_HEAL_HOME / "broker")
        supervisor.start("broker")


def load_for_workers() -> None:
    """Load what workers, beat and sequencer need, once, so that they share it."""
    _load(_WORKERS)
    app.loader.import_default_modules()
    app.finalize()
    connections.close_all()
    gc.freeze()  # so that the collector does not write into pages that all share
    gc.enable()


def load_for_web() -> None:
    _load(_WEB)
    get_resolver().url_patterns  # noqa: B018  (reading it loads the views)
    gc.freeze()


def _load(modules: tuple[str, ...]) -> None:
    for name in modules:
        import_module(name)


# ---- the database


def prepare() -> list[str]:
    """Migrate; put guards, roles, services and playbooks in their place; make the first admin. Returns lines to show.

    Raises CannotStart.
    """
    at = timezone.now()
    try:
        migrate()
        access.ensure_roles(at)
        settings_log.record("up", at)
        sync()
        password = access.first_admin(at)
    except DatabaseError as error:
        raise CannotStart(f"the database failed: {str(error).strip()}; `selfheal doctor` says more") from None
    finally:
        connections.close_all()
    if not password:
        return []
    return ["", f"  sign in as admin with the password {password}", "  (shown this once: change it after signing in)"]


def migrate() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        give_way(lambda: call_command("migrate", interactive=False, verbosity=0))
    guards.install()
    if missing := guards.missing():
        raise CannotStart(f"the database does not keep the triggers that guard the log: {', '.join(missing)}")


def give_way(change: Callable[[], object]) -> None:
    """Change the schema while others use it, who are not kept waiting for long, nor the ones whom a deadlock ends.

    What does not get its locks within LOCK_MS is taken back (each migration is a transaction), and tried again; PostgreSQL looks
    for deadlocks only after a second. Raises what the last of TRIES has raised.
    """
    if connection.vendor != "postgresql":
        change()
        return
    for left in reversed(range(TRIES)):
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {LOCK_MS}")
        try:
            change()
            break
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") not in NO_LOCK or not left:
                raise
            time.sleep(AGAIN_SECONDS)
        finally:
            connection.close()  # and with it what was set


def sync() -> None:
    """Services and playbooks from their files into the database. Raises CannotStart with a line for each fault in a file."""
    report = catalog.sync(settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS, timezone.now(), "system")
    if report.errors:
        raise CannotStart(*report.errors, "correct these files, then start again")


# ---- what people see


def where() -> list[str]:
    base, home = settings.SELF_HEAL_BASE_URL, settings.SELF_HEAL_HOME
    engine = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.vendor, connection.vendor)
    queue = "embedded broker" if settings.EMBEDDED_BROKER_SOCKET else "Redis"
    return [
        f"selfheal · {MODES[global_mode()]}",
        f"  admin  {base}/admin/",
        f"  API    {base}/api/docs",
        f"  home   {home} ({engine}, {queue})",
    ]


class Readiness:
    """Says once that everything is there, and from time to time what is not."""

    def __init__(self) -> None:
        self.ready = False
        self.begun = psutil.Process().create_time()
        self.complained = time.time()

    def look(self) -> float:
        """Called between two turns of the supervisor; the seconds until it wants to be called again."""
        if self.ready:
            return 60.0
        problem = not_ready()
        if not problem:
            self.ready = True
            say(f"ready in {time.time() - self.begun:.1f} s; Ctrl-C ends everything")
            return 60.0
        if time.time() - self.complained > 15:
            self.complained = time.time()
            print(f"not ready yet: {problem}", file=sys.stderr, flush=True)
        return 0.1


def not_ready() -> str:
    """Empty when `/readyz` of our own web process answers 200, else what it says."""
    host = settings.SELF_HEAL_LISTEN
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)
    client = http.client.HTTPConnection(host, settings.SELF_HEAL_PORT, timeout=0.5)
    try:
        client.request("GET", "/readyz", headers={"Host": "localhost"})
        answer = client.getresponse()
        body = answer.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"the web process does not answer ({error})"
    finally:
        client.close()
    return "" if answer.status == 200 else _detail(body)


def _detail(body: str) -> str:
    try:
        return str(json.loads(body).get("detail", body))
    except (ValueError, AttributeError):
        return body[:200]
