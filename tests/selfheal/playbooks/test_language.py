"""Batches, what is gathered, checks and confirmations as steps, undo: from the text to the plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal.errors import Invalid, InvalidDocument, NotApplicable
from selfheal.playbooks import Facts, gathered, parse, resolve, to_gather

from .texts import with_step

ROLLING = """\
targets: service
batch: {size: 1, min_healthy: 4, settle: 2s}
verify: [{check: http_health, url: "${target.url}/healthz", within: 9s}]
"""
DISK = "gather: {disk: {check: command, with: {command: rotate, args: {n: 1}}}}\n"
WAIT = "{id: a, action: wait}"


def plan(text, facts, vocabulary, **changes):
    return resolve(parse(text, "p.yaml", vocabulary), replace(facts, **changes), vocabulary)


def faults(text, vocabulary) -> str:
    with pytest.raises(InvalidDocument) as caught:
        parse(text, "p.yaml", vocabulary)
    return "\n".join(map(str, caught.value.errors))


@pytest.fixture
def five(facts: Facts) -> Facts:
    places = [
        replace(facts.place, target=f"web-0{n}", target_url=f"http://web-0{n}:8080", labels={"unit": f"web@{n}.service"})
        for n in range(1, 6)
    ]
    return replace(facts, places=places)


def test_over_a_service_the_steps_stand_target_by_target(five, vocabulary):
    step = "{id: a, action: wait}\n  - {id: b, action: process.restart}"
    made = plan(with_step(step, ROLLING), five, vocabulary)
    assert made["targets"] == ["web-01", "web-02", "web-03", "web-04", "web-05"]
    assert [(s["target"], s["id"]) for s in made["steps"]][:3] == [("web-01", "a"), ("web-01", "b"), ("web-02", "a")]
    assert made["batch"] == {"size": 1, "min_healthy": 4, "max_failures": 0, "settle_ms": 2_000}


def test_over_a_service_each_target_has_its_own_values(five, vocabulary):
    step = '{id: a, action: process.restart, with: {unit: "${params.unit}"}}'
    more = "parameters: {unit: {type: string, from: service.labels.unit}}\n"
    made = plan(with_step(step, ROLLING + more), five, vocabulary)
    assert [s["with"]["unit"] for s in made["steps"]] == [f"web@{n}.service" for n in range(1, 6)]
    assert [check["with"]["url"] for check in made["verify"]][4] == "http://web-05:8080/healthz"


def test_no_target_is_an_error_and_never_all_of_them(facts, vocabulary):
    with pytest.raises(Invalid, match="has no target; none never means all"):
        plan(with_step(WAIT, ROLLING), facts, vocabulary)


@pytest.mark.parametrize(("size", "least", "said"), [(1, 5, "leaves 4 of 5"), (9, 1, "leaves 0 of 5"), (2, 4, "leaves 3 of 5")])
def test_a_batch_that_can_never_start_is_not_applicable(size, least, said, five, vocabulary):
    text = with_step(WAIT, ROLLING.replace("size: 1, min_healthy: 4", f"size: {size}, min_healthy: {least}"))
    with pytest.raises(NotApplicable, match=said):
        plan(text, five, vocabulary)


def test_more_steps_than_anybody_can_follow_are_not_applicable(five, vocabulary):
    many = [replace(five.places[0], target=f"web-{n}") for n in range(5001)]
    with pytest.raises(NotApplicable, match="more than 5,000"):
        plan(with_step(WAIT, ROLLING), five, vocabulary, places=many)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("targets: service\n", "`targets: service` and `batch` go together"),
        ("batch: {size: 1}\n", "`targets: service` and `batch` go together"),
        ("targets: service\nbatch: {size: 1}\n", "needs `verify` or `symptom`"),
        ("targets: none\nsymptom: [{check: process_up}]\n", "process_up is about a target"),
        ("gather: {x: {action: flag.set}}\n", "flag.set may change something"),
        ("gather: {x: {action: wait, timeout: 9s}, y: {action: wait, timeout: 12s}}\n", "gathering may take 21 s"),
        ('gather: {x: {action: wait, with: {n: "${gather.x.output}"}}}\n', "nothing is gathered here"),
        (
            'parameters: {p: {type: string, from: gather.x.output}}\ngather: {x: {action: wait, with: {n: "${params.p}"}}}\n',
            "${params.p} names no parameter",
        ),
        ("parameters: {p: {type: string, from: gather.y.output}}\n", "'gather.y.output' is no source"),
        ("when: gather.y.ok\n", "gather.y is not gathered by this playbook"),
        ("when: gather['y'].ok\n", "gather.y is not gathered by this playbook"),
    ],
)
def test_what_cannot_work_is_told_when_the_file_is_read(more, said, vocabulary):
    assert said in faults(with_step(WAIT, more), vocabulary)


def test_what_is_gathered_stands_in_the_plan_and_its_values_in_the_steps(facts, vocabulary):
    free = "parameters: {free: {type: integer, max: 10, from: gather.disk.output}}\n"
    more = f"{DISK}{free}when: gather.disk.ok && params.free < 5\n"
    text = with_step('{id: a, action: wait, with: {n: "${params.free}", mount: "${gather.disk.mount}"}}', more)
    assert to_gather(parse(text, "p.yaml", vocabulary), facts, vocabulary) == [
        {
            "id": "disk",
            "target": "web-01",
            "check": "command",
            "with": {"command": "rotate", "args": {"n": 1}},
            "timeout_ms": 10_000,
        }
    ]
    value = gathered(True, " 4\n", {"mount": "/var", "milliseconds": 3})
    made = plan(text, facts, vocabulary, gathered={"disk": value})
    assert made["gathered"] == {"disk": {"ok": True, "output": "4", "mount": "/var"}}
    assert made["steps"][0]["with"] == {"n": 4, "mount": "/var"}
    with pytest.raises(Invalid, match="10"):
        plan(text, facts, vocabulary, gathered={"disk": gathered(True, "11", {"mount": "/"})})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "gather disk: was not read"),
        ({"disk": {"ok": False, "output": ""}}, "'gather.disk.ok' is false"),
        ({"disk": {"ok": True, "output": ""}}, "gather.disk.output is empty or was not told"),
    ],
)
def test_what_was_not_told_makes_it_not_applicable(values, said, facts, vocabulary):
    text = with_step('{id: a, action: wait, with: {n: "${gather.disk.output}"}}', f"{DISK}when: gather.disk.ok\n")
    with pytest.raises(NotApplicable, match=said):
        plan(text, facts, vocabulary, gathered=values)


def test_a_gathered_value_is_bounded():
    assert len(gathered(True, "x" * 5_000, {})["output"]) == 1_024
    with pytest.raises(NotApplicable, match="the limit is 8,192"):
        gathered(True, "", {"lines": ["x" * 100] * 100})
    with pytest.raises(NotApplicable, match="cannot stand in a plan"):
        gathered(True, "", {"load": 0.5})


@pytest.mark.parametrize(
    ("more", "times"),
    [
        ("", (0, 60_000, 2_000, 80_000)),
        ("for: 30s, ", (30_000, 0, 2_000, 50_000)),
        ("for: 30s, within: 5s, every: 1s, ", (30_000, 5_000, 1_000, 55_000)),
        ("within: 5s, timeout: 4s, ", (0, 5_000, 2_000, 4_000)),
    ],
)
def test_a_check_as_a_step_says_how_long_it_waits_and_watches(more, times, facts, vocabulary):
    step = plan(with_step(f"{{id: a, {more}check: process_up}}"), facts, vocabulary)["steps"][0]
    assert (step["for_ms"], step["within_ms"], step["every_ms"], step["timeout_ms"]) == times
    assert "action" not in step


def test_an_actions_own_undo_is_in_the_plan(facts, vocabulary):
    step = plan(with_step("{id: a, action: flag.set, timeout: 7s, rollback: undo}"), facts, vocabulary)["steps"][0]
    assert step["rollback"] == {"own": True, "action": "flag.set", "timeout_ms": 7_000}


def test_what_a_person_is_to_confirm_is_in_the_plan(facts, vocabulary):
    assert plan(with_step("{id: a, action: wait, confirm: Sure?}"), facts, vocabulary)["steps"][0]["confirm"] == "Sure?"


def test_without_targets_it_is_done_from_here(facts, vocabulary):
    away = replace(facts.place, via="ssh", user="heal")
    made = plan(with_step("{id: a, action: wait}", "targets: none\n"), facts, vocabulary, place=away)
    assert (made["targets"], made["steps"][0]["target"], made["target"]) == (["web"], "web", "web-01")
