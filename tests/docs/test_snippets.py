"""What the pages give to type is what the programs take: options of commands, values of settings, services, calendars."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from config.cli import COMMANDS, _root
from config.env import SETTINGS, load
from tests.docs.pages import DOCS, blocks

PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.parent.name != "reference")


def lines() -> Iterator[tuple[str, str]]:
    """Page and line of every command line of ours."""
    for page in PAGES:
        for block in blocks(page):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(selfheal .+)", line):
                    yield page, found[1]


LINES = sorted(set(lines()))


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words after it."""
    name, *rest = words
    command = get_group(_root(name)).commands[name]
    below = getattr(command, "commands", None)
    return (below[rest[0]], rest[1:]) if below else (command, rest)


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_option_of_a_command_line_is_one_that_the_command_knows(page: str, line: str) -> None:
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0])[1:]
    assert words[0] in COMMANDS, page
    command, rest = command_of(words)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, page


EXPORTS = [(page, line) for page in PAGES for block in blocks(page) for line in block.splitlines() if line.startswith("export ")]


@pytest.mark.parametrize(("page", "line"), EXPORTS)
def test_every_setting_that_is_exported_is_taken_with_that_value(page: str, line: str) -> None:
    (assignment,) = shlex.split(line.removeprefix("export "))
    name, _, value = assignment.partition("=")
    assert name in {setting.name for setting in SETTINGS}, page
    if "HASH+BASE64" not in value:
        load({name: value, "SELF_HEAL_BASE_URL": "https://heal.example"})


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"\b(?:SELF_HEAL|META_LOOP)_[A-Z_]+\b", (DOCS / page).read_text()))
    known = {setting.name for setting in SETTINGS} | {"SELF_HEAL_TOKEN"}
    assert {name for name in named if not name.endswith("_")} <= known


def test_the_units_of_systemd_that_the_pages_name_are_there() -> None:
    units = {path.name for path in (Path("config") / "systemd").iterdir()}
    units |= {name.removesuffix(".service") for name in units}
    text = "\n".join((DOCS / page).read_text() for page in PAGES)
    named = set(
        re.findall(r"\bselfheal-(?:web|worker-control|worker-runs|worker-advice|beat|sequencer|migrate)(?:\.\w+)?\b", text)
    )
    assert named <= units
