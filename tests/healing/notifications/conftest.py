"""Channels, and people who hear: nothing leaves the process but what a test serves itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from healing import tasks
from healing.models import Channel
from healing.notifications import roads
from healing.runs import starting


@pytest.fixture(autouse=True)
def _no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_send_now", lambda run_id: None)
    monkeypatch.setattr(tasks.notify, "apply_async", lambda **_: None)


@pytest.fixture(autouse=True)
def executing(settings: Any, tmp_path: Any) -> None:
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = True, False
    settings.SELF_HEAL_NOTIFY_URLS, settings.SELF_HEAL_SECRETS_DIR = [], tmp_path


@pytest.fixture
def channel(db: Any) -> Channel:
    return Channel.objects.create(name="ops", kind="apprise", url="json://ops.example/${secret.TOKEN}")


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Whom apprise would tell: `.heard` is (title, body) of each message, `.deaf` makes it fail."""
    heard: list[tuple[str, str]] = []
    ears = SimpleNamespace(heard=heard, deaf="")

    def hear(channel: Any, rows: Any) -> roads.Outcome:
        if ears.deaf:
            return roads.Outcome(False, ears.deaf)
        heard.append(roads.together([(row.title, row.body) for row in rows], "https://more"))
        return roads.Outcome(True)

    monkeypatch.setattr(roads, "_people", hear)
    return ears
