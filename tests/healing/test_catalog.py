from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.db import transaction

from healing import catalog
from healing.models import LedgerOutbox, MapRule, Playbook, Service, Target
from selfheal.canonical import digest
from selfheal.errors import Invalid, InvalidDocument
from tests.factories import make_playbook, make_service

pytestmark = pytest.mark.django_db

SERVICES = """
map:
  - {match: {alertname: "Node.*"}, service: by_target, target: labels.instance}
services:
  - {name: web, url: "http://web", depends_on: [db], targets: {hosts: [web-01, web-02], url: "http://${target.host}:80"}}
  - {name: db, mode: ask, labels: {pidfile: /run/db.pid, start: [/usr/bin/db, --now]}}
"""
COMMANDS = 'rotate: {argv: [/bin/rotate, "${args.n}"], args: {n: {type: integer}}}\n'
PLAYBOOK = """
playbook: restart
title: Restart
domain: host
diagnoses: [service_down]
impact: low
steps:
  - {id: restart, action: process.restart, timeout: 60s, rollback: none}
verify:
  - {check: process_up, within: 60s}
"""


class Files:
    """A config directory and a directory of playbooks, and a sync of both."""

    def __init__(self, root: Path, at) -> None:
        self.config, self.playbooks, self.at = root / "config", root / "playbooks", at
        self.config.mkdir()
        self.playbooks.mkdir()
        self.write(services=SERVICES, commands=COMMANDS)
        self.playbook("restart", PLAYBOOK)

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.config / f"{name}.yaml").write_text(text)

    def playbook(self, name: str, text: str) -> None:
        (self.playbooks / f"{name}.yaml").write_text(text)

    def sync(self, **more):
        return catalog.sync(self.config, [self.playbooks], actor="ann", at=self.at, **more)


@pytest.fixture
def files(tmp_path, at, settings) -> Files:
    made = Files(tmp_path, at)
    settings.SELF_HEAL_CONFIG_DIR = made.config
    return made


@pytest.fixture
def synced(files) -> Files:
    assert not files.sync().errors
    return files


def leaves() -> list[dict]:
    return [json.loads(bytes(row.leaf)) for row in LedgerOutbox.objects.order_by("pk")]


def actions() -> list[str]:
    return [leaf["action"] for leaf in leaves()]


def test_files_become_rows_each_with_its_entry(files):
    report = files.sync()
    web = Service.objects.get(name="web")
    assert (report.errors, report.services.created, report.playbooks.created) == ([], ["web", "db"], ["restart"])
    assert report.map_changed
    assert (web.mode, web.from_file, [s.name for s in web.depends_on.all()]) == ("observe", True, ["db"])
    assert list(web.targets.values_list("name", "url")) == [("web-01", "http://web-01:80"), ("web-02", "http://web-02:80")]
    assert list(Target.objects.filter(service__name="db").values_list("name", "url")) == [("db", "")]
    assert MapRule.objects.get().match == {"alertname": "Node.*"}
    assert sorted(actions()) == ["map.changed", "playbook.version", "service.created", "service.created"]
    assert {leaf["actor"] for leaf in leaves()} == {"ann"}


def test_the_entry_of_a_service_holds_all_that_is_declared(synced):
    leaf = next(leaf for leaf in leaves() if leaf["resource"] == "service:web")
    assert leaf["payload"] == {"before": None, "after": catalog.service_document(Service.objects.get(name="web"))}
    assert leaf["payload"]["after"]["depends_on"] == ["db"]


def test_a_second_sync_changes_nothing_and_writes_nothing(synced):
    before = LedgerOutbox.objects.count()
    report = synced.sync()
    assert not report.changed
    assert (report.services.unchanged, report.playbooks.unchanged) == (2, 1)
    assert LedgerOutbox.objects.count() == before


def test_a_change_of_a_service_is_told_with_before_and_after(synced):
    synced.write(services=SERVICES.replace("mode: ask", "mode: auto").replace("web-02", "web-03"))
    report = synced.sync()
    assert report.services.changed == ["web", "db"]
    payload = leaves()[-1]["payload"]
    assert (payload["before"]["mode"], payload["after"]["mode"]) == ("ask", "auto")
    assert list(Target.objects.filter(service__name="web").values_list("name", flat=True)) == ["web-01", "web-03"]


