"""A whole `selfheal up` for tests: a home, a free port and, where the environment names PostgreSQL, a database of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

import psutil

from tests.processes import carrying, until

PATIENCE = 60.0  # seconds for a start, on a machine that does much else


class Installation:
    """Use as a context manager: on leaving, everything that carries its home is ended and its database is dropped."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.home, self.config = folder / "home", folder / "config"
        self.config.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.port = free_port()
        self.variables = variables
        self.database = ""
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Installation:
        if os.environ.get("DATABASE_URL"):
            self.database = f"selfheal_up_{os.getpid()}_{self.port}"
            _sql(f"CREATE DATABASE {self.database}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self.alive():
            process.kill()
        until(lambda: not self.alive())
        if self.process:
            self.process.wait(10)
        if self.database:
            _sql(f"DROP DATABASE {self.database} WITH (FORCE)")

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SELF_HEAL_", "DJANGO_", "PYTEST_"))}
        if self.database:
            kept["DATABASE_URL"] = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{self.database}"
        return kept | {
            "SELF_HEAL_HOME": str(self.home),
            "SELF_HEAL_PORT": str(self.port),
            "SELF_HEAL_CONFIG_DIR": str(self.config),
            "SELF_HEAL_PLAYBOOK_DIRS": str(self.config),
            **self.variables,
        }

    def shell(self) -> dict[str, str]:
        """What a shell of the operator has: `selfheal` and the interpreter first on its path, and the address."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return self.environment() | {"PATH": path, "SELF_HEAL_BASE_URL": f"http://127.0.0.1:{self.port}"}

    def start(self) -> Installation:
        """Start `up` and return when it says that it is ready; fails with its output when it does not."""
        self.launch()
        assert until(lambda: "ready in" in self.output() or self.process.poll() is not None, PATIENCE), self.output()  # type: ignore[union-attr]
        assert "ready in" in self.output(), self.output()
        return self

    def launch(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                _command("up"), env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """One command line, to its end."""
        environment = self.environment() | variables
        return subprocess.run(
            _command(*arguments),
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def signal(self, number: signal.Signals) -> int:
        """Send a signal to the supervisor; its exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(20)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def password(self) -> str:
        return re.findall(r"with the password (\S+)", self.output())[0]

    def pid(self, name: str) -> int:
        """The process id of a child, 0 while there is none."""
        try:
            return int((self.home / "run" / f"{name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def alive(self) -> list[psutil.Process]:
        return carrying(str(self.home))

    def status(self, path: str, seconds: float = 5) -> int:
        """The HTTP status of a path, 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=seconds) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from config.cli import main; main()", *arguments]


def _sql(statement: str) -> None:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]
