"""`selfheal smoke --throwaway`: what it asks of its installation, and that it ends with the first thing that fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.demo import smoke
from config.demo.installation import DemoFailed

RUN = {"playbook": "restart-process", "status": "aborted", "started_at": None, "requested_by": "scheduler"}
RULES = [{"rule": "kill_switch", "verdict": "auto"}, {"rule": "global_mode", "verdict": "deny"}]
COUNTED = {"proposed": 1, "skipped_mode": 1, "skipped_dup": 0}
WRONG = {"what": "log guards", "ok": False, "found": "ledger_entry", "mend": "selfheal migrate"}


class At:
    """An installation as the way sees it: its answers are what the test says."""

    def __init__(self, folder: Path, **answers: Any) -> None:
        self.log = folder / "up.log"
        self.log.write_text("the last line of its log")
        self.answers = {
            "alerts": {"accepted": 1, "incidents": ["i"]},
            "incidents/i/why": {"run": RUN, "rules": RULES},
            "scheduler_counters": {"per_service": {"shop": COUNTED}},
            "smoke": [{**WRONG, "ok": True}],
        } | answers

    def start(self) -> float:
        if "start" in self.answers:
            raise DemoFailed(self.answers["start"])
        return 8.0

    def token(self, user: str, scopes: str) -> str:
        return f"{user} {scopes}"

    def call(self, method: str, path: str, token: str, body: Any = None) -> Any:
        assert token == ("smoke ingest" if method == "POST" else "smoke read")
        return self.answers[path.removeprefix("/api/self_heal/")]

    def cli(self, *arguments: str) -> str:
        return json.dumps({"size": 18, "heads": 7})

    def anyway(self, *arguments: str) -> str:
        return json.dumps(self.answers[arguments[0]])


def test_the_whole_way_is_proved_and_then_the_installation(tmp_path: Path) -> None:
    found = list(smoke._way(At(tmp_path)))  # type: ignore[arg-type]
    assert all(finding.ok for finding in found), found
    assert [finding.what for finding in found] == ["start", "alert", "decision", "counters", "log guards", "whole log"]


@pytest.mark.parametrize(
    ("answers", "what", "says"),
    [
        ({"start": "it does not become ready within 120 s"}, "start", "it does not become ready"),
        ({"alerts": {"accepted": 0, "incidents": []}}, "alert", "the alert made no incident"),
        ({"alerts": {}}, "alert", "accepted"),
        (
            {"incidents/i/why": {"run": {**RUN, "status": "succeeded", "started_at": "now"}, "rules": RULES}},
            "decision",
            "succeeded",
        ),
        ({"incidents/i/why": {"run": RUN, "rules": RULES[:1]}}, "decision", "denied by []"),
        ({"scheduler_counters": {"per_service": {}}}, "counters", "one proposal and one for the mode were to be counted"),
    ],
)
def test_the_first_thing_that_fails_is_the_last(tmp_path: Path, answers: dict[str, Any], what: str, says: str) -> None:
    *before, last = smoke._way(At(tmp_path, **answers))  # type: ignore[arg-type]
    assert all(finding.ok for finding in before)
    assert (last.what, last.ok, last.mend) == (what, False, "the last line of its log")
    assert says in last.found


def test_what_the_installation_says_of_itself_is_passed_on(tmp_path: Path) -> None:
    found = list(smoke._way(At(tmp_path, smoke=[WRONG])))  # type: ignore[arg-type]
    assert [finding.what for finding in found if not finding.ok] == ["log guards"]


def test_nothing_of_another_installation_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELF_HEAL_TOKEN", "sh_production")
    monkeypatch.setenv("SELF_HEAL_HOME", "/var/lib/selfheal")
    given = {
        "SELF_HEAL_TOKEN": "sh_production",
        "SELF_HEAL_HOME": "/tmp/new",
        "CELERY_BROKER_URL": "redis://production",
        "PATH": "/bin",
    }
    assert smoke._alone(given) == {
        "SELF_HEAL_HOME": "/tmp/new",
        "PATH": "/bin",
        "SELF_HEAL_EXECUTE": "false",
        "SELF_HEAL_OBSERVE_ONLY": "true",
    }
