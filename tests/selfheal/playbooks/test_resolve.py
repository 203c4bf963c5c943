from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfheal.canonical import digest
from selfheal.errors import Invalid, NotApplicable
from selfheal.playbooks import parse, resolve

from .texts import CONTRACT, with_step

ANY = "parameters: {text: {type: string, pattern: '(?s).*'}}\n"


def plan(text, facts, vocabulary, **changes):
    return resolve(parse(text, "p.yaml", vocabulary), replace(facts, **changes), vocabulary)


def reason(text, facts, vocabulary, **changes) -> str:
    with pytest.raises(NotApplicable) as caught:
        plan(text, facts, vocabulary, **changes)
    return str(caught.value)


def given_to(action, arguments, facts, vocabulary, *, more="", **parameters):
    """What the step's action gets when the playbook has `arguments` for it."""
    text = with_step(f"{{id: a, action: {action}, with: {arguments}}}", more)
    return plan(text, facts, vocabulary, parameters=parameters)["steps"][0]["with"]


def test_the_playbook_of_the_contract_becomes_a_plan(facts, vocabulary):
    document = parse(CONTRACT, "p.yaml", vocabulary)
    assert resolve(document, replace(facts, version=3), vocabulary) == {
        "playbook": "restart-unit",
        "version": 3,
        "playbook_digest": document.digest,
        "title": "Restart a service that is down",
        "domain": "host",
        "impact": "low",
        "reversible": False,
        "service": "web",
        "target": "web-01",
        "targets": ["web-01"],
        "batch": None,
        "diagnosis": "service_down",
        "parameters": {"unit": "web.service"},
        "gather": [],
        "gathered": {},
        "timeout_ms": 600_000,
        "outside_window": "ask",
        "symptom": [],
        "steps": [
            {
                "id": "restart",
                "target": "web-01",
                "action": "process.restart",
                "with": {"unit": "web.service"},
                "timeout_ms": 60_000,
                "retries": {"max": 1, "delay_ms": 2_000},
                "on_fail": "undo",
                "rollback": None,
                "confirm": None,
            }
        ],
        "verify": [
            {
                "check": "http_health",
                "target": "web-01",
                "with": {"url": "http://web-01:8080/healthz", "expect": {"status": 200}},
                "within_ms": 60_000,
                "every_ms": 2_000,
            }
        ],
    }


def test_the_same_input_gives_the_same_digest(facts, vocabulary):
    assert digest(plan(CONTRACT, facts, vocabulary)) == digest(plan(CONTRACT, facts, vocabulary))


def test_a_given_parameter_wins_over_its_source_and_that_over_the_default(facts, vocabulary):
    text = with_step("{id: a, action: wait}", "parameters: {n: {type: integer, from: service.labels.weight, default: 1}}\n")
    assert plan(text, facts, vocabulary, parameters={"n": 9})["parameters"] == {"n": 9}
    assert plan(text, facts, vocabulary)["parameters"] == {"n": 7}
    bare = replace(facts.place, labels={})
    assert plan(text, facts, vocabulary, place=bare)["parameters"] == {"n": 1}


def test_a_parameter_without_any_value_is_not_applicable(facts, vocabulary):
    bare = replace(facts.place, labels={})
    assert "parameter unit: service.labels.unit is not set" in reason(CONTRACT, facts, vocabulary, place=bare)
    text = with_step("{id: a, action: wait}", "parameters: {n: {type: integer}}\n")
    assert "parameter n: it was not given" in reason(text, facts, vocabulary)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"unit": "web; rm -rf /"}, "parameters.unit"), ({"unit": 5}, "parameters.unit"), ({"other": 1}, "parameters.other")],
)
def test_a_parameter_out_of_bounds_is_named(parameters, field, facts, vocabulary):
    with pytest.raises(Invalid) as caught:
        plan(CONTRACT, facts, vocabulary, parameters=parameters)
    assert caught.value.field == field


def test_what_an_alert_says_is_held_by_the_parameters_bounds(facts, vocabulary):
    text = with_step(
        '{id: a, action: command.run, with: {argv: ["/bin/x", "${params.shard}"]}}',
        "parameters: {shard: {type: string, pattern: 's[0-9]+', from: incident.labels.shard}}\n",
    )
    assert plan(text, facts, vocabulary)["steps"][0]["with"] == {"argv": ["/bin/x", "s3"]}
    hostile = {**facts.incident, "labels": {"shard": "s3 --all"}}
    with pytest.raises(Invalid, match="must match"):
        plan(text, facts, vocabulary, incident=hostile)


def test_a_condition_that_is_false_is_the_reason(facts, vocabulary):
    assert "is false" in reason(CONTRACT, facts, vocabulary, incident={**facts.incident, "severity": "low"})
    assert "there is no severity" in reason(CONTRACT, facts, vocabulary, incident={"diagnosis": "service_down"})


