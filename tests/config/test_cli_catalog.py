from __future__ import annotations

import json

import pytest

from config.cli import run
from healing.models import LedgerOutbox, Playbook, Service

PLAYBOOK = """
playbook: look
title: Look
domain: host
diagnoses: [service_down]
impact: low
parameters: {pause: {type: duration, max: 5s, default: 1s}}
steps:
  - {id: wait, action: wait, with: {duration: "${params.pause}"}}
verify:
  - {check: http_health, url: "${target.url}/"}
"""


@pytest.fixture
def files(tmp_path, settings):
    (tmp_path / "services.yaml").write_text('services: [{name: web, url: "http://web.internal"}]\n')
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "look.yaml").write_text(PLAYBOOK)
    settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS = tmp_path, [tmp_path / "playbooks"]
    return tmp_path


def test_lint_of_sound_playbooks_is_status_0(files, capsys):
    assert run(["playbooks", "lint"]) == 0
    assert "1 playbooks, nothing wrong" in capsys.readouterr().out


def test_lint_names_file_line_and_column_and_is_status_1(files, capsys):
    path = files / "playbooks" / "look.yaml"
    path.write_text(PLAYBOOK.replace("title", "titel"))
    assert run(["playbooks", "lint", str(path)]) == 1
    assert f"{path}:3:1: unknown key 'titel'; did you mean 'title'?" in capsys.readouterr().err
    assert run(["playbooks", "lint", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["errors"]) == 2


def test_lint_escapes_what_a_file_says(files, capsys):
    (files / "playbooks" / "look.yaml").write_text('"\\e[31m": 1\n')
    assert run(["playbooks", "lint"]) == 1
    assert "\x1b" not in capsys.readouterr().err


CASE = """
tests:
  - name: a service that is down is looked at
    given:
      alert: {labels: {alertname: ServiceDown, service: web}}
      service: {name: web, url: "http://web"}
    expect: {parameters: {pause: 1s}, steps: [wait], decision: auto}
"""


def test_lint_warns_of_a_playbook_without_tests(files, capsys):
    assert run(["playbooks", "lint"]) == 0
    assert "look.yaml:1:1: has no `tests`" in capsys.readouterr().out
    (files / "playbooks" / "look.yaml").write_text(PLAYBOOK + CASE)
    assert run(["playbooks", "lint"]) == 0
    assert "no `tests`" not in capsys.readouterr().out


@pytest.mark.parametrize("what", [[], ["look"], ["FILES"], ["FILES/look.yaml"]])
def test_the_tests_of_playbooks_are_run_without_a_database(files, capsys, what):
    (files / "playbooks" / "look.yaml").write_text(PLAYBOOK + CASE)
    assert run(["playbooks", "test", *(each.replace("FILES", str(files / "playbooks")) for each in what)]) == 0
    assert capsys.readouterr().out == "1 playbooks, 1 tests, nothing wrong\n"


def test_a_test_that_fails_is_status_1_and_says_what_came_instead(files, capsys):
    (files / "playbooks" / "look.yaml").write_text(PLAYBOOK + CASE.replace("decision: auto", "decision: deny"))
    assert run(["playbooks", "test"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("look: a service that is down is looked at\n  expected decision deny, got auto: ")
    assert "1 playbooks, 1 tests, 1 failed" in told.err
    assert run(["playbooks", "test", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["tests"], found["failed"], found["errors"]) == (1, 1, [])
    assert found["playbooks"][0]["tests"][0]["mismatches"][0].startswith("expected decision deny")


def test_a_playbook_that_cannot_be_read_is_no_test_that_passed(files, capsys):
    (files / "playbooks" / "look.yaml").write_text(PLAYBOOK.replace("title", "titel") + CASE)
    assert run(["playbooks", "test", "look"]) == 1
    assert "unknown key 'titel'" in capsys.readouterr().err


def test_an_unknown_name_is_told_with_those_that_there_are(files, capsys):
    assert run(["playbooks", "test", "lok"]) == 1
    assert "there is no playbook or file 'lok'; there are look" in capsys.readouterr().err


@pytest.mark.django_db
def test_sync_reads_services_and_playbooks_and_says_who_asked(files, capsys):
    assert run(["services", "sync"]) == 0
    assert "1 created" in capsys.readouterr().out
    assert (Service.objects.get().name, Playbook.objects.get().name) == ("web", "look")
    assert b"(command line)" in bytes(LedgerOutbox.objects.first().leaf)


@pytest.mark.django_db
def test_sync_of_a_wrong_file_is_status_1_and_changes_nothing(files, capsys):
    (files / "services.yaml").write_text("services: [{nme: web}]\n")
    assert run(["playbooks", "sync"]) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert not Playbook.objects.exists()


@pytest.mark.django_db
def test_lists_are_for_people_and_for_programs(files, capsys):
    assert run(["services", "list"]) == 0
    assert "there are no services" in capsys.readouterr().out
    run(["services", "sync"])
    capsys.readouterr()
    assert run(["services", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["url"] == "http://web.internal"
    assert run(["playbooks", "list"]) == 0
    assert "service_down" in capsys.readouterr().out


@pytest.mark.django_db
def test_a_dry_run_shows_plan_and_decision(files, capsys):
    run(["services", "sync"])
    capsys.readouterr()
    assert run(["playbooks", "dry-run", "look", "--service", "web", "-p", "pause=2s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plan"]["steps"][0]["with"] == {"duration": 2000}
    assert run(["playbooks", "dry-run", "look", "--service", "web"]) == 0
    assert "decision: " in capsys.readouterr().out
    assert run(["playbooks", "dry-run", "look", "--service", "web", "-p", "pause=1h"]) == 1
    assert "parameters.pause: must be 5000 ms or less" in capsys.readouterr().err
    assert run(["playbooks", "dry-run", "look", "--service", "web", "-p", "pause"]) == 2


def test_a_dry_run_asks_the_server_where_a_token_is_set(monkeypatch, capsys):
    from config.cli import client

    asked = []

    class Server:
        remote = True

        def post(self, path, body):
            asked.append((path, body))
            return {"not_applicable": "when: it is not", "plan": None, "digest": None, "decision": None, "reasons": []}

    monkeypatch.setenv("SELF_HEAL_TOKEN", "t")
    monkeypatch.setattr(client, "Remote", lambda base, token: Server())
    line = ["playbooks", "dry-run", "a/b", "--service", "web", "--target", "web-01", "--param", "n=3"]
    assert run(line) == 0
    assert "a/b does not apply: when: it is not" in capsys.readouterr().out
    body = {"service": "web", "target": "web-01", "diagnosis": "service_down", "parameters": {"n": "3"}}
    assert asked == [("/api/self_heal/playbooks/a%2Fb/dry_run", body)]
