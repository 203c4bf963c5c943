"""What would have come of a playbook: what people say first, then what happened, then what is likely."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.shadow import SOON, Course, Judgement, judge, tally, would_run
from selfheal.states import Verdict

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LONG = Course("restart", AT, over_at=AT + timedelta(minutes=37))
WORD = {"said": "would_have_harmed", "said_by": "olga", "note": "it was migrating"}


@pytest.mark.parametrize(
    ("changes", "found", "why"),
    [
        (WORD, "would_have_harmed", "olga says so: it was migrating"),
        ({**WORD, "over_at": None}, "would_have_harmed", "olga says so"),
        ({**WORD, "did": {"restart"}}, "would_have_harmed", "olga says so"),
        ({"did": {"restart", "scale"}}, "agreed", "the same playbook"),
        ({"did": {"restart"}, "over_at": None}, "agreed", "the same playbook"),
        ({"did": {"scale"}}, "unknown", "people used scale instead"),
        ({"over_at": AT + SOON / 2}, "would_have_harmed", "over by itself after 1 min"),
        ({"over_at": AT + SOON / 2, "over_by": "olga"}, "unknown", "not run often enough"),
        ({"over_at": AT + SOON}, "unknown", "not run often enough"),
        ({"succeeded": 9.0, "failed": 0.5}, "would_have_helped", "went on for 37 min; where it ran, it helped 9.0 of 9.5"),
        ({"succeeded": 0.5, "failed": 9.0}, "would_have_harmed", "went wrong 9.0 of 9.5 times"),
        ({"succeeded": 4.0, "failed": 4.0}, "unknown", "says nothing yet"),
        ({"succeeded": 2.0}, "unknown", "not run often enough"),
    ],
)
def test_what_would_have_come_of_it(changes: dict[str, Any], found: str, why: str) -> None:
    said = judge(replace(LONG, **{**changes, "did": frozenset(changes.get("did", ()))}))
    assert said is not None
    assert (said[0], why in said[1]) == (found, True)


def test_while_it_goes_on_nothing_is_concluded() -> None:
    assert judge(replace(LONG, over_at=None, succeeded=9.0)) is None


COURSES = st.builds(
    Course,
    playbook=st.just("restart"),
    proposed_at=st.just(AT),
    over_at=st.none() | st.integers(0, 7200).map(lambda seconds: AT + timedelta(seconds=seconds)),
    over_by=st.sampled_from(["", "olga", "worker"]),
    did=st.frozensets(st.sampled_from(["restart", "scale"])),
    said=st.sampled_from(["", *Judgement]),
    succeeded=st.floats(0, 50),
    failed=st.floats(0, 50),
)


@given(COURSES, st.floats(0, 50))
def test_one_more_good_run_elsewhere_never_makes_it_look_worse(course: Course, more: float) -> None:
    order = ["would_have_harmed", "unknown", "agreed", "would_have_helped"]
    before, after = judge(course), judge(replace(course, succeeded=course.succeeded + more))
    assert (before is None) is (after is None)
    if before and after and course.succeeded + course.failed >= 3:
        assert order.index(after[0]) >= order.index(before[0])


@given(COURSES)
def test_what_a_person_says_stands_whatever_else_is_known(course: Course) -> None:
    assert judge(replace(course, said=Judgement.AGREED))[0] is Judgement.AGREED  # type: ignore[index]


@given(st.lists(COURSES, max_size=20))
def test_a_tally_is_of_each_course_once(courses: list[Course]) -> None:
    found = tally(map(judge, courses))
    assert found.total == len(courses)
    assert list(found.counts) == list(Judgement)


def rules(**verdicts: str) -> dict[str, Any]:
    return {"rules": [{"rule": name, "verdict": verdict, "reason": ""} for name, verdict in verdicts.items()]}


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (rules(service_mode="deny", impact="auto", storm="auto"), Verdict.AUTO),
        (rules(global_mode="deny", service_mode="auto", impact="approval"), Verdict.APPROVAL),
        (rules(service_mode="deny", bounds="deny"), None),
        (rules(service_mode="approval", impact="auto"), None),
        (rules(service_mode="auto", kill_switch="deny"), None),
        (rules(service_mode="deny"), None),
        ({}, None),
    ],
)
def test_it_is_a_shadow_where_only_the_mode_denied_it(payload: dict[str, Any], found: Verdict | None) -> None:
    assert would_run(payload) is found
