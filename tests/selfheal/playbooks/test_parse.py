from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfheal.errors import Invalid, InvalidDocument
from selfheal.playbooks import PlaybookDocument, impact_of, parse

from .texts import CONTRACT, SHORT, with_step

CHECKS = 'verify: [{check: http_health, url: "${target.url}/"}]\n'


def faults(text, vocabulary) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        parse(text, "p.yaml", vocabulary)
    return [str(each) for each in caught.value.errors]


def test_the_playbook_of_the_contract_is_read(vocabulary):
    document = parse(CONTRACT, "restart-unit.yaml", vocabulary)
    step, check = document.steps[0], document.verify[0]
    assert document.warnings == ()
    assert document.timeout == 600_000
    assert (step.timeout, step.retries.max, step.retries.delay, step.rollback) == (60_000, 1, 2_000, None)
    assert check.arguments == {"url": "${target.url}/healthz", "expect": {"status": 200}}


def test_every_key_of_the_language_is_read(vocabulary):
    text = (
        SHORT
        + """\
outside_window: wait
targets: service
batch: {size: 2, min_healthy: 10, max_failures: 1, settle: 30s}
gather:
  load: {check: process_up, timeout: 5s}
  disk: {check: command, with: {command: rotate, args: {n: 1}}}
symptom:
  - {check: process_up}
steps:
  - {id: drain, action: flag.set, with: {name: off}, rollback: {action: flag.set, with: {name: on}, timeout: 5s}, on_fail: stop}
  - {id: sure, action: wait, with: {duration: 3s}, confirm: "Is the load off?"}
  - {id: steady, check: http_health, url: "${target.url}/", for: 30s, within: 2m, every: 5s}
  - {id: undone, action: flag.set, rollback: undo, timeout: 4s}
"""
    )
    document = parse(text, "p.yaml", vocabulary)
    assert document.steps[2].arguments == {"url": "${target.url}/"}
    assert document.steps[2].steady == 30_000
    assert document.steps[0].rollback.timeout == 5_000
    assert document.steps[3].rollback == "undo"
    assert document.batch.settle == 30_000


def test_what_was_parsed_once_is_read_again_with_the_same_digest(vocabulary):
    document = parse(CONTRACT, "p.yaml", vocabulary)
    again = PlaybookDocument.of(document.plain)
    assert again == document
    assert again.digest == document.digest


def test_a_comment_changes_no_digest_and_a_timeout_does(vocabulary):
    digest = parse(CONTRACT, "p.yaml", vocabulary).digest
    assert parse("# hello\n" + CONTRACT, "p.yaml", vocabulary).digest == digest
    assert parse(CONTRACT.replace("60s, retries", "61s, retries"), "p.yaml", vocabulary).digest != digest


def test_impact_is_the_greatest_of_playbook_actions_and_undo(vocabulary):
    undo = "{id: a, action: wait, rollback: {action: flag.set}}"
    assert impact_of(parse(CONTRACT, "p", vocabulary), vocabulary) == "low"
    assert impact_of(parse(with_step(undo), "p", vocabulary), vocabulary) == "medium"
    assert impact_of(parse(CONTRACT.replace("impact: low", "impact: high"), "p", vocabulary), vocabulary) == "high"


def test_a_playbook_without_verification_is_warned_of(vocabulary):
    document = parse(with_step("{id: a, action: wait}"), "p.yaml", vocabulary)
    assert [str(each) for each in document.warnings] == [
        "p.yaml:6:1: there is no `verify`: without one, policy never starts it by itself"
    ]