def test_what_an_action_refuses_is_named_by_its_step(facts, vocabulary):
    with pytest.raises(Invalid) as caught:
        plan(with_step("{id: again, action: process.restart}"), facts, vocabulary, place=replace(facts.place, labels={}))
    assert caught.value.field == "steps.again.with.unit"


def test_an_undo_is_frozen_as_its_step_is(facts, vocabulary):
    step = '{id: a, action: flag.set, rollback: {action: flag.set, with: {name: "${service.name}"}, timeout: 5s}}'
    undo = plan(with_step(step), facts, vocabulary)["steps"][0]["rollback"]
    assert undo == {"action": "flag.set", "with": {"name": "web"}, "timeout_ms": 5_000}


def test_a_playbook_without_a_timeout_takes_the_installations(facts, vocabulary):
    text = with_step("{id: a, action: wait}")
    assert plan(text, facts, vocabulary, run_timeout_ms=60_000)["timeout_ms"] == 60_000


def test_a_relative_check_of_domain_platform_asks_selfheal(facts, vocabulary):
    text = CONTRACT.replace("domain: host", "domain: platform").replace("${target.url}/healthz", "/healthz")
    assert plan(text, facts, vocabulary)["verify"][0]["with"]["url"] == "http://localhost:8000/healthz"


def test_a_reference_keeps_the_type_of_its_value(facts, vocabulary):
    more = (
        "parameters: {n: {type: integer}, on: {type: boolean}, for: {type: duration}, all: {type: list, items: {type: string}}}\n"
    )
    values = '{n: "${params.n}", on: "${params.on}", for: "${params.for}", all: "${params.all}"}'
    got = given_to("wait", values, facts, vocabulary, more=more, n="4", on=True, all=["a", "b"], **{"for": "2s"})
    assert got == {"n": 4, "on": True, "for": 2_000, "all": ["a", "b"]}


def test_a_number_is_text_in_an_argument_list_and_a_list_is_refused(facts, vocabulary):
    more = "parameters: {n: {type: integer, default: 4}, all: {type: list, items: {type: string}, default: [a]}}\n"
    assert given_to("command.run", '{argv: ["/x", "${params.n}", 5, true]}', facts, vocabulary, more=more) == {
        "argv": ["/x", "4", "5", "true"]
    }
    with pytest.raises(Invalid, match="a list cannot be one element"):
        given_to("command.run", '{argv: ["/x", "${params.all}"]}', facts, vocabulary, more=more)


def test_a_secret_stays_a_name(facts, vocabulary):
    arguments = '{url: "${target.url}/", headers: {Authorization: "Bearer ${secret.token}", X: "${secret.other}"}}'
    assert given_to("http.request", arguments, facts, vocabulary)["headers"] == {
        "Authorization": "Bearer ${secret.token}",
        "X": "${secret.other}",
    }


def test_a_value_in_an_address_is_encoded_and_cannot_climb(facts, vocabulary):
    url = '{url: "${target.url}/flags/${params.text}"}'
    got = given_to("http.request", url, facts, vocabulary, more=ANY, text="a b?x=1#@evil/é")
    assert got == {"url": "http://web-01:8080/flags/a%20b%3Fx%3D1%23%40evil/%C3%A9"}
    with pytest.raises(Invalid, match="climb out"):
        given_to("http.request", url, facts, vocabulary, more=ANY, text="x/../../admin")


def test_an_address_that_nobody_declared_is_the_reason(facts, vocabulary):
    bare = replace(facts.place, target_url="")
    assert "${target.url}: target.url is not declared" in reason(CONTRACT, facts, vocabulary, place=bare)


def test_a_value_is_not_read_again_for_references(facts, vocabulary):
    got = given_to(
        "notify", '{title: "see ${params.text}", body: "${params.text}"}', facts, vocabulary, more=ANY, text="${target.url}"
    )
    assert got == {"title": "see ${target.url}", "body": "${target.url}"}


@pytest.mark.parametrize("arguments", ['{headers: {A: "${params.text}"}}', '{body: "x ${params.text}"}'])
def test_no_value_brings_a_secret_along(arguments, facts, vocabulary):
    with pytest.raises(Invalid, match="names a secret"):
        given_to("http.request", arguments, facts, vocabulary, more=ANY, text="${secret.other}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=1000).filter(lambda text: "\0" not in text))
@example("$(id)")
@example("; rm -rf / #")
@example("a b\n--flag\t'\"`")
@example("${params.text}")
def test_an_argument_is_one_element_with_the_same_bytes(facts, vocabulary, text):
    got = given_to("command.run", '{argv: ["/bin/x", "${params.text}", "end"]}', facts, vocabulary, more=ANY, text=text)
    assert [each.encode() for each in got["argv"]] == [b"/bin/x", text.encode(), b"end"]
