from __future__ import annotations

import json

import pytest

from healing.actions import ACTIONS
from selfheal.commands import Command
from selfheal.errors import Invalid
from selfheal.places import Place
from tests.processes import PYTHON

RUN = ACTIONS["command.run"]
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if k == 'TOKEN'}]))"


def command(**document):
    return Command.model_validate(document)


COMMANDS = {
    "show": command(
        argv=[PYTHON, "-c", SHOW, "${args.word}", "${args.count}"],
        args={
            "word": {"type": "string", "pattern": r"(?s)^[^a].*$", "max_length": 300},
            "count": {"type": "integer", "min": 1, "max": 5},
        },
    ),
    "secret": command(
        argv=[PYTHON, "-c", "import os; print('token', os.environ['TOKEN'])"], env={"TOKEN": "${secret.token}"}, idempotent=True
    ),
    "slow": command(argv=["/bin/sleep", "60"], timeout="200ms"),
    "fails": command(argv=["/bin/sh", "-c", "echo why >&2; exit 7"]),
    "missing": command(argv=["/no/such/program"]),
}
PLACE = Place("web", "web-01", commands=COMMANDS, command_allow=("/bin/echo",))


def test_what_is_frozen_is_the_whole_argument_list():
    frozen = RUN.freeze({"command": "show", "args": {"word": "hello", "count": 2}}, PLACE)
    limits = {"memory_mib": 4096, "file_size_mib": 4096}
    assert frozen == {
        "command": "show",
        "argv": [PYTHON, "-c", SHOW, "hello", "2"],
        "env": {},
        "idempotent": False,
        "sandbox": True,
        "limits": limits,
    }


@pytest.mark.parametrize(
    "word", ["; rm -rf /", "$(id)", "`id`", "x\ny", "'\"", "${secret.token}", "é ü", "*", "--flag", " ", "\\"]
)
def test_a_value_stays_one_argument_byte_for_byte(perform, word):
    launched = perform(RUN, {"command": "show", "args": {"word": word, "count": 1}}, PLACE)
    assert json.loads(launched.stdout)[0] == [word, "1"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, ""),
        ({"command": "show", "argv": ["/bin/echo"]}, ""),
        ({"argv": ["/bin/echo"], "args": {"a": 1}}, ""),
        ({"command": "nothing"}, "command"),
        ({"command": "show", "args": {"word": "x"}}, "args.count"),
        ({"command": "show", "args": {"word": "x", "count": 6}}, "args.count"),
        ({"command": "show", "args": {"word": "abc", "count": 1}}, "args.word"),
        ({"command": "show", "args": {"word": "x\0", "count": 1}}, "args.word"),
        ({"command": "show", "args": {"word": "x", "count": 1, "more": 1}}, "args.more"),
        ({"argv": ["/bin/sh", "-c", "id"]}, "argv.0"),
        ({"argv": ["echo", "x"]}, "argv.0"),
        ({"argv": []}, "argv"),
        ({"argv": ["/bin/echo", "a\0b"]}, "argv.1"),
        ({"argv": "/bin/echo x"}, "argv"),
        ({"command": "show", "shell": True}, "shell"),
    ],
)
def test_what_is_not_declared_is_refused(given, field):
    with pytest.raises(Invalid) as raised:
        RUN.freeze(given, PLACE)
    assert raised.value.field == field


def test_an_allowed_executable_takes_its_list_as_it_is(perform):
    launched = perform(RUN, {"argv": ["/bin/echo", "a  b", "$HOME"]}, PLACE)
    assert (launched.result.ok, launched.stdout) == (True, "a  b $HOME\n")


def test_an_allowed_executable_must_be_an_absolute_path():
    with pytest.raises(Invalid, match="must be an absolute path"):
        RUN.freeze({"argv": ["echo"]}, Place("web", "web-01", command_allow=("echo",)))


def test_another_exit_code_than_zero_failed_and_says_which(perform):
    launched = perform(RUN, {"command": "fails"}, PLACE)
    assert (launched.result.ok, launched.message, launched.exit_code, launched.stderr) == (False, "exit code 7", 7, "why\n")


def test_a_program_that_is_not_there_failed(perform):
    launched = perform(RUN, {"command": "missing"}, PLACE)
    assert launched.message == "/no/such/program cannot be started: No such file or directory"


def test_a_command_has_its_own_time(perform):
    launched = perform(RUN, {"command": "slow"}, PLACE)
    assert (launched.timed_out, launched.message) == (True, "did not end within 0.2 s and was ended")


def test_a_secret_reaches_the_environment_and_nobody_else(perform, context):
    (context.secrets_dir / "token").write_text("s3cret-value\n")
    assert RUN.freeze({"command": "secret"}, PLACE)["env"] == {"TOKEN": "${secret.token}"}
    launched = perform(RUN, {"command": "secret"}, PLACE)
    assert (launched.result.ok, launched.stdout) == (True, "token ***\n")


def test_a_secret_that_is_not_there_failed(perform):
    launched = perform(RUN, {"command": "secret"}, PLACE)
    assert not launched.result.ok
    assert "secret token cannot be read" in launched.message


def test_the_template_says_whether_it_may_be_run_again():
    assert RUN.idempotent(RUN.freeze({"command": "secret"}, PLACE))
    assert not RUN.idempotent(RUN.freeze({"command": "fails"}, PLACE))
    assert not RUN.idempotent(RUN.freeze({"argv": ["/bin/echo"]}, PLACE))
