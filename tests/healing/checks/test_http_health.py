from __future__ import annotations

import re
from dataclasses import replace

import pytest

from healing.checks import CHECKS
from selfheal.errors import Invalid
from selfheal.places import Place

CHECK = CHECKS["http_health"]
PLACE = Place("web", "web-01")


@pytest.fixture
def look(perform, context, server):
    def made(path="/200", *, allowed=True, **given):
        ready = replace(context, allowed=[server.url] if allowed else [])
        return perform(CHECK, {"url": f"{server.url}{path}", **given}, PLACE, context=ready)

    return made


def test_it_looks_at_the_target_and_else_at_the_service():
    defaults = {"expect": {"status": 200}, "timeout": 20_000, "retries": 2, "delay": 250}
    both = Place("web", "web-01", url="http://web/", target_url="http://web-01:8080/")
    assert CHECK.freeze({}, both) == {"url": "http://web-01:8080/health", **defaults}
    assert CHECK.freeze({}, replace(both, target_url="")) == {"url": "http://web/health", **defaults}
    with pytest.raises(Invalid, match="is missing, and neither web-01 nor web has one"):
        CHECK.freeze({}, PLACE)


def test_the_status_decides(look, server):
    assert look().result.ok
    launched = look("/503")
    assert not launched.result.ok
    assert re.search(r"/503 answered 503 in \d+ ms, not 200$", launched.message)
    assert look("/204", expect={"status": [200, 204]}).result.ok


def test_it_looks_again_before_it_says_no(look, server):
    look("/503", delay="10ms")
    assert len(server.seen) == 3
    look("/503", retries=0)
    assert len(server.seen) == 4


def test_a_page_that_is_too_slow_is_not_well_and_not_looked_at_again(look, server):
    launched = look("/slow", timeout="50ms")
    assert not launched.result.ok
    assert re.search(r"gave no whole answer within \d\d ms", launched.message)
    assert len(server.seen) == 1


def test_a_page_that_takes_its_time_is_well_by_default(look):
    assert look("/slow").result.ok


def test_it_says_that_there_was_no_answer_before_its_step_is_ended(perform, context, server):
    ready = replace(context, allowed=[server.url], bound_seconds=0.7)
    launched = perform(CHECK, {"url": f"{server.url}/drip"}, PLACE, context=ready, bound=60)
    assert "gave no whole answer within" in launched.message


def test_a_page_that_was_not_declared_is_not_looked_at(look, server):
    launched = look(allowed=False)
    assert "which HTTP may not reach" in launched.message
    assert server.seen == []


def test_what_was_frozen_freezes_to_itself():
    frozen = CHECK.freeze({"url": "http://a/x", "timeout": "1s"}, PLACE)
    assert CHECK.freeze(frozen, PLACE) == frozen
