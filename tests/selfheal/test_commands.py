from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfheal.bounds import Bound
from selfheal.commands import Command
from selfheal.errors import Invalid

ROTATE = {
    "argv": ["/usr/sbin/logrotate", "--force", "${args.file}", "${args.times}"],
    "args": {"file": {"type": "string", "pattern": "^/etc/[a-z]+$"}, "times": {"type": "integer", "max": 3}},
    "timeout": "5s",
}


def command(**changes) -> Command:
    return Command.model_validate({**ROTATE, **changes})


def test_slots_are_filled_with_typed_values():
    assert command().fill({"file": "/etc/web", "times": 2}) == ["/usr/sbin/logrotate", "--force", "/etc/web", "2"]
    assert command().timeout == 5000


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"file": "/etc/web"}, "args.times"),
        ({"file": "/etc/web", "times": 1, "more": 1}, "args.more"),
        ({"file": "/etc/web;id", "times": 1}, "args.file"),
        ({"file": "/etc/web", "times": 4}, "args.times"),
    ],
)
def test_a_wrong_argument_is_named(given, field):
    with pytest.raises(Invalid) as caught:
        command().fill(given)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"argv": ["logrotate"], "args": {}}, "absolute path"),
        ({"argv": ["${args.file}", "${args.times}"]}, "absolute path"),
        ({"argv": ["/bin/x", "-f${args.file}", "${args.times}"]}, "a slot is a whole element"),
        ({"argv": ["/bin/x", "${params.file}"], "args": {}}, "a slot is a whole element"),
        ({"argv": ["/bin/x", "${args.file}"]}, "'times' is declared and has no slot"),
        ({"args": {"file": {"type": "string", "pattern": "a"}}}, "'times' has no bound"),
        ({"argv": ["/bin/x", "${args.a}"], "args": {"a": {"type": "string"}}}, "needs a `pattern` or an `enum`"),
        (
            {"argv": ["/bin/x", "${args.a}"], "args": {"a": {"type": "list", "items": {"type": "integer"}}}},
            "cannot be one element",
        ),
        ({"env": {"TOKEN": "Bearer ${secret.A}"}}, "only a whole"),
        ({"argv": ["/bin/x", "a\0"], "args": {}}, "NUL"),
        ({"shell": True}, "Extra inputs"),
    ],
)
def test_a_command_that_is_not_closed_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said.replace("`", "`")):
        command(**changes)


def test_a_secret_may_stand_in_the_environment():
    assert command(env={"TOKEN": "${secret.web-token}"}).env == {"TOKEN": "${secret.web-token}"}


@given(st.text(max_size=1000).filter(lambda text: "\0" not in text))
def test_an_argument_is_one_element_with_the_same_bytes(text):
    anything = Bound(type="string", pattern="(?s).*")
    filled = Command(argv=["/bin/echo", "-n", "${args.a}", "end"], args={"a": anything}).fill({"a": text})
    assert [each.encode() for each in filled] == [b"/bin/echo", b"-n", text.encode(), b"end"]
