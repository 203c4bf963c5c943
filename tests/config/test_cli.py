"""The command line, in this process: locally, and through a live server with a token."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from rich.console import Console

from config.cli import COMMANDS, base
from healing import access
from healing.models import ApprovalRequest, Control, Incident, Run, User, Vote
from tests.factories import make_incident, make_playbook, make_request, make_run, make_step, make_unmatched, make_user

from .conftest import Command, documents

pytestmark = pytest.mark.django_db


# ---- as a whole


def test_help_names_every_command_and_loads_none(selfheal: Command) -> None:
    status, out, _ = selfheal("--help")
    assert status == 0
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_every_command_is_there(selfheal: Command, name: str) -> None:
    status, out, _ = selfheal(name, "--help")
    assert status == 0
    assert f"selfheal {name}" in out


@pytest.mark.parametrize("line", [["fly"], ["token", "create"], ["worker", "fast"], ["runs", "show", "no-uuid"], ["incidents"]])
def test_what_is_used_wrongly_is_status_2(selfheal: Command, line: list[str]) -> None:
    assert selfheal(*line)[0] == 2


def test_a_database_that_is_away_is_one_line(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection refused\nis it running?")

    monkeypatch.setattr(access, "list_tokens", away)
    status, _, err = selfheal("token", "list")
    assert status == 1
    assert err == "selfheal: the database failed: connection refused; `selfheal doctor` may help\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [("selfheal inc", {"incidents"}), ("selfheal runs a", {"abort"}), ("selfheal runs list --w", {"--watch"})],
)
def test_a_shell_completes_commands_and_options(
    selfheal: Command, monkeypatch: pytest.MonkeyPatch, words: str, offered: set[str]
) -> None:
    monkeypatch.setenv("_SELFHEAL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert set(selfheal()[1].split()) == offered


def test_a_watched_list_is_shown_again_when_it_has_changed(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_incident(title="one")
    looks = iter([lambda: None, lambda: make_incident(first.service, title="two", target="web-02"), lambda: None])

    def wait(seconds: float) -> None:
        try:
            next(looks)()
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("config.cli.base.time.sleep", wait)
    status, out, _ = selfheal("incidents", "list", "--watch")
    assert (status, out.count("one"), out.count("two")) == (130, 2, 1)


def test_json_is_not_watched(selfheal: Command) -> None:
    status, _, err = selfheal("runs", "list", "--watch", "--json")
    assert (status, "leave out --json" in err) == (2, True)


def test_what_reads_a_table_from_a_pipe_finds_whole_cells(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    incident = make_incident(title="words " * 50)
    out = selfheal("incidents", "list")[1]
    assert str(incident.pk) in out
    assert ("words " * 50).strip() in out


def test_in_a_narrow_terminal_the_id_stays_whole(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(width=80, force_terminal=True, file=io.StringIO())
    monkeypatch.setattr(base, "_console", lambda: terminal)
    incident = make_incident(title="words " * 50)
    selfheal("incidents", "list")
    assert str(incident.pk) in terminal.file.getvalue()  # type: ignore[attr-defined]


# ---- users and tokens


@pytest.mark.parametrize("name", ["windows", "silences", "autonomy"])
def test_a_name_that_the_contract_says_alone_lists(selfheal: Command, name: str) -> None:
    make_playbook("restart")
    assert selfheal(name) == selfheal(name, "list")
    assert selfheal(name, "--json") == selfheal(name, "list", "--json")
    assert selfheal(name, "--json")[0] == 0
    assert "Commands" in selfheal(name, "--help")[1]


def test_times_in_json_are_as_in_the_api(selfheal: Command) -> None:
    selfheal("kill-switch", "pause", "--json")
    at = documents(selfheal("kill-switch", "status", "--json")[1])["at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", at)


# ---- incidents, runs, why


def test_incidents_are_listed_and_shown(selfheal: Command) -> None:
    incident = make_incident(title="web is \x1b[31mdown\nreally")
    status, out, _ = selfheal("incidents", "list")
    assert status == 0
    assert str(incident.pk) in out
    assert r"web is \x1b[31mdown\nreally" in out
    assert documents(selfheal("incidents", "show", incident.pk, "--json")[1])["id"] == str(incident.pk)


def test_a_list_goes_over_its_pages(selfheal: Command) -> None:
    service = make_incident().service
    for number in range(60):
        make_incident(service, diagnosis=f"d{number}")
    assert len(documents(selfheal("incidents", "list", "--limit", "55", "--json")[1])) == 55
    assert len(documents(selfheal("incidents", "list", "--limit", "1000", "--json")[1])) == 61


def test_an_incident_that_is_not_there_is_a_line(selfheal: Command) -> None:
    for line in (("show",), ("ack",), ("resolve",)):
        status, _, err = selfheal("incidents", *line, uuid.uuid4())
        assert (status, err.count("\n")) == (1, 1)


def test_an_incident_is_acknowledged_by_name_and_resolved(selfheal: Command) -> None:
    incident = make_incident()
    make_user("op", role="operator")
    assert selfheal("incidents", "ack", incident.pk, "--user", "op", "--comment", "on it")[0] == 0
    assert Incident.objects.get().status == "ack"
    assert Incident.objects.get().timeline.get().actor == "op"
    assert selfheal("incidents", "resolve", incident.pk)[0] == 0
    assert Incident.objects.get().timeline.last().actor.endswith(" (command line)")


def test_what_is_done_to_an_incident_is_told_to_programs(selfheal: Command) -> None:
    incident = make_incident()
    make_user("op", role="operator")
    for words, status in ((("ack",), "ack"), (("comment", "on it"), "ack"), (("resolve",), "resolved"), (("close",), "closed")):
        said, out, _ = selfheal("incidents", words[0], incident.pk, *words[1:], "--user", "op", "--json")
        assert (said, documents(out)["id"], documents(out)["status"]) == (0, str(incident.pk), status)
    other = make_incident(incident.service, diagnosis="other")
    assert documents(selfheal("incidents", "assign", other.pk, "op", "--json")[1])["assignee"] == "op"


def test_who_may_not_operate_acknowledges_nothing(selfheal: Command) -> None:
    incident = make_incident()
    make_user("eve", role="viewer")
    status, _, err = selfheal("incidents", "ack", incident.pk, "--user", "eve")
    assert status == 1
    assert "eve may not do that" in err
    assert Incident.objects.get().status == "open"


def test_why_finds_an_incident_by_the_name_of_its_alert(selfheal: Command) -> None:
    incident = make_incident(labels={"alertname": "ServiceDown"}, why={"skip": "backoff", "reason": "waits until noon"})
    status, out, _ = selfheal("why", "ServiceDown")
    assert status == 0
    assert str(incident.pk) in out
    assert "waits until noon" in out
    assert documents(selfheal("why", incident.pk, "--json")[1])["skip"] == "backoff"


def test_why_shows_the_line_that_would_match_an_unmatched_alert(selfheal: Command) -> None:
    make_unmatched(labels={"alertname": "Odd"}, suggestion="- match: {alertname: Odd}")
    assert "- match: {alertname: Odd}" in selfheal("why", "Odd")[1]


def test_why_says_so_when_nothing_has_that_name(selfheal: Command) -> None:
    status, _, err = selfheal("why", "Nothing")
    assert status == 1
    assert "No alert named Nothing came in" in err


def test_runs_are_listed_and_shown_with_their_steps(selfheal: Command) -> None:
    step = make_step(make_run())
    assert str(step.run.pk) in selfheal("runs", "list")[1]
    assert step.name in selfheal("runs", "show", step.run.pk)[1]


def test_a_run_that_is_over_is_told_and_its_outcome_is_the_status(selfheal: Command) -> None:
    good = make_run(status="succeeded")
    bad = make_run(good.incident, status="failed", reason="it did not help")
    assert selfheal("runs", "tail", good.pk)[0] == 0
    status, out, err = selfheal("runs", "tail", bad.pk)
    assert status == 1
    assert "failed  it did not help" in out
    assert "it did not help" in err


def test_a_run_is_aborted_once(selfheal: Command) -> None:
    waiting = make_run(status="pending")
    said = documents(selfheal("runs", "abort", waiting.pk, "--reason", "not now", "--json")[1])
    assert said == {"id": str(waiting.pk), "status": "aborted"}
    assert Run.objects.get().status == "aborted"
    assert selfheal("runs", "abort", waiting.pk)[0] == 1


# ---- approvals


def test_requests_are_listed_and_one_is_shown_with_what_would_run(selfheal: Command) -> None:
    request = make_request()
    assert str(request.pk) in selfheal("approvals", "list")[1]
    out = selfheal("approvals", "show", request.pk)[1]
    assert request.why in out
    assert request.digest in out


def test_a_named_approver_approves_and_the_vote_says_how(selfheal: Command) -> None:
    request = make_request()
    make_user("ann", role="approver")
    status, out, err = selfheal("approvals", "approve", request.pk, "--user", "ann")
    assert status == 0, err
    assert f"{request.pk} is approved" in out
    assert Vote.objects.get().via == "command line"
    assert selfheal("approvals", "approve", request.pk, "--user", "ann")[0] == 1


def test_nobody_answers_without_a_name_or_without_the_role(selfheal: Command) -> None:
    request = make_request()
    make_user("op", role="operator")
    assert "--user NAME" in selfheal("approvals", "approve", request.pk)[2]
    assert "op may not do that" in selfheal("approvals", "approve", request.pk, "--user", "op")[2]
    assert "no active user 'nobody'" in selfheal("approvals", "approve", request.pk, "--user", "nobody")[2]
    assert ApprovalRequest.objects.get().status == "pending"


def test_nobody_approves_what_they_asked_for(selfheal: Command) -> None:
    ann = make_user("ann", role="approver")
    request = make_request(requester=ann, requested_by="ann", impact="high")
    status, _, err = selfheal("approvals", "approve", request.pk, "--user", "ann")
    assert status == 1
    assert "somebody else has to approve it" in err
    assert not Vote.objects.exists()


def test_a_rejection_says_why(selfheal: Command) -> None:
    request = make_request()
    make_user("ann", role="approver")
    assert selfheal("approvals", "reject", request.pk, "--user", "ann")[0] == 2
    said = documents(selfheal("approvals", "reject", request.pk, "--user", "ann", "--comment", "not at noon", "--json")[1])
    assert said == {"id": str(request.pk), "status": "rejected"}
    assert ApprovalRequest.objects.get().status == "rejected"


# ---- the kill switch


@pytest.fixture
def stop_file(settings: Any, tmp_path: Path) -> Path:
    settings.SELF_HEAL_HOME = tmp_path
    return tmp_path / "STOP"


def test_the_kill_switch_is_pulled_shown_and_released(selfheal: Command, stop_file: Path) -> None:
    assert selfheal("kill-switch", "kill", "--reason", "fire")[0] == 0
    assert Control.objects.get().kill_switch == "kill"
    assert documents(selfheal("kill-switch", "status", "--json")[1])["reason"] == "fire"
    make_user("ann", role="approver")
    make_user("op", role="operator")
    assert selfheal("kill-switch", "off", "--user", "op")[0] == 1
    assert selfheal("kill-switch", "off", "--user", "ann")[0] == 0
    assert Control.objects.get().kill_switch == "off"
    assert not stop_file.exists()


def test_without_a_database_a_file_stops_everything(selfheal: Command, stop_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("could not connect")

    with monkeypatch.context() as patch:
        patch.setattr("healing.governance.set_kill_switch", away)
        assert selfheal("kill-switch", "pause")[0] == 1
        assert not stop_file.exists()
        status, out, _ = selfheal("kill-switch", "kill", "--reason", "fire")
        told = selfheal("kill-switch", "kill", "--reason", "fire", "--json")
    assert (documents(told[1])["stop_file"], f"wrote {stop_file}" in told[2]) == (True, True)
    assert status == 0
    assert f"wrote {stop_file}" in out
    assert "fire" in stop_file.read_text()
    assert "kill switch: kill" in selfheal("kill-switch", "status")[1]
    released = selfheal("kill-switch", "off", "--json")
    assert (released[0], documents(released[1])["state"]) == (0, "off")
    assert not stop_file.exists()


# ---- through a server


@pytest.fixture
def remote(live_server: Any, selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[[User, str], None]:
    """Make the commands that follow go to a live server, with a token of `user`."""

    def use(user: User, scopes: str) -> None:
        _, text = access.create_token(user, scopes.split(","), timedelta(days=1), "", "test", timezone.now())
        monkeypatch.setenv("SELF_HEAL_TOKEN", text)
        monkeypatch.setenv("SELF_HEAL_BASE_URL", live_server.url)

    return use


@pytest.mark.django_db(transaction=True)
def test_with_a_token_everything_goes_by_the_api(selfheal: Command, remote: Callable[[User, str], None]) -> None:
    service = make_incident(labels={"alertname": "ServiceDown"}).service
    for number in range(60):
        make_incident(service, diagnosis=f"d{number}")
    request = make_request(make_run(make_incident(service, diagnosis="asked")))
    remote(make_user("ann", role="approver"), "read,operate,approve")
    assert len(documents(selfheal("incidents", "list", "--limit", "1000", "--json")[1])) == Incident.objects.count()
    assert selfheal("why", "ServiceDown")[0] == 0
    incident = Incident.objects.get(diagnosis="d7")
    assert selfheal("incidents", "ack", incident.pk, "--comment", "mine")[0] == 0
    assert incident.timeline.get().actor == "ann"
    assert selfheal("approvals", "approve", request.pk)[0] == 0
    assert Vote.objects.get().via.startswith("api")


@pytest.mark.django_db(transaction=True)
def test_what_the_server_refuses_is_a_line(selfheal: Command, remote: Callable[[User, str], None]) -> None:
    request = make_request()
    remote(make_user("eve", role="viewer"), "read")
    status, _, err = selfheal("approvals", "approve", request.pk)
    assert (status, err.count("\n")) == (1, 1)
    assert "scope approve" in err


def test_a_server_that_does_not_answer_is_a_line(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELF_HEAL_TOKEN", "sh_x")
    monkeypatch.setenv("SELF_HEAL_BASE_URL", "http://127.0.0.1:1")
    status, _, err = selfheal("runs", "list")
    assert status == 1
    assert err.startswith("selfheal: the server does not answer")


def test_a_setting_that_is_wrong_is_status_2_with_a_token_too(selfheal: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELF_HEAL_TOKEN", "any")
    monkeypatch.setenv("SELF_HEAL_POLL_SECONDS", "0")
    status, _, err = selfheal("incidents", "list")
    assert (status, err) == (2, "selfheal: SELF_HEAL_POLL_SECONDS='0' must be 1 or more\n")
