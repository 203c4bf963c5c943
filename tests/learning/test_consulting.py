"""Questions and answers are rows: nobody waits, nothing is answered twice, and an adviser that fails is off for a while."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery.exceptions import SoftTimeLimitExceeded
from kombu.exceptions import OperationalError

from healing import breaker
from healing.models import LedgerOutbox
from learning import advisers, consulting, tasks
from learning.models import Advised
from selfheal.advice import Advice, Facts
from selfheal.errors import Invalid

from .conftest import answers

pytestmark = pytest.mark.django_db
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
FACTS = {"points": [[0, 1.0]], "limit": 2.0}
SAID = Advice(0.7, (1.0, 2.0), ("it rises",))
Says = Callable[[Any], None]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """What the adviser `seer` says: an advice, or what it raises."""

    def set_to(what: Any) -> None:
        def advise(facts: Facts) -> Advice:
            if isinstance(what, BaseException):
                raise what
            return what  # type: ignore[no-any-return]

        monkeypatch.setattr(advisers, "load", lambda name: advise)

    set_to(SAID)
    return set_to


def ask(at: datetime, *about: str, facts: Facts = FACTS) -> dict[str, Advice | None]:
    questions = dict.fromkeys(about or ("cpu",), facts)
    return consulting.consult("seer", questions, at, within=20 * SECOND, fresh=4 * MINUTE)


def entries() -> list[str]:
    leaves = (json.loads(bytes(row)) for row in LedgerOutbox.objects.order_by("id").values_list("leaf", flat=True))
    return [leaf["action"] for leaf in leaves if leaf["resource"] == "adviser:seer"]


# -- the way there and back


def test_an_answer_is_there_the_next_time(at: datetime, says: Says) -> None:
    assert ask(at) == {}
    assert answers(at + SECOND) == 1
    assert ask(at + MINUTE) == {"cpu": SAID}


def test_a_question_is_one_row_however_often_it_is_asked(at: datetime, says: Says) -> None:
    for minute in range(5):
        ask(at + minute * MINUTE, "cpu", "disk")
        answers(at + minute * MINUTE + SECOND)
    assert Advised.objects.count() == 2


def test_an_answer_that_is_too_old_or_to_other_facts_is_none(at: datetime, says: Says) -> None:
    ask(at)
    answers(at)
    assert ask(at + 4 * MINUTE + SECOND) == {}
    answers(at + 4 * MINUTE + SECOND)
    assert ask(at + 5 * MINUTE, facts={**FACTS, "limit": 3.0}) == {}


def test_nobody_begins_with_a_question_whose_time_is_over(at: datetime, says: Says) -> None:
    ask(at)
    assert answers(at + 20 * SECOND) == 0


def test_facts_that_it_cannot_use_are_an_answer_and_no_failure(at: datetime, says: Says) -> None:
    says(Invalid("2 points are known", field="points"))
    ask(at)
    answers(at)
    assert ask(at + MINUTE) == {"cpu": None}
    assert breaker.known() == []


def test_what_was_never_answered_goes_first_then_the_oldest_answer(at: datetime, says: Says) -> None:
    ask(at, "a", "b")
    answers(at)
    ask(at + MINUTE, "a", "b", "c")
    row, more = consulting.take(at + MINUTE)
    assert row
    assert (row.about, more) == ("c", True)


def test_what_nobody_asks_any_more_is_deleted_after_a_day(at: datetime, says: Says) -> None:
    ask(at, "gone")
    ask(at + timedelta(days=1, seconds=1), "cpu")
    assert list(Advised.objects.values_list("about", flat=True)) == ["cpu"]


def test_a_question_is_taken_by_one(at: datetime, says: Says) -> None:
    ask(at)
    assert consulting.take(at)[0]
    assert consulting.take(at) == (None, False)


def test_a_question_that_is_being_answered_is_not_asked_again(at: datetime, says: Says) -> None:
    ask(at)
    row, _ = consulting.take(at)
    ask(at + SECOND)
    assert row
    with time_machine.travel(at + 2 * SECOND, tick=False):
        consulting.answer(row)
    assert ask(at + MINUTE) == {"cpu": SAID}


def test_an_answer_that_comes_after_its_question_was_given_up_is_dropped(at: datetime, says: Says) -> None:
    ask(at)
    row, _ = consulting.take(at)
    consulting.give_up(at + MINUTE)
    assert row
    consulting.answer(row)
    assert ask(at + MINUTE) == {}


def test_a_broker_that_is_away_keeps_nobody_from_asking(
    at: datetime, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def refuse(**_: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(tasks.advise, "apply_async", refuse)
    with django_capture_on_commit_callbacks(execute=True) as called:
        ask(at)
    assert called
    assert Advised.objects.count() == 1


def test_the_next_is_sent_for_before_the_adviser_is_called(at: datetime, says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    ask(at, "a", "b")
    monkeypatch.setattr(tasks.advise, "apply_async", lambda **_: did.append("sent"))
    monkeypatch.setattr(consulting, "answer", lambda row: did.append(row.about))
    with time_machine.travel(at, tick=False):
        tasks.advise()
    assert did == ["sent", "a"]


# -- switched off


def fail(at: datetime, times: int, reason: BaseException, says: Says) -> None:
    says(reason)
    for second in range(times):
        ask(at + second * SECOND, "cpu")
        assert answers(at + second * SECOND) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ZeroDivisionError("division by zero"), "it failed: ZeroDivisionError: division by zero"),
     (SoftTimeLimitExceeded(), "it took longer than 10 s")],
    ids=["error", "slow"],
)  # fmt: skip
def test_an_adviser_that_errs_or_is_slow_three_times_is_off_and_the_log_has_it(
    at: datetime, says: Says, error: BaseException, reason: str
) -> None:
    fail(at, 3, error, says)
    assert breaker.standing("seer").reason == reason
    assert consulting.why_silent("seer") == f"the adviser seer is switched off, {reason}"
    assert ask(at + MINUTE) == {}
    assert answers(at + MINUTE) == 0
    assert entries() == ["adviser.switched_off"]


def test_a_number_that_is_none_is_a_failure(at: datetime, says: Says) -> None:
    says(Advice(0.5, (1.0, float("inf")), ("endless",)))
    ask(at)
    answers(at)
    assert breaker.standing("seer").failures == 1


def test_a_process_that_ended_in_a_call_counts_against_its_adviser(at: datetime, says: Says) -> None:
    ask(at)
    consulting.take(at)
    ask(at + 21 * SECOND)
    assert breaker.standing("seer").reason == "its process ended before it answered"


def test_one_answer_forgets_the_failures_before_it(at: datetime, says: Says) -> None:
    fail(at, 2, ValueError(), says)
    says(SAID)
    ask(at + MINUTE)
    answers(at + MINUTE)
    assert breaker.standing("seer").failures == 0
    assert entries() == []


def test_it_comes_back_by_itself_when_one_call_on_trial_is_answered(at: datetime, says: Says) -> None:
    fail(at, 3, ValueError(), says)
    says(SAID)
    later = at + 6 * MINUTE
    ask(later, "cpu", "disk")
    with time_machine.travel(later, tick=False):
        first, more = consulting.take(later)
        assert first
        assert not more  # nothing else while it is tried
        assert consulting.take(later) == (None, False)
        consulting.answer(first)
    assert answers(later) == 1
    assert entries() == ["adviser.switched_off", "adviser.switched_on"]


def test_a_failed_trial_keeps_it_off_for_longer(at: datetime, says: Says) -> None:
    fail(at, 3, ValueError(), says)
    fail(at + 6 * MINUTE, 1, ValueError(), says)
    until = breaker.standing("seer").off_until
    assert until
    assert until == at + 16 * MINUTE
    assert entries() == ["adviser.switched_off"] * 2


def test_how_each_stands_is_told(at: datetime, says: Says) -> None:
    fail(at, 3, ValueError("no"), says)
    rows = {row["adviser"]: row for row in consulting.standings(at + 3 * SECOND)}
    assert rows["forecast"]["asked"]
    assert (rows["forecast"]["state"], rows["forecast"]["questions"]) == ("on", 0)
    assert (rows["seer"]["state"], rows["seer"]["failures"], rows["seer"]["reason"]) == ("off", 3, "it failed: ValueError: no")
