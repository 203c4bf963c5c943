"""The command line, carried out in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from config.cli import run
from tests.factories import make_roles

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def selfheal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Carry out one command line: (status, standard output, standard error)."""
    monkeypatch.delenv("SELF_HEAL_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "250")
    make_roles()

    def carry_out(*arguments: object) -> tuple[int, str, str]:
        status = run([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return carry_out


def documents(text: str) -> Any:
    return json.loads(text)
