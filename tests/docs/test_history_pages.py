"""What the pages on backtest and on why say is what the code knows."""

from __future__ import annotations

import re
from pathlib import Path

from healing.backtest import SETTINGS
from selfheal.whynot import Kind

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def test_the_settings_that_enter_a_backtest_are_named() -> None:
    page = (HOW_TO / "try-on-history.md").read_text()
    listed = page[page.index("These settings enter") : page.index("## What it can know")]
    assert re.findall(r"`(SELF_HEAL_\w+)`", listed) == list(SETTINGS)


def test_every_kind_of_answer_is_explained() -> None:
    page = (HOW_TO / "why-nothing-happened.md").read_text()
    explained = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.*?) \|", page, re.MULTILINE))))
    assert {str(kind) for kind in Kind} - explained <= {"not looked at yet"}


def test_every_option_in_the_commands_exists() -> None:
    from typer.main import get_group

    from config.cli import _root

    options = {name for each in get_group(_root("backtest")).commands["backtest"].params for name in each.opts}
    page = (HOW_TO / "try-on-history.md").read_text()
    assert set(re.findall(r"(?<=[ `])(--[a-z]+)", page)) <= options
