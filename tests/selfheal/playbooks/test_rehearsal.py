"""A playbook's own tests: how they are written, and that what they say is what production would do."""

from __future__ import annotations

import pytest

from selfheal.errors import InvalidDocument
from selfheal.playbooks import parse, rehearse

from .texts import SHORT

PLAYBOOK = (
    SHORT
    + """\
parameters:
  unit: {type: string, pattern: "^[a-z.]+$", from: service.labels.unit}
  pause: {type: duration, max: 10s, default: 2s}
when: "incident.severity != 'low'"
steps:
  - {id: restart, action: process.restart, with: {unit: "${params.unit}"}}
  - {id: settle, action: wait, with: {duration: "${params.pause}"}}
verify:
  - {check: http_health, url: "${target.url}/healthz"}
"""
)
GIVEN = """\
      alert: {labels: {alertname: InstanceDown, service: web, instance: "web-02:9100"}, severity: critical}
      service: {name: web, targets: {hosts: [web-01, web-02], url: "http://${target.host}:80"}, labels: {unit: web.service}}
"""


def case(expect: str = "{}", given: str = GIVEN, name: str = "a case") -> str:
    return f"tests:\n  - name: {name}\n    given:\n{given}    expect: {expect}\n"


def more(line: str) -> str:
    return f"{GIVEN}      {line}\n"


@pytest.fixture
def mismatches(vocabulary):
    """What one case says of the playbook above."""

    def ran(*given: str, playbook: str = PLAYBOOK) -> list[str]:
        (rehearsed,) = rehearse(parse(playbook + case(*given), "p.yaml", vocabulary), vocabulary)
        assert rehearsed.passed == (not rehearsed.mismatches)
        return list(rehearsed.mismatches)

    return ran


@pytest.mark.parametrize(
    "expect",
    [
        "{}",
        "{targets: [web-02], impact: low, decision: auto, reason: every rule allows it}",
        "{parameters: {unit: web.service, pause: 2s}}",
        "{steps: [restart, settle]}",
        "{steps: [{id: restart, with: {unit: web.service}}, {id: settle, with: {duration: 2000}}]}",
        '{verify: [{id: http_health, with: {url: "http://web-02:80/healthz"}}]}',
        "{rules: {confidence: auto, change_window: auto}}",
    ],
)
def test_what_comes_true_is_no_mismatch(mismatches, expect):
    assert mismatches(expect) == []


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("{applicable: false}", "expected it not to apply, got a plan for web-02"),
        ("{targets: [web-01]}", 'expected targets ["web-01"], got ["web-02"]'),
        ("{impact: high}", 'expected impact "high", got "low"'),
        ("{parameters: {unit: db.service}}", 'expected parameters.unit "db.service", got "web.service"'),
        ("{parameters: {pause: 3s}}", "expected parameters.pause 3000, got 2000"),
        ("{parameters: {pause: 1h}}", 'expected parameters.pause "1h", got 2000'),
        ("{parameters: {more: x}}", 'expected parameters.more "x", got nothing'),
        ("{steps: [restart]}", 'expected steps ["restart"], got ["restart", "settle"]'),
        (
            "{steps: [{id: restart, with: {unit: x}}, settle]}",
            'expected steps.restart.with.unit "x", got "web.service"',
        ),
        ("{steps: [{id: restart, target: web-01}, settle]}", "expected steps.restart on web-01, got web-02"),
        ("{verify: []}", 'expected verify [], got ["http_health"]'),
        ("{decision: approval}", "expected decision approval, got auto: every rule allows it"),
        ("{reason: the moon}", "expected a reason with 'the moon', got: every rule allows it"),
        ("{rules: {storm: deny}}", "expected rule storm deny, got auto: no storm"),
    ],
)
def test_what_does_not_is_a_line_that_says_both(mismatches, expect, said):
    assert mismatches(expect) == [said]


@pytest.mark.parametrize(
    ("line", "rule", "verdict"),
    [
        ("mode: observe", "global_mode", "deny"),
        ("kill_switch: pause", "kill_switch", "deny"),
        ("storm: true", "storm", "approval"),
        ("blast_radius: 3", "blast_radius", "approval"),
        ("firing: false", "own_alert", "approval"),
        ("record: {lost: true}", "earned_autonomy", "approval"),
        ("record: {lost: true, held: 6}", "earned_autonomy", "auto"),
        ("record: {lost: true, granted: true}", "earned_autonomy", "auto"),
        ("level: tighten\n      blast_radius: 2", "blast_radius", "approval"),
    ],
)
def test_what_is_true_at_that_moment_can_be_said(mismatches, line, rule, verdict):
    assert mismatches(f"{{rules: {{{rule}: {verdict}}}, decision: {verdict}}}", more(line)) == []


def test_the_mode_of_the_service_counts_where_it_is_said(mismatches):
    assert mismatches("{decision: approval}", GIVEN.replace("{name: web,", "{name: web, mode: ask,")) == []


