"""The web process: gunicorn with threads, no access log, no control socket."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException

from config.process import die_with_parent, take_name
from healing import heartbeats

log = logging.getLogger(__name__)
DISCARDED, PART = 64 * 2**20, 2**16  # bytes
DISCARDING = 5.0  # seconds


class Log(Logger):
    """Leaves the form of a line to Django's LOGGING."""

    def setup(self, cfg: Any) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Web(BaseApplication):
    def __init__(self, listener: socket.socket | None) -> None:
        self.listener = listener
        super().__init__()

    def load_config(self) -> None:
        where = f"fd://{self.listener.fileno()}" if self.listener else address()
        values = {
            "bind": [where],
            "worker_class": "gthread",
            "workers": int(os.environ.get("WEB_CONCURRENCY", "1")),
            "threads": 8,
            "timeout": 60,
            "graceful_timeout": 5,
            "keepalive": 5,
            "limit_request_line": 8190,
            "preload_app": True,
            "logger_class": Log,
            "control_socket_disable": True,
            "post_fork": _after_fork,
            "worker_exit": _at_exit,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from config.wsgi import application

        return read_out(application)


def read_out(application: Callable[..., Any]) -> Callable[..., Any]:
    """What a view left of a body is read before its answer goes out: who still sends is reset otherwise, and never sees a 413."""

    def answered(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        answer = application(environ, start_response)
        if environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING"):
            _discard(environ["wsgi.input"], environ["gunicorn.socket"])
        return answer

    return answered


def _discard(body: Any, connection: socket.socket) -> None:
    """Read to the end, but not longer than DISCARDING, and not more than DISCARDED bytes."""
    until, left, before = time.monotonic() + DISCARDING, DISCARDED, connection.gettimeout()
    connection.settimeout(DISCARDING)
    try:
        while left > 0 and time.monotonic() < until and (part := body.read(PART)):
            left -= len(part)
    except (OSError, ValueError, ParseException):
        pass  # it sends nothing more, or nonsense: there is nobody to answer
    finally:
        connection.settimeout(before)


def address() -> str:
    host = settings.SELF_HEAL_LISTEN
    return f"[{host}]:{settings.SELF_HEAL_PORT}" if ":" in host else f"{host}:{settings.SELF_HEAL_PORT}"


def listen() -> socket.socket:
    """A bound socket, so that a web process that is started again loses no connection. Raises OSError where it is taken."""
    host, port = settings.SELF_HEAL_LISTEN, settings.SELF_HEAL_PORT
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def run(listener: socket.socket | None = None) -> None:
    """Serve until TERM."""
    Web(listener).run()


def _after_fork(server: Any, worker: Any) -> None:
    die_with_parent(server.pid)
    take_name("web child")
    worker.life = Life()
    worker.life.start()


def _at_exit(server: Any, worker: Any) -> None:
    if life := getattr(worker, "life", None):  # none: it failed before it was one
        life.finish()


class Life(threading.Thread):
    """Signs of life of one web process. `/readyz` does not ask for them: a web process answers it."""

    def __init__(self) -> None:
        super().__init__(name="life", daemon=True)
        self.row, self.over = heartbeats.name_of("web"), threading.Event()

    def run(self) -> None:
        while True:
            self._tell(lambda: heartbeats.beat(self.row, "web", timezone.now()))
            if self.over.wait(heartbeats.EVERY):
                break
        self._tell(lambda: heartbeats.forget(self.row))
        connection.close()

    def finish(self) -> None:
        self.over.set()
        self.join(timeout=2)

    def _tell(self, say: Callable[[], None]) -> None:
        try:
            close_old_connections()
            say()
        except DatabaseError as error:
            log.warning("no heartbeat, the database does not answer: %s", error)
            connection.close()