def test_a_target_keeps_its_row_when_its_address_changes(synced):
    key = Target.objects.get(name="web-01").pk
    synced.write(services=SERVICES.replace(":80", ":81"))
    synced.sync()
    assert Target.objects.get(pk=key).url == "http://web-01:81"


def test_a_service_that_left_the_file_is_not_active_and_comes_back(synced):
    synced.write(services="services: [{name: db}]\n")
    assert synced.sync().services.removed == ["web"]
    assert not Service.objects.get(name="web").active
    assert "service.removed" in actions()
    synced.write(services=SERVICES)
    assert synced.sync().services.created == ["web"]
    assert Service.objects.get(name="web").active


def test_a_service_of_the_api_is_left_alone_by_the_file(synced, at):
    catalog.upsert_service({"name": "cache"}, actor="bob", at=at)
    report = synced.sync()
    assert not report.changed
    assert Service.objects.get(name="cache").active


def test_no_services_file_removes_nothing(synced):
    (synced.config / "services.yaml").unlink()
    report = synced.sync()
    assert not report.changed
    assert "there is no services.yaml" in report.warnings[-1]
    assert Service.objects.filter(active=True).count() == 2


def test_a_changed_playbook_is_the_next_version(synced):
    synced.playbook("restart", PLAYBOOK.replace("60s, rollback", "30s, rollback"))
    assert synced.sync().playbooks.changed == ["restart"]
    assert list(Playbook.objects.order_by("version").values_list("version", "active")) == [(1, False), (2, True)]
    newest = Playbook.objects.get(version=2)
    assert newest.digest == digest(newest.document)
    assert catalog.document_of(newest).steps[0].timeout == 30_000


def test_a_comment_makes_no_version(synced):
    synced.playbook("restart", f"# why\n{PLAYBOOK}")
    assert not synced.sync().changed


TESTS = """
tests:
  - name: it is restarted
    given: {alert: {labels: {alertname: ServiceDown, service: db}}, service: {name: db, labels: {unit: db.service}}}
    expect: {decision: auto}
"""


def test_tests_of_a_playbook_make_no_version_and_void_nothing(synced):
    before = Playbook.objects.get()
    synced.playbook("restart", PLAYBOOK + TESTS)
    assert synced.sync().playbooks.changed == ["restart"]
    after = Playbook.objects.get()
    assert (after.pk, after.version, after.digest) == (before.pk, before.version, before.digest)
    assert "it is restarted" in after.source
    assert [(case.name, result.passed) for case, result in catalog.rehearsed(after)] == [("it is restarted", True)]


def test_a_change_of_tests_has_its_entry(synced):
    synced.playbook("restart", PLAYBOOK + TESTS)
    synced.sync()
    payload = leaves()[-1]["payload"]
    assert leaves()[-1]["action"] == "playbook.tests"
    assert payload["before"] == digest([])
    assert payload["after"] == digest(Playbook.objects.get().document["tests"])
    assert not synced.sync().changed


def test_what_runs_does_not_depend_on_tests_that_can_no_longer_be_read(synced):
    row = Playbook.objects.get()
    row.document = {**row.document, "tests": [{"nme": "of an older selfheal"}]}
    assert catalog.document_of(row).playbook == "restart"
    with pytest.raises(Invalid, match="sync it again"):
        catalog.rehearsed(row)


def test_a_playbook_whose_file_is_gone_is_not_active(synced):
    (synced.playbooks / "restart.yaml").unlink()
    assert synced.sync().playbooks.removed == ["restart"]
    assert not Playbook.objects.get().active
    synced.playbook("restart", PLAYBOOK)
    synced.sync()
    assert Playbook.objects.get(active=True).version == 2


def test_the_impact_of_a_playbook_is_at_least_its_actions(synced):
    synced.playbook("restart", PLAYBOOK.replace("impact: low", "impact: high"))
    synced.sync()
    assert Playbook.objects.get(active=True).impact == "high"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("services", SERVICES.replace("mode: ask", "mode: aks"), "services.yaml:6:22: mode: expected"),
        ("services", SERVICES.replace("[db]", "[bd]"), "services.yaml:5:49: service 'bd' is not declared"),
        ("services", "a: &a [x]\nb: *a\n", "services.yaml:1:4: anchors and aliases"),
        ("queries", "up: {promql: 'up{a=~${args.x}}'}", "queries.yaml:1:5: up: `promql`: ${args.x} is no label's value"),
        ("commands", "rotate: {argv: [rotate]}", "commands.yaml:1:9: rotate: `argv` begins with an absolute path"),
    ],
)
def test_one_fault_anywhere_and_nothing_is_changed(file, text, said, files):
    files.write(**{file: text})
    report = files.sync()
    assert any(said in line for line in report.errors)
    assert not Service.objects.exists()
    assert not Playbook.objects.exists()
    assert not LedgerOutbox.objects.exists()


def test_the_faults_of_all_files_are_told_at_once(files):
    files.write(services="services: 5\n")
    files.playbook("restart", PLAYBOOK.replace("title", "titel"))
    files.playbook("twin", PLAYBOOK.replace("process.restart", "process.rstart"))
    lines = [line.rsplit("/", 1)[1] for line in files.sync().errors]
    assert [line.split(": ")[0] for line in lines] == [
        "services.yaml:1:11",
        "restart.yaml:2:1",
        "restart.yaml:3:1",
        "twin.yaml:8:27",
    ]


def test_two_files_of_one_playbook_are_a_fault(files):
    files.playbook("twin", PLAYBOOK)
    assert "playbook 'restart' stands in" in files.sync().errors[0]


def test_a_directory_that_is_not_there_is_a_fault(files, at):
    report = catalog.sync(files.config, [files.playbooks / "nope"], at, "ann")
    assert "there is no such directory" in report.errors[0]


def test_a_file_that_is_no_text_is_a_fault(files):
    (files.playbooks / "bin.yaml").write_bytes(b"\xff\xfe")
    (files.playbooks / "large.yaml").write_bytes(b"x" * 300_000)
    assert [line.split(": ", 1)[1] for line in files.sync().errors] == [
        "is no UTF-8: byte 0 cannot be read",
        "is larger than 256 KiB",
    ]


def test_a_playbook_is_judged_by_the_commands_there_are(files):
    files.playbook(
        "rotate", PLAYBOOK.replace("restart", "rotate").replace("process.rotate", "command.run, with: {command: rotte}")
    )
    assert "command 'rotte' is not in commands.yaml" in files.sync().errors[0]


def test_a_dry_sync_says_what_would_change_and_changes_nothing(files):
    report = files.sync(dry=True)
    assert report.services.created == ["web", "db"]
    assert not Service.objects.exists()
    assert not LedgerOutbox.objects.exists()


def test_the_api_makes_a_service_and_changes_what_is_named(at):
    service, created = catalog.upsert_service({"name": "web", "url": "http://web", "labels": {"unit": "web.service"}}, at, "bob")
    assert created
    same, created = catalog.upsert_service({"name": "web", "mode": "auto"}, at, "bob")
    assert (same.pk, created, same.mode, same.labels) == (service.pk, False, "auto", {"unit": "web.service"})
    assert actions() == ["service.created", "service.changed"]
    assert list(service.targets.values_list("name", "url")) == [("web", "http://web")]


def test_the_same_service_again_writes_nothing(at):
    service, _ = catalog.upsert_service({"name": "web", "targets": {"hosts": ["a", "b"]}}, at, "bob")
    catalog.upsert_service(catalog.service_document(service), at, "bob")
    assert actions() == ["service.created"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"name": "web", "mode": "on"}, "mode"),
        ({"mode": "auto"}, "name"),
        ({"name": "a\0"}, "name"),
        ({"name": "web", "depends_on": ["nope"]}, "depends_on.0"),
        ({"name": "web", "colour": 1}, "colour"),
        (["web"], ""),
    ],
)
def test_a_wrong_service_is_refused_by_field_and_nothing_stands(document, field, at):
    with pytest.raises(Invalid) as caught:
        catalog.upsert_service(document, at, "bob")
    assert caught.value.field == field
    assert not Service.objects.exists()
    assert not LedgerOutbox.objects.exists()