def test_outside_the_window_a_playbook_waits_or_asks_as_it_says(mismatches):
    medium = PLAYBOOK.replace("impact: low", "impact: medium")
    closed = more("record: {held: 6}\n      window: closed")
    assert mismatches("{decision: approval, reason: outside}", closed, playbook=medium) == []
    waits = medium.replace("steps:", "outside_window: wait\nsteps:")
    assert mismatches("{decision: defer, reason: waits for the opening}", closed, playbook=waits) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (GIVEN.replace("severity: critical", "severity: info"), "when: \"incident.severity != 'low'\" is false"),
        (GIVEN.replace("InstanceDown", "HighLatency"), "it is for service_down, not for latency_spike"),
        (GIVEN.replace("labels: {unit: web.service}", "labels: {}"), "service.labels.unit is not set"),
    ],
)
def test_why_it_does_not_apply_is_compared_too(mismatches, given, reason):
    quoted = reason.replace("'", "''")
    assert mismatches(f"{{applicable: false, reason: '{quoted}'}}", given) == []
    (line,) = mismatches("{applicable: false, reason: the moon}", given)
    assert line.startswith("expected a reason with 'the moon', got: ")
    (line,) = mismatches("{}", given)
    assert line.startswith("expected it to apply, got: ")
    assert reason in line


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (more("parameters: {unit: X}"), "parameters.unit: must match"),
        (more("parameters: {unti: x}"), "is no parameter of short"),
        (more("parameters: {pause: 1h}"), "must be 10000 ms or less"),
    ],
)
def test_what_is_out_of_bounds_is_denied(mismatches, given, reason):
    assert mismatches(f"{{decision: deny, reason: '{reason}', rules: {{bounds: deny}}}}", given) == []
    for expect, said in (("{decision: auto}", "expected it to apply"), ("{applicable: false}", "expected it not to apply")):
        (line,) = mismatches(expect, given)
        assert line.startswith(f"{said}, got it denied: ")
        assert reason in line


def test_an_alert_finds_its_service_by_the_map_that_the_case_gives(mismatches):
    given = GIVEN.replace("alertname: InstanceDown, service: web,", "alertname: Probe,")
    (line,) = mismatches("{}", given)
    assert line.startswith("given: alert: no map entry matches, and there is no label service; this entry of `map` would match: ")
    entry = "      map: [{match: {alertname: Probe}, service: by_target, target: labels.instance, diagnosis: service_down}]\n"
    assert mismatches("{targets: [web-02], rules: {confidence: auto}}", given + entry) == []


def test_an_incident_may_stand_in_place_of_an_alert(mismatches):
    given = "      incident: {diagnosis: service_down, confidence: '0.5'}\n" + GIVEN.splitlines()[1] + "\n"
    assert mismatches("{targets: [web-01], decision: approval, reason: confidence 0.50}", given) == []
    assert mismatches("{targets: [web-02]}", given + "      target: web-02\n") == []
    (line,) = mismatches("{}", given + "      target: web-03\n")
    assert line == "given: target: web has no target 'web-03'; it has web-01, web-02"


def test_a_person_may_propose_it_for_whatever_is_wrong(mismatches):
    given = GIVEN.replace("InstanceDown", "HighLatency") + "      trigger: operator\n"
    assert mismatches("{}", given) == []


def test_a_query_and_a_command_are_frozen_as_they_are_for_a_run(mismatches):
    rotate = SHORT + "steps:\n  - {id: rotate, action: command.run, with: {command: rotate, args: {n: 3}}}\n"
    assert mismatches("{steps: [{id: rotate, with: {command: rotate}}], decision: approval}", playbook=rotate) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (case(given=more("lvl: tighten")), "p.yaml:20:7: unknown key 'lvl'; did you mean 'level'?"),
        (case("{desicion: auto}"), "p.yaml:20:14: unknown key 'desicion'; did you mean 'decision'?"),
        (case("{decision: maybe}"), "p.yaml:20:24: decision: expected 'auto', 'approval', 'defer' or 'deny', got 'maybe'"),
        (case("{rules: {moon: auto}}"), "p.yaml:20:21: rules: there is no rule 'moon'; known are kill_switch"),
        (case("{applicable: false, steps: []}"), "what does not apply has no steps"),
        (case("{steps: [{id: a, wiht: {}}]}"), "unknown key 'wiht'; did you mean 'with'?"),
        (case(given=more("at: yesterday")), "at: expected an instant like"),
        (case(given=more("at: 2026-11-24T10:00:00")), "says no zone"),
        (case(given=more("at: 0001-01-01T00:00:00Z")), "is not in the years 2000 to 2099"),
        (case(given=more("target: web-01")), "`target` belongs to an `incident`"),
        (case(given=more("incident: {diagnosis: service_down}")), "has one `alert` or one `incident`"),
        (case(given=GIVEN.replace("{name: web,", "{name: web, prot: 1,")), "p.yaml:19:28: unknown key 'prot'"),
        (case() + case().removeprefix("tests:\n"), "two tests are named 'a case'"),
    ],
)
def test_what_a_case_cannot_say_is_refused_where_it_stands(vocabulary, text, said):
    with pytest.raises(InvalidDocument) as caught:
        parse(PLAYBOOK + text, "p.yaml", vocabulary)
    assert any(said in str(fault) for fault in caught.value.errors), caught.value.errors


def test_tests_are_no_part_of_the_digest(vocabulary):
    plain, tested = parse(PLAYBOOK, "p.yaml", vocabulary), parse(PLAYBOOK + case(), "p.yaml", vocabulary)
    assert plain.digest == tested.digest
    assert tested.plain["tests"]


def test_an_action_that_breaks_fails_the_test_and_says_how(vocabulary, monkeypatch):
    document = parse(PLAYBOOK + case(), "p.yaml", vocabulary)
    monkeypatch.setattr(vocabulary.actions["wait"], "freeze", lambda *_: {}["nothing"])
    (rehearsed,) = rehearse(document, vocabulary)
    assert rehearsed.mismatches == ("expected an answer, got KeyError: 'nothing'",)
