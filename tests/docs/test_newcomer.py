"""The way of somebody new: a fresh clone, an empty HOME, the two commands of the README, then the tutorial to a healed alert.

It says at its end how long each part took; the tutorial has the figures.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.docs.pages import DOCS, ROOT, blocks
from tests.installation import free_port
from tests.processes import end_all, until

TOOLS = ("prometheus", "prometheus-alertmanager", "git", "make")
PORTS = ("8000", "9090", "9093", "18080")
PROMISED = 600.0  # seconds: the tutorial says ten minutes

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not all(map(shutil.which, TOOLS)), reason="needs prometheus and prometheus-alertmanager (apt-get install both)"
    ),
]


class Newcomer:
    """Somebody with a clone, a HOME that is empty, and a shell. Ports and /tmp/hello are others than the page's, and free."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.home, self.took = folder / "clone", folder / "home", {}
        self.home.mkdir()
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", self.clone], check=True)
        self.instead = {port: str(free_port()) for port in PORTS} | {"/tmp/hello": f"{folder}/hello"}
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SELF_HEAL_", "DJANGO_", "PYTEST_", "VIRTUAL_ENV", "DATABASE_URL", "CELERY_"))
        }
        self.environment = kept | {"HOME": str(self.home), "SELF_HEAL_PORT": self.instead["8000"]}
        index = Path.home() / ".config/pip/pip.conf"  # which package index a machine has is no matter of a HOME
        if index.exists():
            self.environment["PIP_CONFIG_FILE"] = str(index)

    def here(self, text: str) -> str:
        return re.sub(r"/tmp/hello|\b(?:8000|9090|9093|18080)\b", lambda found: self.instead[found.group()], text)

    def timed(self, what: str, do: Callable[[], object]) -> None:
        begun = time.monotonic()
        do()
        self.took[what] = time.monotonic() - begun

    def do(self, block: str) -> str:
        """A block in the shell, to its end; what it starts with & goes on."""
        out = self.home / "out"
        with out.open("wb") as file:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", self.here(block)],
                env=self.environment, cwd=self.clone, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, timeout=PROMISED, check=False,
            )  # fmt: skip
        said = out.read_text(errors="replace")
        assert done.returncode == 0, f"{block}\n{said}"
        return said

    def leave_running(self, block: str, name: str) -> subprocess.Popen[bytes]:
        """A block in a terminal of its own."""
        with (self.home / name).open("wb") as file:
            return subprocess.Popen(
                ["bash", "-c", f"exec env {self.here(block)}"],
                env=self.environment, cwd=self.clone, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    def said(self, name: str) -> str:
        return (self.home / name).read_text(errors="replace")

    def write(self, page: str) -> None:
        """The files of a page: blocks whose first line is a comment with their path."""
        for block in blocks(page, "yaml"):
            path = re.fullmatch(r"# (\S+)", block.splitlines()[0])
            assert path
            (self.clone / self.here(path[1])).write_text(self.here(block))


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    try:
        yield Newcomer(tmp_path)
    finally:
        end_all(str(tmp_path))


def test_somebody_new_has_a_healed_alert_in_the_time_that_the_tutorial_promises(newcomer: Newcomer) -> None:
    readme = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    install, demo = (line.partition("#")[0].strip() for line in readme.splitlines())
    newcomer.timed(install, lambda: newcomer.do(install))
    newcomer.timed(demo, lambda: newcomer.do(demo))
    newcomer.timed("the tutorial", lambda: tutorial(newcomer))
    newcomer.timed("`make install` again", lambda: newcomer.do(install))
    print({what: round(seconds, 1) for what, seconds in newcomer.took.items()})
    assert newcomer.took["the tutorial"] < PROMISED
    assert newcomer.took["`make install` again"] < 1


def tutorial(newcomer: Newcomer) -> None:
    install, up, service, declare, watch, kill, look, why, prove = blocks("tutorial.md")
    newcomer.do(install)
    running = newcomer.leave_running(up, "up")
    assert until(lambda: "ready in" in newcomer.said("up") or running.poll() is not None, 120), newcomer.said("up")
    newcomer.do(service)
    newcomer.write("tutorial.md")
    newcomer.do(declare)
    newcomer.do(watch)
    assert until(lambda: is_up(newcomer)), (newcomer.home.parent / "hello/prometheus.log").read_text()
    newcomer.leave_running(look, "list")
    newcomer.do(kill)
    assert until(lambda: re.search(r"resolved .* hello", newcomer.said("list")), 120), newcomer.said("list") + newcomer.said("up")
    assert requests.get(newcomer.here("http://127.0.0.1:18080/health"), timeout=5).text == "ok\n"
    assert "hello" in newcomer.do(why)
    assert "the log is whole" in newcomer.do(prove)
    os.killpg(running.pid, signal.SIGINT)  # Ctrl-C goes to all that stand in the foreground of a terminal
    assert running.wait(20) is not None


def is_up(newcomer: Newcomer) -> bool:
    try:
        answer = requests.get(newcomer.here("http://127.0.0.1:9090/api/v1/query?query=up"), timeout=5).json()
    except requests.RequestException:
        return False
    return [row["value"][1] for row in answer["data"]["result"]] == ["1"]


def test_the_tutorial_says_how_long_it_takes() -> None:
    table = (DOCS / "tutorial.md").read_text().partition("## How long it takes")[2]
    assert len(re.findall(r"^\| .* \| \d+ s \|$", table, re.MULTILINE)) == 3
