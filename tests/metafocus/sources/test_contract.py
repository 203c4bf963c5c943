"""Every source is held to the contract of `metafocus.sources`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from healing import found
from metafocus import loop
from metafocus.models import Cycle
from metafocus.sources import SOURCES, Source
from selfheal.sources import DEFAULTS, SHOWN
from selfheal.states import Trigger

from ..conftest import entries

pytestmark = pytest.mark.django_db
EVERY = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


@pytest.fixture
def cycle(at: datetime) -> Cycle:
    made = loop.cycle(at)
    assert made
    return made


def test_there_are_four_each_with_terms_and_a_name() -> None:
    four = {Trigger.META_LOOP, Trigger.PROACTIVE_ML, Trigger.AGENTIC_SPINE, Trigger.IMMUTABLE_LOG}
    assert SOURCES.keys() == SHOWN.keys() == DEFAULTS.keys() == set(found.WITHOUT_ALERT) == four


@EVERY
def test_an_empty_house_gives_no_candidate(source: Source, cycle: Cycle, at: datetime) -> None:
    assert list(source.look(cycle, at)) == []


@EVERY
def test_looking_writes_nothing_and_costs_the_same_however_long_the_history_is(
    source: Source, cycle: Cycle, at: datetime, outcomes: Callable[..., None]
) -> None:
    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            list(source.look(cycle, at))
        return [query["sql"] for query in queries.captured_queries]

    few = statements()
    outcomes(*[False] * 20)
    entries(400, "run.failed", at)
    many = statements()
    assert len(many) == len(few)
    assert all(statement.startswith("SELECT") for statement in many)


@EVERY
def test_it_says_in_words_what_it_sees(source: Source) -> None:
    assert source.says
    assert source.trigger in SHOWN
