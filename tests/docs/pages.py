"""The commands and snippets of a page of the documentation, and a shell to run them in."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str = "sh", under: str = "") -> list[str]:
    """The blocks of a language on a page (`how-to/upgrade.md`), of one heading if it is named, in order, without their indent."""
    text = (DOCS / page).read_text()
    if under:
        start = text.index(f"\n## {under}\n")
        end = text.find("\n## ", start + 1)
        text = text[start : end if end > 0 else None]
    return [
        re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, spoken, body in FENCE.findall(text) if spoken == language
    ]


def run(block: str, environment: Mapping[str, str], cwd: Path = ROOT, seconds: float = 300) -> str:
    """Run a block as a shell does that stops at the first failure; what it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        env=dict(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout
