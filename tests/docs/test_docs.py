"""The documentation is true: pages from code are up to date, links lead somewhere, commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
COMMAND = re.compile(r"^(?:\.venv/bin/)?selfheal ((?:[a-z-]+)(?: [a-z-]+)?)", re.MULTILINE)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_pages_that_are_written_from_code_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run python docs/generate.py"


def test_the_plot_of_regret_is_what_the_simulation_says() -> None:
    done = subprocess.run([sys.executable, "docs/regret.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run python docs/regret.py"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_to_a_file(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_block_in_a_list_does_not_end_it(page: Path) -> None:
    short = [n for n, line in enumerate(page.read_text().splitlines(), 1) if re.match(r" {1,3}```", line)]
    assert not short, "MkDocs takes four spaces for what belongs to an item of a list"


def test_every_command_in_the_pages_exists() -> None:
    from typer.main import get_group

    from config.cli import COMMANDS, _root

    for page in PAGES:
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
        for words in COMMAND.findall(blocks):
            name, *rest = words.split()
            assert name in COMMANDS, f"{ids(page)}: selfheal {name}"
            command = get_group(_root(name)).commands[name]
            if rest and hasattr(command, "commands"):
                assert rest[0] in command.commands, f"{ids(page)}: selfheal {words}"
