"""The follower: each entry is learnt once, whatever happens between, and reading again makes the same tables."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from learning import follow as module
from learning.follow import again, follow
from learning.models import Course, Cursor, Hour, Lesson, Repair

from .conftest import BEGIN, history, leaf, store


def tables() -> list[list[dict[str, Any]]]:
    """All that was learnt, without the numbers that the database gives."""
    rows = [list(model._default_manager.values()) for model in (Lesson, Course, Hour, Repair)]
    return [sorted(({k: v for k, v in row.items() if k != "id"} for row in table), key=repr) for table in rows]


@pytest.mark.django_db
def test_a_log_that_grows_is_read_as_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves, chance = history(seed=1, runs=120), random.Random(1)
    monkeypatch.setattr(module, "BATCH", 37)
    done = 0
    while done < len(leaves):
        some = leaves[done : done + chance.randrange(1, 90)]
        store(some, first=done)
        done += len(some)
        while follow():
            continue
    grown = tables()
    assert Cursor.objects.get().next_index == len(leaves)
    monkeypatch.setattr(module, "BATCH", 500)
    again()
    assert tables() == grown
    assert len(grown[0]) > 200


@pytest.mark.django_db
def test_a_follower_that_fails_half_way_has_learnt_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store(history(seed=2, runs=30))

    def fails(*_: Any) -> None:
        raise RuntimeError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_add", fails)
        with pytest.raises(RuntimeError):
            follow()
    assert tables() == [[], [], [], []]
    assert follow() > 0


@pytest.mark.django_db
def test_a_run_whose_proposal_is_older_than_the_log_teaches_nothing() -> None:
    store([leaf(uuid.uuid4(), "succeeded", BEGIN, **{"from": "verifying", "to": "succeeded"})])
    assert follow() == 1
    assert not Lesson.objects.exists()
