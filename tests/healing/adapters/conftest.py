from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from healing.adapters import conformance
from healing.adapters.base import Around
from selfheal.places import Place
from tests.healing.actions.conftest import server  # noqa: F401  (a fixture)
from tests.processes import PYTHON, end_all


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return conformance.around(tmp_path)


class Little:
    """A real process that stands in a pidfile."""

    def __init__(self, folder: Path, marker: str) -> None:
        self.start = [PYTHON, "-c", "import time; time.sleep(600)", marker]
        self.pidfile = folder / "little.pid"
        self.child = subprocess.Popen(self.start)
        self.pidfile.write_text(f"{self.child.pid}\n")

    @property
    def labels(self) -> dict[str, str]:
        return {"pidfile": str(self.pidfile), "start": json.dumps(self.start)}

    def place(self, **more: str) -> Place:
        return Place("little", "little", labels={**self.labels, **more})

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Little]:
    marker = f"marker-{uuid.uuid4().hex}"
    made = Little(tmp_path, marker)
    yield made
    end_all(marker)
    made.child.wait()


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a script in the place of a tool: it prints this text."""

    def made(name: str, text: str, code: int = 0) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        path.chmod(0o755)
        monkeypatch.setattr("healing.actions.tools.find", lambda wanted: str(tmp_path / wanted))

    return made
