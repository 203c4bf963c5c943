from __future__ import annotations

import json
from typing import Any

import pytest

from config.cli import run
from healing.models import Silence
from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db


def made(capsys: Any, *arguments: str) -> dict[str, Any]:
    assert run(["silences", "create", "--reason", "new disks", "--user", "otto", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def otto() -> None:
    make_user("otto", role="operator")
    make_service("web")


def test_a_silence_is_made_listed_and_ended(capsys: Any) -> None:
    row = made(capsys, "--service", "web", "--for", "2h", "--label", "team=shop", "--label", "tier=a=b")
    assert (row["about"], row["status"], row["labels"]) == (
        "service web and team=shop, tier=a=b",
        "active",
        {"team": "shop", "tier": "a=b"},
    )
    silence = Silence.objects.get()
    assert (silence.ends_at - silence.starts_at).total_seconds() == pytest.approx(7200, abs=5)
    assert run(["silences", "list"]) == 0
    assert "new disks" in capsys.readouterr().out
    assert run(["silences", "end", row["id"], "--reason", "done", "--user", "otto"]) == 0
    assert "is over" in capsys.readouterr().out
    assert run(["silences", "list"]) == 0
    assert capsys.readouterr().out.strip() == "nothing is silenced"
    assert run(["silences", "list", "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "over"
    assert run(["silences", "end", row["id"], "--reason", "again", "--user", "otto"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--service", "web"], "either --for 2h or --until"),
        (["--service", "web", "--for", "2h", "--until", "2026-11-27T09:00Z"], "either --for 2h or --until"),
        (["--service", "web", "--for", "soon"], "no time like 45m"),
        (["--service", "web", "--until", "tomorrow"], "no time like"),
        (["--service", "web", "--until", "2099-11-27T09:00"], "names no zone"),
        (["--service", "web", "--for", "31d"], "at most 30 days"),
        (["--service", "web", "--for", "2h", "--label", "x"], "no NAME=VALUE"),
        (["--incident", "7", "--for", "2h"], "is no id"),
        (["--for", "2h"], "names a service, labels or an incident"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], said: str, capsys: Any) -> None:
    assert run(["silences", "create", "--reason", "x", "--user", "otto", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert not Silence.objects.exists()


def test_on_this_machine_somebody_has_to_be_named_who_may(capsys: Any) -> None:
    assert run(["silences", "create", "--reason", "x", "--service", "web", "--for", "1h"]) == 1
    assert "--user NAME" in capsys.readouterr().err
    make_user("vera")
    assert run(["silences", "create", "--reason", "x", "--service", "web", "--for", "1h", "--user", "vera"]) == 1