def test_steps_that_do_not_fit_into_the_timeout_are_warned_of(vocabulary):
    step = "{id: a, action: wait, timeout: 60s, retries: {max: 2, delay: 10s}}"
    document = parse(with_step(step, "timeout: 2m\n") + CHECKS, "p.yaml", vocabulary)
    assert "may take 260 s, longer than its timeout of 120 s" in str(document.warnings[0])


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{id: a, action: nope}", "p.yaml:7:21: unknown action 'nope'; known are command.run"),
        ("{id: a, check: nope}", "p.yaml:7:20: unknown check 'nope'; known are command"),
        ("{id: a}", "has one `action` or one `check`"),
        ("{id: a, action: wait, check: process_up}", "has one `action` or one `check`"),
        ("{id: a, action: wait, tiemout: 3s}", "p.yaml:7:27: unknown key 'tiemout'; did you mean 'timeout'?"),
        ("{id: a, action: wait, timeout: 3}", "expected a duration like 60s or 10m, got 3"),
        ("{id: a, action: wait, timeout: 121m}", "less than or equal to 7200000"),
        ("{id: a, action: wait, retries: {max: 11}}", "less than or equal to 10"),
        ("{id: a, action: wait, on_fail: retry}", "expected 'undo' or 'stop', got 'retry'"),
        ("{id: a, action: wait, for: 3s}", "belong to a check"),
        ("{id: a, check: process_up, rollback: {action: wait}}", "it has no rollback"),
        ("{id: A, action: wait}", "should match pattern"),
        ("{id: a, action: process.restart, with: {unti: x}}", "unknown key 'unti'; did you mean 'unit'?"),
        ("{id: a, action: process.restart, with: {unit: 5}}", "unit: expected a string, got 5"),
        ("{id: a, check: process_up, whitin: 5s}", "unknown key 'whitin'; did you mean 'within'?"),
        ("{id: a, action: process.restart, rollback: {action: process.stop}}", "a stop does not undo process.restart"),
        ("{id: a, action: process.start, rollback: {action: process.stop}}", "a stop does not undo process.start"),
        ("{id: a, action: wait, rollback: undo}", "p.yaml:7:37: wait has no undo of its own"),
        ("{id: a, action: wait, rollback: redo}", "expected 'undo', got 'redo'"),
        ("{id: a, check: process_up, rollback: undo}", "it has no rollback"),
        ("{id: a, check: http_health, url: /health}", "is relative, it would ask selfheal itself"),
        ("{id: a, action: http.request, with: {url: /x}}", "is relative, it leads nowhere"),
        ("{id: a, action: http.request, with: {url: 'file:///etc/passwd'}}", "is relative, it leads nowhere"),
        ("{id: a, action: command.run, with: {command: rm}}", "command 'rm' is not in commands.yaml"),
        ("{id: a, action: command.run, with: {command: rotate, args: {m: 1}}}", "unknown key 'm'"),
        ("{id: a, action: command.run, with: {command: rotate}}", "argument 'n' of command 'rotate' is missing"),
    ],
)
def test_a_wrong_step_is_told_where_it_stands(step, said, vocabulary):
    assert any(said in each for each in faults(with_step(step), vocabulary))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{unit: "${params.nope}"}', "${params.nope} names no parameter; known: unit"),
        ('{unit: "${params.unit}.service"}', "${params.unit} is a value, not text to be put together"),
        ('{unit: "${params.unit"}', "`${` has no `}` to it"),
        ('{unit: "${service.nope}"}', "${service.nope} is unknown"),
        ('{unit: "${}"}', "${} is unknown"),
        ('{unit: "${incident.labels.unit}"}', "comes in by a parameter with `from: incident.labels.unit`"),
        ('{unit: "${incident.title}"}', "is text of an alert: it stands only in"),
        ('{unit: "${secret.password}"}', "a secret stands only in auth, env, headers"),
        ('{"${params.unit}": x}', "unknown key"),
    ],
)
def test_a_reference_that_cannot_stand_there_is_refused(value, said, vocabulary):
    text = with_step(
        f"{{id: a, action: process.restart, with: {value}}}", "parameters: {unit: {type: string, pattern: '[a-z]+'}}\n"
    )
    assert any(said in each for each in faults(text, vocabulary))


