"""Units of systemd. The tool is real where it is; what a running systemd would say is played by a script in its place."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from healing.actions import ACTIONS, systemd, tools
from healing.actions.systemd import properties, settled
from healing.checks import CHECKS
from healing.launcher import launch
from selfheal.places import Place

PLACE = Place("web", "web-01", labels={"unit": "web.service"})

TOOL = """#!/bin/sh
echo "$@" >> {home}/calls
if [ "$1" = show ]; then
    set -- $(ls {home}/states | head -n 1)
    cat {home}/states/$1
    [ $(ls {home}/states | wc -l) -gt 1 ] && rm {home}/states/$1
    exit 0
fi
"""


def state(active, sub, job="0"):
    return f"ActiveState={active}\nSubState={sub}\n" + (f"Job={job}\n" if job else "")


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl that shows these states, one a call, the last for ever; returns what it was called with."""

    def made(*states):
        (tmp_path / "states").mkdir()
        for number, text in enumerate(states):
            (tmp_path / "states" / f"{number:02d}").write_text(text)
        tool = tmp_path / "systemctl"
        tool.write_text(TOOL.format(home=tmp_path))
        tool.chmod(0o755)
        monkeypatch.setattr(tools, "find", lambda name: str(tmp_path / name))
        monkeypatch.setattr(systemd, "PAUSE", 0.01)
        monkeypatch.setattr(systemd, "STAYS", 0.01)
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return made


def test_a_restart_is_queued_and_then_looked_at_until_it_settled(systemctl, perform):
    calls = systemctl(state("inactive", "dead", "77"), state("activating", "start", "77"), state("active", "running"))
    launched = perform(ACTIONS["process.restart"], {}, PLACE)
    assert (launched.result.ok, launched.message) == (True, "web.service is active (running)")
    show = "show -p ActiveState,SubState,Job -- web.service"
    assert calls() == ["--no-ask-password restart --no-block -- web.service", show, show, show, show]


@pytest.mark.parametrize(
    ("verb", "states", "ok", "message"),
    [
        ("start", [state("active", "running")], True, "web.service is active (running)"),
        ("start", [state("failed", "failed")], False, "web.service is failed (failed)"),
        ("start", [state("active", "running"), state("failed", "failed")], False, "web.service is failed (failed)"),
        (
            "restart",
            [state("activating", "auto-restart"), state("active", "running", "")],
            True,
            "web.service is active (running)",
        ),
        ("stop", [state("deactivating", "stop-sigterm", "9"), state("inactive", "dead")], True, "web.service is inactive (dead)"),
        ("stop", [state("active", "running")], False, "web.service is active (running)"),
        ("restart", [""], False, "web.service is in no state (none)"),
    ],
)
def test_the_state_that_it_settled_in_decides(systemctl, perform, verb, states, ok, message):
    systemctl(*states)
    launched = perform(ACTIONS[f"process.{verb}"], {}, PLACE)
    assert (launched.result.ok, launched.message) == (ok, message)


def test_one_that_never_settles_is_ended_at_the_bound_of_its_step_and_its_job_is_cancelled(systemctl, perform):
    calls = systemctl(state("activating", "start", "5"))
    launched = perform(ACTIONS["process.restart"], {}, PLACE, bound=2)
    assert launched.timed_out
    assert launched.stdout == "its queued job 5 was cancelled\n"
    assert calls()[-1] == "--no-ask-password cancel -- 5"


def test_the_job_is_cancelled_when_the_worker_ends_the_step_before_its_bound(systemctl, context):
    calls = systemctl(state("activating", "start", "5"))
    arguments = ACTIONS["process.restart"].freeze({}, PLACE)
    launched = launch(
        lambda channel: ACTIONS["process.restart"].run(arguments, context.on(channel)),
        bound_seconds=60,
        wake=lambda: "kill switch" if len(calls()) > 2 else "",
    )
    assert launched.message == "was ended: kill switch; web.service had not settled in its time; its queued job 5 was cancelled"
    assert calls()[-1] == "--no-ask-password cancel -- 5"


def test_a_unit_without_a_job_has_nothing_cancelled(systemctl, perform):
    calls = systemctl(state("deactivating", "stop-sigterm"))
    launched = perform(ACTIONS["process.stop"], {}, PLACE, bound=2)
    assert launched.stdout == "no job of it is queued\n"
    assert not [call for call in calls() if "cancel" in call]


def test_a_signal_that_comes_while_a_finalizer_runs_ends_it_too(systemctl, perform, monkeypatch):
    """Python prints what a handler raises there, and goes on."""
    systemctl(state("deactivating", "stop-sigterm"))
    show = systemd.show

    class Finalized:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    def shown(unit, machine):
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            Finalized()
        return show(unit, machine)

    monkeypatch.setattr(systemd, "show", shown)
    launched = perform(ACTIONS["process.stop"], {}, PLACE, bound=60)
    assert launched.message == "web.service had not settled in its time; no job of it is queued"


def test_a_tool_that_is_ended_a_moment_before_its_step_is_no_failure_of_the_tool(systemctl, perform, monkeypatch):
    systemctl(state("deactivating", "stop-sigterm"))
    show = systemd.show

    def shown(unit, machine):
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            signal.setitimer(signal.ITIMER_REAL, 0.05)  # the word to the step, as over ssh
            raise tools.ToolError("`systemctl` failed with -15")
        return show(unit, machine)

    monkeypatch.setattr(systemd, "show", shown)
    launched = perform(ACTIONS["process.stop"], {}, PLACE, bound=60)
    assert launched.message == "web.service had not settled in its time; no job of it is queued"


@pytest.mark.parametrize(("active", "ok"), [("active", True), ("inactive", False), ("failed", False), ("activating", False)])
def test_a_unit_is_up_if_it_is_active(systemctl, perform, active, ok):
    systemctl(state(active, "x"))
    assert perform(CHECKS["process_up"], {}, PLACE).result.ok is ok


def test_a_unit_may_be_named_by_the_step():
    frozen = ACTIONS["process.restart"].freeze({"unit": "other.service"}, PLACE)
    assert frozen == {"by": "unit", "unit": "other.service"}


def test_what_systemctl_does_not_print_is_empty():
    assert properties("ActiveState=active\nJunk\n") == {"ActiveState": "active", "SubState": "", "Job": ""}
    assert settled({"ActiveState": "active", "SubState": "running", "Job": ""})


def test_the_words_of_the_real_tool_reach_the_operator(perform):
    """Of a unit that no machine has, on a machine with or without systemd, with or without the tool."""
    unit = "selfheal-no-such-unit.service"
    launched = perform(ACTIONS["process.restart"], {}, Place("web", "web-01", labels={"unit": unit}))
    assert not launched.result.ok
    if shutil.which("systemctl"):
        assert f"systemctl --no-ask-password restart --no-block -- {unit}` failed with" in launched.message
    else:
        assert launched.message.startswith("systemctl is not on this machine")


def test_a_machine_without_systemctl_says_so(monkeypatch, perform):
    monkeypatch.setattr("healing.actions.tools.PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    launched = perform(ACTIONS["process.restart"], {}, PLACE)
    assert launched.message.startswith("systemctl is not on this machine (looked in /nowhere")
