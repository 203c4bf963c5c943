"""Making a mapping for an unmatched alert: what a rule would match, and what it does once it is stored."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import catalog, intake, mapping
from healing.models import Incident, LedgerOutbox, MapRule, UnmatchedAlert
from selfheal.errors import Conflict, Invalid
from selfheal.mapping import Rule
from tests.factories import make_service, make_unmatched

from .conftest import text_of

RULE = Rule({"alertname": "DiskFull"}, "db", "labels.instance", "capacity_strain")
SUGGESTION = '- {match: {alertname: "DiskFull"}, service: by_target, target: labels.instance, diagnosis: capacity_strain}'


@pytest.fixture(autouse=True)
def no_file(settings: Any, tmp_path: Path) -> Path:
    """No services.yaml declares the map."""
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    return tmp_path / "services.yaml"


@pytest.fixture
def unmatched(db: None) -> UnmatchedAlert:
    make_service("db", hosts=9)
    make_unmatched(labels={"alertname": "DiskFull", "instance": "db-99:9100"})
    make_unmatched(labels={"alertname": "Other", "instance": "db-07:9100"})
    make_unmatched(labels={"alertname": "DiskFull", "instance": "db-03:9100"}, status="resolved")
    return make_unmatched(labels={"alertname": "DiskFull", "instance": "db-07:9100"}, suggestion=SUGGESTION)


def address(row: UnmatchedAlert) -> str:
    return f"/admin/healing/unmatchedalert/{row.pk}/map/"


def said(**fields: str) -> dict[str, str]:
    return {
        "match": "alertname: DiskFull",
        "service": "db",
        "target": "labels.instance",
        "diagnosis": "capacity_strain",
        **fields,
    }


def test_the_page_of_the_alert_says_why_and_leads_an_admin_to_the_form(sign_in: Any, unmatched: UnmatchedAlert) -> None:
    page = text_of(sign_in("ada", "admin").get(f"/admin/healing/unmatchedalert/{unmatched.pk}/change/"))
    assert "DiskFull came in, but belongs to no declared service" in page
    assert address(unmatched) in page
    assert address(unmatched) not in text_of(sign_in().get(f"/admin/healing/unmatchedalert/{unmatched.pk}/change/"))


def test_the_form_is_filled_as_the_suggestion_says(sign_in: Any, unmatched: UnmatchedAlert) -> None:
    page = text_of(sign_in("ada", "admin").get(address(unmatched)))
    assert "alertname: DiskFull</textarea>" in page
    assert '<option value="by_target" selected>' in page


def test_a_preview_says_what_would_be_matched_and_stores_nothing(sign_in: Any, unmatched: UnmatchedAlert) -> None:
    page = text_of(sign_in("ada", "admin").post(address(unmatched), said(preview="")))
    assert "2 unmatched alerts would be matched" in page
    assert "db/db-07, capacity strain" in page
    assert "host &#x27;db-99&#x27; is none of its 9 hosts" in page
    assert not MapRule.objects.exists()


def test_saved_it_makes_incidents_of_what_still_fires(sign_in: Any, unmatched: UnmatchedAlert) -> None:
    page = text_of(sign_in("ada", "admin").post(address(unmatched), said(save="", reason="the disks are ours"), follow=True))
    assert "what still fires came in again at once (1)" in page
    incident = Incident.objects.get()
    assert (incident.service.name, incident.target, incident.diagnosis) == ("db", "db-07", "capacity_strain")
    assert not UnmatchedAlert.objects.filter(pk=unmatched.pk).exists()
    assert UnmatchedAlert.objects.count() == 3
    assert any(b"the disks are ours" in bytes(leaf) and b"map.changed" in bytes(leaf) for leaf in leaves())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reason": ""}, "a reason is required"),
        ({"service": "nobody"}, "Select a valid choice"),
        ({"match": "DiskFull"}, "Line 1 is not NAME: PATTERN"),
        ({"match": "alertname: ("}, "is no pattern"),
        ({"match": "\n"}, "This field is required"),
        ({"target": "no such thing"}, "Target"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(sign_in: Any, unmatched: UnmatchedAlert, fields: dict[str, str], says: str) -> None:
    page = text_of(sign_in("ada", "admin").post(address(unmatched), said(save="", **{"reason": "because", **fields})))
    assert says in page
    assert not MapRule.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_only_who_may_configure_has_the_form(sign_in: Any, unmatched: UnmatchedAlert, role: str) -> None:
    browser = sign_in("otto", role)
    assert browser.get(address(unmatched)).status_code == 403
    assert browser.post(address(unmatched), said(save="", reason="x")).status_code == 403


def test_where_a_file_declares_the_map_the_line_is_shown_and_nothing_stored(
    sign_in: Any, unmatched: UnmatchedAlert, no_file: Path
) -> None:
    no_file.write_text("map: []\n")
    page = text_of(sign_in("ada", "admin").post(address(unmatched), said(save="", reason="x")))
    assert "The map is declared in" in page
    assert "service: db, target: labels.instance, diagnosis: capacity_strain}" in page
    assert 'name="save"' not in page
    assert not MapRule.objects.exists()
    with pytest.raises(Conflict, match="put the line there"):
        mapping.add_rule(RULE, unmatched.labels, "x", "ada", timezone.now())


def test_a_rule_stands_before_the_one_that_led_nowhere_and_after_the_others(unmatched: UnmatchedAlert, at: datetime) -> None:
    for n, name in enumerate(("Other", "Disk.*", ".*")):
        MapRule.objects.create(position=n, match={"alertname": name}, service="labels.owner")
    mapping.add_rule(RULE, unmatched.labels, "mine", "ada", at)
    assert [rule.match["alertname"] for rule in MapRule.objects.all()] == ["Other", "DiskFull", "Disk.*", ".*"]
    assert [rule.position for rule in MapRule.objects.all()] == [0, 1, 2, 3]


def test_taken_in_again_twice_it_is_one_alert(unmatched: UnmatchedAlert, at: datetime) -> None:
    assert mapping.add_rule(RULE, unmatched.labels, "mine", "ada", at) == 1
    assert mapping.take_again([unmatched], "ada", at) == 0
    sent = {"labels": unmatched.labels, "fingerprint": unmatched.fingerprint, "starts_at": unmatched.starts_at.isoformat()}

    assert intake.receive_plain(json.dumps(sent).encode(), actor="am", at=at)["deduplicated"] == 1


def test_a_service_that_is_not_declared_is_no_place(db: None) -> None:
    with pytest.raises(Invalid, match="there is no service 'ghost'"):
        mapping.rule_of({"match": {"alertname": "X"}, "service": "ghost"})


def test_a_sync_of_a_file_without_a_map_leaves_the_rules_of_the_pages(
    unmatched: UnmatchedAlert, at: datetime, no_file: Path
) -> None:
    mapping.add_rule(RULE, unmatched.labels, "mine", "ada", at)
    no_file.write_text("services: []\n")
    report = catalog.sync(no_file.parent, [], at, "ada")
    assert (report.errors, MapRule.objects.count()) == ([], 1)
    assert "services.yaml has no `map:`" in report.warnings[0]
    no_file.write_text("map: []\n")
    catalog.sync(no_file.parent, [], at, "ada")
    assert not MapRule.objects.exists()


def leaves() -> list[Any]:
    return list(LedgerOutbox.objects.values_list("leaf", flat=True))
