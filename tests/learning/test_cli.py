"""`selfheal learning`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from config.cli import run
from learning.models import Course, Lesson

from .conftest import history


def test_the_ranker_is_judged_by_what_really_ran(capsys: Any, learnt: Callable[..., Any]) -> None:
    learnt(history(seed=11, runs=200))
    assert run(["learning", "evaluate", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["runs"] == Course.objects.filter(ended_at__isnull=False).count()
    ways = {row["way"]: row for row in said["ways"]}
    assert set(ways) == {"sampling", "fixed", "hindsight"}
    assert ways["hindsight"]["regret"] == 0
    assert 0 < ways["sampling"]["matched"] < said["runs"]
    assert run(["learning", "evaluate"]) == 0
    assert "regret a run" in capsys.readouterr().out


@pytest.mark.django_db
def test_while_nothing_was_recorded_it_says_so(capsys: Any) -> None:
    assert run(["learning", "evaluate"]) == 0
    assert capsys.readouterr().out == "no run has ended yet\n"


def test_it_is_read_again_from_entry_0(capsys: Any, learnt: Callable[..., Any]) -> None:
    leaves = learnt(history(seed=12, runs=20))
    before = list(Lesson.objects.values())
    Lesson.objects.all().delete()
    assert run(["learning", "rebuild"]) == 0
    assert capsys.readouterr().out == f"{len(leaves)} entries read\n"
    assert list(Lesson.objects.values()) == before
