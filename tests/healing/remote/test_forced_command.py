"""The script of the far side, by itself."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from healing.actions.systemd import PROPERTIES
from healing.remote import forced_command
from healing.remote.forced_command import Refused, allow_list, environment, parsed, permitted
from tests.processes import PYTHON, carrying, until

SCRIPT = Path(forced_command.__file__)


def test_it_is_of_python_3_8_and_needs_the_standard_library_only():
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "request_",
    [
        b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, {"ping": 2}, {"ping": True, "argv": ["a"]},
        {"argv": [], "bound_seconds": 1}, {"argv": [""], "bound_seconds": 1}, {"argv": "a", "bound_seconds": 1},
        {"argv": ["a", 1], "bound_seconds": 1}, {"argv": ["a\0"], "bound_seconds": 1}, {"argv": ["\ud800"], "bound_seconds": 1},
        {"argv": ["a"] * 257, "bound_seconds": 1}, {"argv": ["a"]}, {"argv": ["a"], "bound_seconds": 0},
        {"argv": ["a"], "bound_seconds": True}, {"argv": ["a"], "bound_seconds": float("nan")},
        {"argv": ["a"], "bound_seconds": 7201}, {"argv": ["a"], "bound_seconds": 1, "shell": True},
        {"argv": ["a"], "bound_seconds": 1, "env": ["A"]}, {"argv": ["a"], "bound_seconds": 1, "env": {"A": 1}},
        {"argv": ["a"], "bound_seconds": 1, "limits": {"nice": 1}},
        {"argv": ["a"], "bound_seconds": 1, "limits": {"memory_mib": 0}},
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_is_not_of_the_form_is_refused(request_):
    with pytest.raises(Refused):
        parsed(request_ if isinstance(request_, bytes) else json.dumps(request_).encode())


@pytest.fixture
def rules(tmp_path):
    """The rules and names of an allow-list with these lines."""

    def read(*lines):
        (tmp_path / "allow").write_text("\n".join(lines))
        return allow_list(str(tmp_path / "allow"))

    return read


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["/usr/bin/systemctl", "show", "-p", "Job", "--", "web.service"], "/usr/bin/systemctl"),
        (["systemctl", "show", "-p", "Job", "--", "web.service"], "/usr/bin/systemctl"),
        (["systemctl", "show", "-p", "Job", "--", "db.service"], None),
        (["systemctl", "show", "-p", "Job", "--", "web.service", "db.service"], None),
        (["systemctl", "stop", "--", "web.service"], None),
        (["/tmp/systemctl", "show", "-p", "Job", "--", "web.service"], None),
        (["/usr/sbin/logrotate", "--anything", "at all"], "/usr/sbin/logrotate"),
        (["/usr/sbin/../sbin/logrotate"], None),
        (["logrotate "], None),
    ],
)
def test_an_argument_list_must_fit_a_line_of_the_allow_list(rules, argv, program):
    known, _ = rules("# units", "/usr/bin/systemctl show -p * -- web.service  # one", "", "/usr/sbin/logrotate")
    if program:
        assert permitted(argv, known) == [program, *argv[1:]]
    else:
        with pytest.raises(Refused, match="is not in the allow-list"):
            permitted(argv, known)


def test_the_environment_is_what_the_allow_list_lets_in(rules):
    _, names = rules("env TOKEN")
    assert environment({"TOKEN": "x"}, names)["TOKEN"] == "x"
    for name in ("LD_PRELOAD", "PATH", ""):
        with pytest.raises(Refused, match="add `env NAME`"):
            environment({name: "x"}, names)


@pytest.mark.parametrize(
    ("line", "said"), [("logrotate", "absolute path"), ('/bin/a "b', "No closing quotation"), ("env", "env NAME")]
)
def test_an_allow_list_with_a_wrong_line_allows_nothing(rules, line, said):
    with pytest.raises(Refused, match=said):
        rules("/bin/true", line)


def test_an_allow_list_that_others_can_write_allows_nothing(rules, tmp_path):
    rules("/bin/true")
    (tmp_path / "allow").chmod(0o666)
    with pytest.raises(Refused, match="can be written by others"):
        allow_list(str(tmp_path / "allow"))


def start(tmp_path, *lines, silence=30.0):
    """The script, as sshd starts it, with less patience."""
    (tmp_path / "allow").write_text("\n".join(lines))
    code = f"import sys, forced_command as f; f.SILENCE = f.REQUEST_SECONDS = {silence}; sys.exit(f.main())"
    argv, pipe = [PYTHON, "-c", code, "--allow", tmp_path / "allow"], subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd=SCRIPT.parent, bufsize=0)


def request(marker):
    argv = [PYTHON, "-c", "import time; time.sleep(600)", marker]
    return json.dumps({"argv": argv, "bound_seconds": 600}).encode() + b"\n"


def test_it_ends_the_program_when_nothing_is_heard_any_more(tmp_path, marker):
    """A connection that neither closes nor carries anything: the other side's machine is gone."""
    script = start(tmp_path, PYTHON, silence=1.0)
    script.stdin.write(request(marker))
    assert b"was ended: nothing was heard for 1 s" in script.stderr.read()
    assert script.wait(60) == 124
    assert not carrying(marker)


def test_it_ends_the_program_when_it_is_told_to_end(tmp_path, marker):
    script = start(tmp_path, PYTHON)
    script.stdin.write(request(marker))
    assert until(lambda: len(carrying(marker)) == 1, 60)
    script.terminate()
    assert b"this host told it to end" in script.stderr.read()
    assert not carrying(marker)


def test_a_request_that_does_not_end_is_not_waited_for(tmp_path):
    script = start(tmp_path, PYTHON, silence=0.2)
    script.stdin.write(b'{"argv": ')
    assert b"selfheal: refused: no whole request came within 0.2 s" in script.stderr.read()
    assert script.wait(60) == 125


def test_a_request_without_an_end_is_refused_before_it_fills_the_memory(tmp_path):
    script = start(tmp_path, PYTHON)
    _, err = script.communicate(b"x" * 2_000_000, timeout=60)
    assert b"the request is over 1,048,576 bytes" in err


def test_a_program_that_is_not_there_says_so(tmp_path):
    script = start(tmp_path, "/no/such/program")
    script.stdin.write(json.dumps({"argv": ["program"], "bound_seconds": 5}).encode() + b"\n")
    assert b"selfheal: /no/such/program cannot be started" in script.stderr.read()
    assert script.wait(60) == 126


def test_the_allow_list_of_the_documentation_allows_what_the_actions_do(rules):
    page = (SCRIPT.parents[2] / "docs/how-to/remote-hosts.md").read_text()
    block = page.partition("```text\n")[2].partition("```")[0]
    known, names = rules(*(line.strip() for line in block.splitlines()))
    unit = ["--", "web.service"]
    for verb in ("start", "stop", "restart"):
        assert permitted(["systemctl", "--no-ask-password", verb, "--no-block", *unit], known)
    assert permitted(["systemctl", "show", "-p", PROPERTIES, *unit], known)
    assert permitted(["systemctl", "--no-ask-password", "cancel", "--", "77"], known)
    assert names == {"CACHE_TOKEN"}
    with pytest.raises(Refused):
        permitted(["systemctl", "--no-ask-password", "mask", "--no-block", *unit], known)
