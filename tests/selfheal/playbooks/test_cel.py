from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.errors import Invalid, NotApplicable
from selfheal.playbooks import cel

SCOPE = {
    "incident": {"severity": "high", "labels": {"job": "node"}, "confidence": 0.95},
    "service": {"name": "web", "labels": {"unit": "web.service"}},
    "target": {"name": "web-01", "url": ""},
    "params": {"count": 3},
    "gather": {},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "incident.severity in ['high', 'critical'] && incident.confidence >= 0.8",
        "service.labels['unit'].endsWith('.service') && size(target.url) == 0",
        "has(incident.labels.job) && !has(incident.labels.nope)",
        "params.count > 2 ? target.name.matches('^web-[0-9]+$') : false",
        "service.labels.exists(name, name == 'unit')",
        "type(params.count) == int",
    ],
)
def test_a_condition_that_is_true_lets_through(text):
    cel.check(text or "true", ["count"])
    cel.require(text, SCOPE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * 1001, "1,001 characters"),
        ("(" * 21 + "true" + ")" * 21, "nested deeper than 20"),
        ("[1].map(a, [2].map(b, b)) == []", "more than one list"),
        ("[1].map // \n (incident, true)", "comments are not read"),
        ("env.HOME == ''", "unknown variable 'env'"),
        ("now() > 3", "unknown function 'now'"),
        ("params.nope == 1", "params.nope is no parameter"),
        ("1 +", "is no CEL expression"),
        ("", "is no CEL expression"),
    ],
)
def test_a_condition_that_cannot_be_trusted_is_refused(text, said):
    with pytest.raises(Invalid, match=said.replace("(", r"\(")):
        cel.check(text, ["count"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params.count > 3", "when: 'params.count > 3' is false"),
        ("incident.nope == 1", "cannot be evaluated: there is no nope"),
        ("params.count / 0 == 1", "cannot be evaluated"),
        ("incident.severity > 3", "cannot be evaluated"),
        ("incident.severity", "is neither true nor false, it is str"),
        ("1", "is neither true nor false, it is int"),
        ("incident.severity.matches('[')", "cannot be evaluated"),
    ],
)
def test_whatever_is_not_true_is_not_applicable_with_its_reason(text, said):
    with pytest.raises(NotApplicable) as caught:
        cel.require(text, SCOPE)
    assert said in str(caught.value)


@given(st.text(max_size=60) | st.text(alphabet="incident.severity()[]!&|=<>'\"0123,? :+-*/ \n", max_size=60))
def test_arbitrary_text_is_a_condition_or_refused(text):
    try:
        cel.check(text, [])
        cel.require(text, SCOPE)
    except (Invalid, NotApplicable) as error:
        said = str(error)
    else:
        said = "true"
    assert said
