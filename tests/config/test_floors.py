"""The linter holds the floors: a copy of the house with one wrong import in it is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("selfheal", "healing", "learning", "metafocus", "config")


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("selfheal/graph.py", "import django", "selfheal is pure BROKEN"),
        ("healing/mode.py", "import metafocus", "imports go downward only BROKEN"),
        ("learning/__init__.py", "import config.env", "imports go downward only BROKEN"),
        ("learning/aggregates.py", "from learning.broker.models import Memory", "only the broker reads memory BROKEN"),
    ],
)
def test_an_import_upward_or_of_django_in_the_rules_is_refused(tmp_path: Path, module: str, line: str, broken: str) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "static", "templates"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(lint, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert broken in done.stdout
