"""What would happen if: plan, decision and bounds, and nothing is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import catalog
from healing.models import LedgerOutbox, Run, Service
from tests.factories import make_incident

from .conftest import text_of

pytestmark = pytest.mark.django_db
PAGE = "/admin/what-if/"
PLAYBOOK = """
playbook: wait-a-while
title: Wait until it is over
domain: host
diagnoses: [service_down]
impact: medium
reversible: false
parameters:
  pause: {type: duration, default: 1s, max: 1m}
  times: {type: integer, default: 2, min: 1, max: 5}
  level: {type: string, default: INFO, enum: [INFO, WARN]}
steps:
  - {id: only, action: wait, with: {duration: "${params.pause}"}, timeout: 2m, rollback: none}
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 1s, every: 200ms}
"""
ASKED = {"service": "web", "target": "web", "diagnosis": "service_down", "playbook": "wait-a-while"}


@pytest.fixture
def service(tmp_path: Path, settings: Any) -> Service:
    settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS = tmp_path, [tmp_path / "playbooks"]
    services = [{"name": "web", "mode": "auto", "url": "http://web.internal"}]
    (tmp_path / "services.yaml").write_text(json.dumps({"map": [], "services": services}))
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "wait.yaml").write_text(PLAYBOOK)
    report = catalog.sync(tmp_path, [tmp_path / "playbooks"], actor="test", at=timezone.now())
    assert not report.errors, report.errors
    return Service.objects.get()


def test_it_shows_plan_decision_and_windows_and_touches_nothing(sign_in: Any, service: Service) -> None:
    before = LedgerOutbox.objects.count()
    page = text_of(sign_in().get(PAGE, {**ASKED, "p-pause": "5s"}))
    assert "What policy would say" in page
    assert "What would run" in page
    assert "5000" in page
    assert "change window" in page
    assert "may be changed with medium impact" in page
    assert (Run.objects.count(), LedgerOutbox.objects.count()) == (0, before)


def test_the_bounds_of_the_parameters_are_those_of_the_fields(sign_in: Any, service: Service) -> None:
    page = text_of(sign_in().get(PAGE, ASKED))
    assert 'name="p-times" value="" type="number" min="1" max="5"' in page
    assert "duration, at most" in page
    assert "<option>WARN</option>" in page


def test_what_is_out_of_bounds_is_denied_with_every_rule(sign_in: Any, service: Service) -> None:
    page = text_of(sign_in().get(PAGE, {**ASKED, "p-pause": "9m"}))
    assert ">deny<" in page
    assert "p-pause" in page
    assert "What would run" not in page


def test_it_is_filled_in_for_an_incident(sign_in: Any, service: Service) -> None:
    incident = make_incident(service, title="It is down")
    client = sign_in()
    assert f"{PAGE}?incident={incident.pk}" in text_of(client.get(f"/admin/healing/incident/{incident.pk}/change/"))
    page = text_of(client.get(PAGE, {"incident": str(incident.pk), "playbook": "wait-a-while"}))
    assert "It is down" in page
    assert "What would run" in page


@pytest.mark.parametrize("incident", ["no-uuid", "00000000-0000-0000-0000-000000000000"])
def test_an_incident_that_is_not_there_is_not_found(sign_in: Any, incident: str) -> None:
    assert sign_in().get(PAGE, {"incident": incident}).status_code == 404


def test_an_empty_installation_shows_the_empty_form(sign_in: Any, db: Any) -> None:
    assert "Show what would happen" in text_of(sign_in().get(PAGE, {"service": "nobody", "playbook": "none"}))


def test_it_needs_a_session_and_changes_nothing_by_post(client: Any, sign_in: Any) -> None:
    assert client.get(PAGE).status_code == 302
    assert sign_in().post(PAGE, ASKED).status_code == 405
