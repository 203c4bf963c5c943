"""`selfheal guardrail`, on this machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.cli import run
from tests.factories import CONFIGURE, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELF_HEAL_TOKEN", raising=False)
    make_user("root", CONFIGURE)


def test_it_is_shown_pinned_and_unpinned(capsys: Any) -> None:
    assert run(["guardrail", "pin", "tighten", "--reason", "a release", "--user", "root"]) == 0
    assert capsys.readouterr().out.strip() == "strict: pinned by root: a release"
    assert run(["guardrail", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).items() >= {"level": "tighten", "said": "maintain", "pinned_by": "root"}.items()
    assert run(["guardrail", "unpin", "--reason", "it is out", "--user", "root"]) == 0
    assert capsys.readouterr().out.strip() == "normal: no meta loop has said another"
    assert run(["guardrail", "show"]) == 0
    assert "no meta loop has said another" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pin", "tighten", "--reason", "x"], "--user NAME"),
        (["pin", "lax", "--reason", "x", "--user", "root"], "level: must be one of"),
        (["pin", "tighten", "--reason", " ", "--user", "root"], "reason: says why"),
        (["unpin", "--reason", "x", "--user", "root"], "not pinned"),
        (["pin", "tighten", "--reason", "x", "--user", "vera"], "vera"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], said: str, capsys: Any) -> None:
    make_user("vera")
    assert run(["guardrail", *arguments]) == 1
    assert said in capsys.readouterr().err