def test_dependencies_do_not_go_round_in_a_circle(at):
    for document in ({"name": "a"}, {"name": "b", "depends_on": ["a"]}, {"name": "c", "depends_on": ["b"]}):
        catalog.upsert_service(document, at, "bob")
    with pytest.raises(Invalid, match="round in a circle"):
        catalog.upsert_service({"name": "a", "depends_on": ["c"]}, at, "bob")


def test_a_document_that_is_too_long_for_an_entry_stands_as_its_digest(at):
    hosts = [f"host-{n:04d}.very-long-name-of-a-data-centre.internal" for n in range(900)]
    service, _ = catalog.upsert_service({"name": "web", "targets": {"hosts": hosts}}, at, "bob")
    assert leaves()[0]["payload"]["after"]["sha256"] == digest(catalog.service_document(service))
    assert service.targets.count() == 900


def test_a_place_holds_what_is_declared(synced, settings):
    settings.SELF_HEAL_COMMAND_ALLOW = ["/bin/true"]
    place = catalog.place_of(Service.objects.get(name="web"), "web-02")
    assert (place.service, place.target, place.url, place.target_url) == ("web", "web-02", "http://web", "http://web-02:80")
    assert (place.via, place.command_allow) == ("local", ("/bin/true",))
    assert place.commands["rotate"].fill({"n": 3}) == ["/bin/rotate", "3"]
    with pytest.raises(Invalid, match="has no target 'web-09'"):
        catalog.place_of(Service.objects.get(name="web"), "web-09")


def test_queries_stand_in_a_place_and_are_read_again_when_their_file_changed(synced):
    (synced.config / "queries.yaml").write_text("up: {promql: up}\n")
    place = catalog.place_of(Service.objects.get(name="web"), "web-02")
    assert place.queries["up"].fill({}) == "up"
    (synced.config / "queries.yaml").write_text("down: {promql: up == 0}\n")
    assert list(catalog.place_of(Service.objects.get(name="web"), "web-02").queries) == ["down"]


def test_commands_are_read_again_when_their_file_changed(files):
    assert list(catalog.commands()) == ["rotate"]
    path = files.config / "commands.yaml"
    path.write_text(COMMANDS.replace("rotate:", "turn:"))
    os.utime(path, ns=(1, 1))
    assert list(catalog.commands()) == ["turn"]
    path.write_text("turn: 5\n")
    with pytest.raises(InvalidDocument):
        catalog.commands()
    path.unlink()
    assert catalog.commands() == {}


def test_what_may_be_reached_is_what_active_services_declare(synced):
    assert catalog.allowed_origins() == ["http://web", "http://web-01:80", "http://web-02:80"]
    make_service("old", active=False)
    assert "https://old.internal" not in catalog.allowed_origins()


def test_a_playbook_that_was_changed_in_the_database_is_refused():
    document = {**make_document(), "impact": "low"}
    tampered = make_playbook("tampered", document=document, digest=digest({**document, "impact": "high"}))
    with pytest.raises(Invalid, match="is not what its digest names"):
        catalog.document_of(tampered)
    with pytest.raises(Invalid, match="cannot be read"):
        catalog.document_of(make_playbook("torn"))


def make_document() -> dict:
    step = {"id": "a", "action": "noop"}
    return {"playbook": "t", "title": "T", "domain": "host", "diagnoses": ["x"], "steps": [step]}


@pytest.mark.django_db(transaction=True)
def test_what_fails_half_way_leaves_nothing(files, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no disk")

    monkeypatch.setattr("healing.catalog.syncing.write_version", fails)
    with pytest.raises(RuntimeError, match="no disk"), transaction.atomic():
        files.sync()
    assert not Service.objects.exists()
    assert not LedgerOutbox.objects.exists()


def test_the_files_that_come_with_selfheal_have_no_fault(at):
    root = Path(__file__).parents[2] / "config"
    report = catalog.sync(root, [root / "playbooks"], at, "ann", dry=True)
    assert (report.errors, report.warnings) == ([], [])
    assert report.playbooks.created
