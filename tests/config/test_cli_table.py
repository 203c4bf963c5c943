"""Each command of the table gives what it shows to programs too; used wrongly it is status 2, and what is not there is 1."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from typer.main import get_group

from config.cli import COMMANDS, _root, doctor, run
from healing import access, guardrail, ledger, trust
from healing.catalog.windows import save_window
from healing.ledger import keys
from healing.ledger.sequencer import Sequencer
from healing.models import LedgerEntry, Problem, Record, Silence
from selfheal.findings import Finding
from selfheal.states import Level
from tests.factories import make_incident, make_playbook, make_request, make_roles, make_run, make_step, make_user
from tests.selfheal.windows.texts import event, text

pytestmark = pytest.mark.django_db
NIGHTS = text(event("DTSTART:20260101T220000", "DTEND:20260102T060000", "RRULE:FREQ=DAILY"))
ROOT = Path(__file__).resolve().parents[2]
# They run until they are ended, or tell a story while they do something.
NOT_FOR_PROGRAMS = {"up", "web", "worker", "beat", "sequencer", "demo", "migrate"}
# What needs more than a few rows: the test that gives it --json.
ELSEWHERE = {
    "backtest": "config/test_cli_backtest.py",
    "backup": "config/test_backup.py",
    "restore": "config/test_backup.py",
    "smoke": "config/test_cli_smoke.py",
    "advise rootcause": "config/test_cli_rootcause.py",
    "log replay": "flows/test_replay.py",
}
LINES = {"runs tail", "advise anomaly"}  # an object a line: there is no end to wait for
NONE = str(uuid.UUID(int=7))
# The words after each command, and its status; names of the world stand in them as {name}.
GIVEN: dict[str, tuple[str, int]] = {
    "advise anomaly": ("{series}", 0),
    "advise forecast": ("{series}", 0),
    "advise list": ("", 0),
    "approvals approve": ("{request} --user ann", 0),
    "approvals list": ("", 0),
    "approvals reject": ("{request} --user ann --comment no", 0),
    "approvals show": ("{request}", 0),
    "autonomy grant": ("add-workers elevated_errors --reason tried --user ann", 0),
    "autonomy list": ("", 0),
    "autonomy revoke": ("add-workers service_down --reason moved --user ann", 0),
    "doctor": ("", 1),
    "domains": ("", 0),
    "database grants": ("app", 0),
    "guardrail pin": ("tighten --reason careful --user ann", 0),
    "guardrail show": ("", 0),
    "guardrail unpin": ("--reason calm --user ann", 0),
    "incidents ack": ("{incident}", 0),
    "incidents assign": ("{incident} ann", 0),
    "incidents close": ("{resolved}", 0),
    "incidents comment": ("{incident} words", 0),
    "incidents list": ("", 0),
    "incidents resolve": ("{incident}", 0),
    "incidents show": ("{incident}", 0),
    "kill-switch kill": ("", 0),
    "kill-switch off": ("", 0),
    "kill-switch pause": ("", 0),
    "kill-switch status": ("", 0),
    "learning evaluate": ("", 0),
    "learning rebuild": ("", 0),
    "learning shadow": ("restart-unit", 0),
    "log attest": ("{old_key} --reason compared", 0),
    "log export": ("{tmp}/export", 0),
    "log keep": ("{tmp}/kept", 0),
    "log prove": ("0", 0),
    "log push": ("", 0),
    "log revoke": ("{revocable} --from {since} --reason stolen", 0),
    "log rotate": ("", 0),
    "log status": ("", 0),
    "log verify": ("", 1),  # one key of it is revoked
    "playbooks dry-run": ("restart-unit --service web", 0),
    "playbooks lint": ("{playbooks}", 0),
    "playbooks list": ("", 0),
    "playbooks sync": ("--dry-run", 0),
    "playbooks test": ("restart-process", 0),
    "problems ack": ("{problem} --reason mended --user ann", 0),
    "problems list": ("", 0),
    "problems show": ("{problem}", 0),
    "runs abort": ("{pending}", 0),
    "runs list": ("", 0),
    "runs show": ("{run}", 0),
    "runs tail": ("{run}", 0),
    "services list": ("", 0),
    "services sync": ("--dry-run", 0),
    "silences create": ("--reason disks --service web --for 2h --user ann", 0),
    "silences end": ("{silence} --reason done --user ann", 0),
    "silences list": ("", 0),
    "token create": ("--user ann --scope read", 0),
    "token list": ("", 0),
    "token revoke": ("{token}", 0),
    "trust list": ("", 0),
    "trust set": ("playbook restart-unit 0.4 --reason seen --user ann", 0),
    "trust show": ("playbook add-workers", 0),
    "trust take-back": ("playbook add-workers --reason seen --user ann", 0),
    "user create": ("eve --role viewer", 0),
    "user list": ("", 0),
    "user reset-second-factor": ("bob", 0),
    "user sign-out": ("bob", 0),
    "user unlock": ("bob", 0),
    "why": ("{incident}", 0),
    "windows check": ("--at 2026-11-25T23:00+00:00", 0),
    "windows lint": ("{tmp}/window.ics", 0),
    "windows list": ("", 0),
    "windows next": ("", 0),
    "windows show": ("night", 0),
}


def table() -> dict[str, Any]:
    """Every command, with those below a name, by its words."""
    found = {}
    for name in COMMANDS:
        command = get_group(_root(name)).commands[name]
        below = getattr(command, "commands", None)
        found |= {f"{name} {word}": each for word, each in below.items()} if below else {name: command}
    return found


TABLE = table()


def test_every_command_that_shows_something_is_looked_at_here_or_elsewhere() -> None:
    assert set(TABLE) - NOT_FOR_PROGRAMS == set(GIVEN) | set(ELSEWHERE)


@pytest.mark.parametrize(("name", "file"), ELSEWHERE.items())
def test_what_is_looked_at_elsewhere_is_given_json_there(name: str, file: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    assert name.rsplit(maxsplit=1)[-1] in text
    assert '"--json"' in text


@pytest.mark.parametrize("name", [name for name in TABLE if name not in NOT_FOR_PROGRAMS])
def test_it_gives_json(name: str) -> None:
    assert "--json" in {word for parameter in TABLE[name].params for word in parameter.opts}


@pytest.mark.parametrize("name", TABLE)
def test_an_option_that_it_does_not_know_is_status_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split(), "--no-such-option"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def world(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Something of everything, by the names that stand in GIVEN."""
    monkeypatch.delenv("SELF_HEAL_TOKEN", raising=False)
    monkeypatch.setattr(doctor, "_broker", lambda: Finding("broker", True, "there"))
    settings.SELF_HEAL_HOME, settings.SELF_HEAL_SIGNING_KEY_FILE = tmp_path, tmp_path / "signing.key"
    settings.SELF_HEAL_LOG_ORIGIN, settings.SELF_HEAL_LOG_PUSH = "", [f"file://{tmp_path}/heads"]
    for folder in ("heads", "kept"):
        (tmp_path / folder).mkdir()
    (tmp_path / "window.ics").write_text(NIGHTS)
    (tmp_path / "series.csv").write_text("timestamp,value\n" + "".join(f"2026-11-25T12:{n:02}:00Z,{n}\n" for n in range(40)))
    return {"tmp": tmp_path, "series": tmp_path / "series.csv", "playbooks": ROOT / "config/playbooks", **rows(), **log()}


