"""A throwaway installation: a home, its configuration, `selfheal up` in it, and people who use it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

HERE = Path(__file__).parent
READY_SECONDS = 120.0
FORM = re.compile(r'<form[^>]*action="(?P<action>[^"]+)"', re.DOTALL)


class DemoFailed(Exception):
    """Something did not go as the story says; the message tells what."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LittleService:
    """One service of the demo: a real process, known by its pidfile."""

    def __init__(self, name: str, home: Path, *, broken: bool = False) -> None:
        self.name, self.port, self.pidfile = name, free_port(), home / f"{name}.pid"
        self.argv = [sys.executable, str(HERE / "service.py"), "--port", str(self.port), *(["--broken"] if broken else [])]
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def start(self) -> None:
        self.child = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.pidfile.write_text(str(self.child.pid))
        wait_for(lambda: requests.get(self.url, timeout=1) is not None, f"{self.name} does not answer")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def workers(self) -> int:
        return int(requests.get(f"{self.url}/workers", timeout=2).json()["workers"])

    def end(self) -> None:
        """End whatever stands in the pidfile now; the first process was ours, a restarted one was selfheal's to start."""
        for pid in {self.pid, self.child.pid if self.child else self.pid}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # ended in the story
        if self.child:
            self.child.wait()

    def document(self, mode: str = "auto") -> dict[str, Any]:
        labels = {"pidfile": str(self.pidfile), "start": json.dumps(self.argv)}
        return {"name": self.name, "mode": mode, "url": self.url, "labels": labels}


class Installation:
    """`selfheal up` in a home of its own, with what the demo's three services need."""

    def __init__(self, services: list[LittleService], home: Path, database_url: str) -> None:
        self.home, self.port = home, free_port()
        config = home / "config"
        config.mkdir(parents=True)
        document = {"map": [], "services": [service.document() for service in services]}
        (config / "services.yaml").write_text(json.dumps(document, indent=1))
        (config / "commands.yaml").write_text("{}\n")
        self.environment = {
            **os.environ,
            "SELF_HEAL_HOME": str(home / "var"),
            "SELF_HEAL_PORT": str(self.port),
            "SELF_HEAL_EXECUTE": "true",
            "SELF_HEAL_OBSERVE_ONLY": "false",
            "SELF_HEAL_TIME_ZONE": "UTC",
            "SELF_HEAL_CONFIG_DIR": str(config),
            "SELF_HEAL_PLAYBOOK_DIRS": str(HERE / "playbooks"),
            "SELF_HEAL_POLL_SECONDS": "2",
            "SELF_HEAL_BASE_URL": f"http://localhost:{self.port}",
            "DATABASE_URL": database_url,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "up.log"

    def start(self) -> float:
        """Start it and wait until it is ready; returns the seconds that it took."""
        began = time.monotonic()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(self._argv("up"), env=self.environment, stdout=out, stderr=subprocess.STDOUT)
        wait_for(self._ready, "it does not become ready", READY_SECONDS)
        return time.monotonic() - began

    def _ready(self) -> bool:
        if self.process and self.process.poll() is not None:
            raise DemoFailed(f"`selfheal up` ended:\n{self.log.read_text()[-3000:]}")
        return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=15)

    def cli(self, *arguments: str, given: str = "", fails: bool = False) -> str:
        """Run a command against this home and return what it prints."""
        done = self._done(*arguments, given=given)
        if (done.returncode != 0) is not fails:
            raise DemoFailed(f"selfheal {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def anyway(self, *arguments: str) -> str:
        """As `cli`, whatever its exit status; only the standard output."""
        return self._done(*arguments).stdout

    def _done(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._argv(*arguments), env=self.environment, input=given, capture_output=True, text=True, timeout=60, check=False
        )

    def token(self, user: str, scopes: str) -> str:
        return str(json.loads(self.cli("token", "create", "--user", user, "--scope", scopes, "--json"))["token"])

    def call(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call of the API; raises DemoFailed with the answer's own words."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, f"{self.url}{path}", headers=headers, json=body, timeout=10)
        if not answer.ok:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    @staticmethod
    def _argv(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "config.cli", *arguments]


class Person:
    """Somebody at a browser: signs in, opens a page, submits the form that stands on it."""

    def __init__(self, installation: Installation, name: str, password: str) -> None:
        self.base, self.session = installation.url, requests.Session()
        self.session.headers["Referer"] = self.base
        login = f"{self.base}/admin/login/"
        self.session.get(login, timeout=10)
        form = {"username": name, "password": password, "next": "/admin/", **self._csrf()}
        if "/login/" in self.session.post(login, data=form, timeout=10).url:
            raise DemoFailed(f"{name} cannot sign in")

    def submit(self, page: str, kind: str, **fields: str) -> str:
        """Open `page`, find its form for `kind` (approve, reject) and submit it; returns the page that comes back."""
        html = self.session.get(f"{self.base}{page}", timeout=10).text
        actions = [found["action"] for found in FORM.finditer(html) if kind in found["action"]]
        if not actions:
            raise DemoFailed(f"{page} has no form to {kind}")
        answer = self.session.post(f"{self.base}{actions[0]}", data={**fields, **self._csrf()}, timeout=10)
        answer.raise_for_status()
        return answer.text

    def _csrf(self) -> dict[str, str]:
        return {"csrfmiddlewaretoken": self.session.cookies.get("selfheal_csrf") or ""}


def throwaway_home() -> Path:
    return Path(tempfile.mkdtemp(prefix="selfheal-demo-"))


def wait_for(condition: Any, failure: str, seconds: float = 120.0) -> Any:
    """Ask `condition` until it is true; connection errors count as not yet. Raises DemoFailed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := condition():
                return found
        except requests.RequestException:
            pass  # not up yet, and the bound below says when that is a failure
        time.sleep(0.1)
    raise DemoFailed(f"{failure} within {seconds:.0f} s")
