from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from healing.checks import CHECKS, cli_smoke
from selfheal.commands import Command
from selfheal.errors import Invalid
from selfheal.places import Place

CHECK = CHECKS["cli_smoke"]
PLACE = Place("web", "web-01", commands={"slow": Command(argv=["/bin/sleep", "60"]), "bad": Command(argv=["/bin/false"])})


def test_where_it_is_off_it_fails_and_says_so(perform, context):
    launched = perform(CHECK, {}, PLACE, context=context)
    assert not launched.result.ok
    assert launched.message.startswith("not looked at: ENABLE_CLI_VERIFY is false")


def test_a_command_has_to_exit_with_zero(perform, context):
    launched = perform(CHECK, {"command": "bad"}, PLACE, context=replace(context, cli_verify=True))
    assert launched.message == "exit code 1"


def test_it_has_a_time_of_its_own(perform, context):
    launched = perform(CHECK, {"command": "slow", "timeout": "200ms"}, PLACE, context=replace(context, cli_verify=True))
    assert (launched.timed_out, launched.message) == (True, "did not end within 0.2 s and was ended")


@pytest.mark.parametrize(
    ("given", "field"), [({"command": "none"}, "command"), ({"args": {"a": 1}}, ""), ({"timeout": "6m"}, "timeout")]
)
def test_what_is_not_declared_is_refused(given, field):
    with pytest.raises(Invalid) as raised:
        CHECK.freeze(given, PLACE)
    assert raised.value.field == field


SMOKE = """
import json, os, sys
assert sys.argv[1:] == ["smoke", "--json"]
home = {"what": "home", "ok": True, "found": os.environ["SELF_HEAL_HOME"]}
print(json.dumps([home, {"what": "beat", "ok": %r, "found": "gone"}]))
sys.exit(%d)
"""


@pytest.mark.parametrize(("ok", "message"), [(True, "finds nothing wrong"), (False, ": beat: gone")])
def test_without_a_command_selfheal_looks_at_itself(perform, context, monkeypatch, tmp_path, ok, message):
    (tmp_path / "smoke.py").write_text(SMOKE % (ok, not ok))
    monkeypatch.setattr(cli_smoke, "SMOKE", (str(tmp_path / "smoke.py"), *cli_smoke.SMOKE[2:]))
    launched = perform(CHECK, {}, PLACE, context=replace(context, cli_verify=True))
    assert (launched.result.ok, launched.message) == (ok, f"selfheal smoke {message}".replace(" :", ":"))
    assert str(context.home) in launched.stdout


def test_the_smoke_test_is_there_under_that_name():
    assert cli_smoke.SMOKE[:2] == ("-m", "config.cli")
    import config.cli

    assert cli_smoke.SMOKE[2] in config.cli.COMMANDS
    assert sys.executable


def test_a_smoke_test_that_hangs_fails(perform, context, monkeypatch):
    monkeypatch.setattr(cli_smoke, "SMOKE", ("-c", "import time; time.sleep(60)"))
    launched = perform(CHECK, {"timeout": "200ms"}, PLACE, context=replace(context, cli_verify=True))
    assert launched.message == "selfheal smoke gave no answer in 0.2 s"