def rows() -> dict[str, Any]:
    at = timezone.now()
    make_roles()
    ann, bob = make_user("ann", role="admin"), make_user("bob")
    token, _ = access.create_token(bob, ["read"], timedelta(days=1), "", "test", at)
    incident = make_incident(labels={"alertname": "ServiceDown"})
    over = make_run(incident, status="succeeded")
    make_step(over, stdout="done\n")
    make_playbook("add-workers", impact="medium", diagnoses=["elevated_errors", "service_down"])
    tomorrow = at + timedelta(days=1)
    Record.objects.create(playbook="add-workers", diagnosis="service_down", granted_until=tomorrow, granted_by=ann)
    nights = {"name": "night", "kind": "window", "calendar": NIGHTS, "time_zone": "UTC", "services": [], "impacts": []}
    save_window(None, nights, "agreed", "ann", at)
    silent = {"starts_at": at, "ends_at": tomorrow, "created_at": at, "created_by": ann, "reason": "disks"}
    quiet = Silence.objects.create(service=incident.service, **silent)
    AccessAttempt.objects.create(username="bob", ip_address="192.0.2.1", failures_since_start=5)
    TOTPDevice.objects.create(user=bob, name="phone", confirmed=True)
    guardrail.pin(Level.TIGHTEN, "careful", ann, at)
    trust.set_by_hand("playbook", "add-workers", 0.3, None, "seen", ann, at)
    cause = {"first_at": at, "last_at": at, "opened_at": at, "heals": 7, "seconds": 60}
    problem = Problem.objects.create(service=incident.service, diagnosis="service_down", **cause)
    return {
        "problem": problem.pk,
        "incident": incident.pk,
        "resolved": make_incident(incident.service, diagnosis="other", status="resolved").pk,
        "run": over.pk,
        "pending": make_run(make_incident(incident.service, diagnosis="third"), status="pending").pk,
        "request": make_request(make_run(make_incident(incident.service, diagnosis="fourth"))).pk,
        "token": token.public_id,
        "silence": quiet.pk,
    }


def log() -> dict[str, str]:
    """A log with two keys before the one that signs now; the first is revoked."""
    at, found, sequencer = timezone.now(), [], Sequencer()
    for _ in range(2):
        found.append(keys.load().verifier.key_id)
        with transaction.atomic():
            ledger.append(actor="test", action="test.written", resource="thing:1", at=at)
        sequencer.look(at)
        keys.make_successor()
        sequencer.look(at)
    run(["log", "revoke", found[0], "--from", "1", "--reason", "stolen"])
    sequencer.look(at)
    sequencer.end(at)
    since = LedgerEntry.objects.filter(key_id=found[1]).aggregate(last=Max("index"))["last"]
    return {"old_key": found[0], "revocable": found[1], "since": str(since)}


@pytest.mark.parametrize("name", GIVEN)
def test_what_it_shows_is_json(name: str, world: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    arguments, wanted = GIVEN[name]
    capsys.readouterr()
    status = run([*name.split(), *arguments.format(**world).split(), "--json"])
    out, err = capsys.readouterr()
    assert status == wanted, f"{out}{err}"
    assert [json.loads(line) for line in out.splitlines()] if name in LINES else json.loads(out) is not None


ABOUT_ONE = """
approvals approve {none} --user ann
approvals show {none}
autonomy revoke nothing service_down --reason x --user ann
incidents ack {none}
incidents show {none}
log prove 999
log replay {none}
runs abort {none}
runs show {none}
runs tail {none}
silences end {none} --reason x --user ann
token revoke {none}
user unlock nobody
why Nothing
windows show nothing
advise anomaly {none}
domains nothing
playbooks dry-run nothing --service web
restore {none}
"""


@pytest.mark.parametrize("line", ABOUT_ONE.strip().splitlines())
def test_what_is_not_there_is_status_1_and_a_line(line: str, world: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(line.format(none=NONE).split()) == 1
    assert capsys.readouterr().err.startswith("selfheal: ")
