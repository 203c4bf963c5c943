"""What every action and every check must keep, whoever wrote it. A new one is added to the examples, or this file fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from healing.actions import ACTIONS, action, conformance
from healing.actions.conformance import Example
from healing.checks import CHECKS, check
from healing.checks.base import PARTS
from selfheal.canonical import dumps
from selfheal.errors import Invalid
from selfheal.states import Impact
from tests.healing.actions import examples

NOWHERE = "http://web.internal:8080"


def example_of(name, place, url=NOWHERE):
    if name in CHECKS:
        return Example(CHECKS[name], examples.GOOD[name], place)
    given, _, found = examples.ACTIONS[name]
    return Example(ACTIONS[name], json.loads(json.dumps(given).replace("SERVER", url)), place, found)


@pytest.fixture(params=sorted(ACTIONS))
def example(request):
    return example_of(request.param, examples.place(Path("/run"), "marker", NOWHERE))


@pytest.fixture(params=[*sorted(ACTIONS), *sorted(CHECKS)])
def either(request):
    return example_of(request.param, examples.place(Path("/run"), "marker", NOWHERE))


@pytest.fixture(params=sorted(ACTIONS))
def real(request, tmp_path, marker, server):
    return example_of(request.param, examples.place(tmp_path, marker, server.url), server.url)


def test_everything_has_an_example_and_stands_under_its_name():
    assert examples.ACTIONS.keys() == ACTIONS.keys()
    assert examples.GOOD.keys() == examples.BAD.keys() == CHECKS.keys()
    assert all(name == each.name for name, each in (ACTIONS | CHECKS).items())


@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
def test_it_keeps(rule, either):
    rule(either)


def test_a_check_is_asked_for_every_part_that_the_contract_names():
    assert conformance.CHECK_PARTS == PARTS


@pytest.mark.parametrize("wrong", [{"nonsense": 1}, {"url": 7}, {"unit": "a; rm -rf /"}, {"duration": "ages"}, {"argv": "ls"}])
def test_it_refuses_what_it_does_not_know_and_names_the_field(example, wrong):
    with pytest.raises(Invalid) as raised:
        example.doer.freeze({**example.given, **wrong}, example.place)
    assert raised.value.field.startswith(next(iter(wrong)))


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_the_least_impact_is_low_but_of_flags_and_instances(name):
    assert ACTIONS[name].impact is (Impact.MEDIUM if name in ("flag.set", "instances.scale") else Impact.LOW)


def test_it_says_whether_it_may_be_run_again(example):
    again = examples.ACTIONS[example.doer.name][1]
    assert example.doer.idempotent(example.freeze()) is again


def test_it_runs_in_a_child_and_leaves_a_result_that_can_be_stored(real, perform, context, server):
    ready = replace(context, allowed=[server.url], notify_urls=[server.url.replace("http", "json", 1) + "/200"])
    launched = perform(real.doer, dict(real.given), real.place, context=ready)
    assert launched.result.ok, (launched.message, launched.stderr)
    assert launched.message
    dumps({"message": launched.message, "data": launched.result.data})


def test_it_ends_at_its_bound_with_a_failed_result(example, perform, context):
    launched = perform(example.doer, dict(example.given), example.place, context=context, bound=0)
    assert launched.timed_out
    assert not launched.result.ok


def test_one_that_opens_a_file_while_it_freezes_is_found():
    class Peeks:
        """Looks before it is asked to."""

        name = "peeks"

        def freeze(self, given, place):
            with open("/dev/null") as file:
                return {"text": file.read()}

    with pytest.raises(AssertionError, match="it touches something: open"):
        conformance.freezes_without_touching_anything(Example(Peeks(), {}, None))


def test_an_unknown_action_fails_closed():
    with pytest.raises(Invalid, match=r"unknown action 'rm'; there are breakers\.flush"):
        action("rm")


@pytest.mark.parametrize("name", ["smoke", "", "http.health"])
def test_an_unknown_check_fails_closed(name):
    with pytest.raises(Invalid, match=r"unknown check .*; there are cli_smoke, command, http_health"):
        check(name)