@pytest.mark.parametrize(
    "argv",
    ['["/bin/sh", "-c", "echo ${params.unit}"]', '["/bin/x", "--unit=${params.unit}"]', '["/bin/x", "${incident.title}"]'],
)
def test_no_text_is_put_together_in_an_argument_list(argv, vocabulary):
    text = with_step(
        f"{{id: a, action: command.run, with: {{argv: {argv}}}}}", "parameters: {unit: {type: string, pattern: x}}\n"
    )
    assert len(faults(text, vocabulary)) == 1


@pytest.mark.parametrize(
    "given",
    [
        '{url: "${target.url}/flags/${params.unit}?of=${service.name}", headers: {Authorization: "Bearer ${secret.web-token}"}}',
        '{url: "${service.url}", auth: {user: heal, password: "${secret.pass}"}, body: "${incident.title} on ${target.host}"}',
    ],
)
def test_addresses_prose_and_secrets_may_hold_references(given, vocabulary):
    text = with_step(f"{{id: a, action: http.request, with: {given}}}", "parameters: {unit: {type: string, pattern: x}}\n")
    assert parse(text, "p.yaml", vocabulary)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("{type: string, from: incident.labels.unit}", "what an alert says needs bounds"),
        ("{type: string, from: labels.unit}", "is no source"),
        ("{type: string, from: params.other}", "is no source"),
        ("{type: integer, max: 3, default: 4}", "default: must be 3 or less, not 4"),
        ("{type: string, default: 4}", "default: must be a string"),
        ("{type: strnig}", "expected 'string', 'integer'"),
        ("{type: string, patern: x}", "did you mean 'pattern'?"),
        ("{type: string, pattern: '('}", "is no pattern"),
    ],
)
def test_a_wrong_parameter_is_told(parameter, said, vocabulary):
    text = with_step("{id: a, action: wait}", f"parameters:\n  unit: {parameter}\n")
    assert any(said in each and each.startswith("p.yaml:7:") for each in faults(text, vocabulary))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("targets: service\n", "`targets: service` and `batch` go together"),
        ("batch: {size: 2}\n", "`targets: service` and `batch` go together"),
        ("when: '1 +'\n", "p.yaml:6:7: when: is no CEL expression"),
        ("impact: none\n", "stands here twice"),
    ],
)
def test_parts_that_do_not_fit_together_are_told(more, said, vocabulary):
    with pytest.raises(Invalid) as caught:
        parse(with_step("{id: a, action: wait}", more), "p.yaml", vocabulary)
    assert said in str(caught.value)


def test_a_playbook_without_targets_names_none(vocabulary):
    text = with_step('{id: a, action: http.request, with: {url: "${target.url}"}}', "targets: none\n")
    assert "a playbook with `targets: none` has no target" in faults(text, vocabulary)[0]


def test_two_steps_of_one_id_are_refused(vocabulary):
    text = with_step("{id: a, action: wait}\n  - {id: a, action: wait}")
    assert faults(text, vocabulary) == ["p.yaml:8:10: id 'a' stands here twice"]


def test_a_check_of_domain_platform_may_be_relative(vocabulary):
    text = CONTRACT.replace("domain: host", "domain: platform").replace("${target.url}/healthz", "/healthz")
    assert parse(text, "p.yaml", vocabulary).verify[0].arguments["url"] == "/healthz"


def test_all_faults_are_told_at_once(vocabulary):
    text = CONTRACT.replace("title:", "titel:").replace("impact: low", "impact: lo").replace("when:", "wen:")
    assert [each.split(":")[1] for each in faults(text, vocabulary)] == ["1", "2", "5", "11"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(CONTRACT) - 1), st.integers(0, 40), st.text(max_size=20))
def test_a_damaged_playbook_is_a_playbook_or_invalid(vocabulary, start, length, scrap):
    try:
        document = parse(CONTRACT[:start] + scrap + CONTRACT[start + length :], "p.yaml", vocabulary)
    except Invalid:
        return
    assert len(document.digest) == 64
