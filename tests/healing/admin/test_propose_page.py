"""Proposing by hand on the page of an incident: a dry run first, then exactly that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import catalog
from healing.models import Incident, Run, Service
from tests.factories import make_incident

from .conftest import text_of

pytestmark = pytest.mark.django_db
PLAYBOOK = """
playbook: pause-a-while
title: Wait until it is over
domain: host
diagnoses: [service_down]
impact: {impact}
reversible: false
parameters:
  pause: {{type: duration, default: 1s, max: 1m}}
steps:
  - {{id: only, action: wait, with: {{duration: "${{params.pause}}"}}, timeout: 2m, rollback: none}}
verify:
  - {{check: http_health, url: "${{target.url}}/healthz", expect: {{status: 200}}, within: 1s, every: 200ms}}
"""


@pytest.fixture
def incident(tmp_path: Path, settings: Any) -> Incident:
    settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS = tmp_path, [tmp_path / "playbooks"]
    services = [{"name": "web", "mode": "auto", "url": "http://web.internal"}]
    (tmp_path / "services.yaml").write_text(json.dumps({"map": [], "services": services}))
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "pause.yaml").write_text(PLAYBOOK.format(impact="high"))
    report = catalog.sync(tmp_path, [tmp_path / "playbooks"], actor="test", at=timezone.now())
    assert not report.errors, report.errors
    return make_incident(Service.objects.get())


def address(incident: Incident) -> str:
    return f"/admin/healing/incident/{incident.pk}/propose/"


def test_an_operator_is_led_there_and_a_viewer_is_not(sign_in: Any, incident: Incident) -> None:
    page = f"/admin/healing/incident/{incident.pk}/change/"
    assert address(incident) in text_of(sign_in("otto", "operator").get(page))
    assert address(incident) not in text_of(sign_in("vera", "viewer").get(page))
    assert sign_in("vera", "viewer").get(address(incident)).status_code == 403


def test_the_dry_run_shows_plan_and_decision_and_makes_nothing(sign_in: Any, incident: Incident) -> None:
    page = text_of(sign_in("otto", "operator").get(address(incident), {"playbook": "pause-a-while", "p-pause": "5s"}))
    assert "<strong>wait</strong> on <strong>web</strong>" in page
    assert "high impact always needs approval" in page
    assert 'name="p-pause" value="5s"' in page
    assert not Run.objects.exists()


def test_what_is_out_of_bounds_is_said_and_cannot_be_proposed(sign_in: Any, incident: Incident) -> None:
    page = text_of(sign_in("otto", "operator").get(address(incident), {"playbook": "pause-a-while", "p-pause": "5h"}))
    assert re.search("Nothing: [a-z.]*pause", page)
    assert "Propose it" not in page


def test_proposing_makes_the_run_that_was_shown(sign_in: Any, incident: Incident) -> None:
    otto = sign_in("otto", "operator")
    answer = otto.post(address(incident), {"playbook": "pause-a-while", "p-pause": "5s"})
    run = Run.objects.get()
    assert answer.url == f"/admin/healing/run/{run.pk}/change/"
    assert (run.requested_by, run.status, run.plan["steps"][0]["with"]) == ("otto", "pending", {"duration": 5000})


def test_a_second_proposal_is_refused_with_its_reason(sign_in: Any, incident: Incident) -> None:
    otto = sign_in("otto", "operator")
    for _ in range(2):
        answer = otto.post(address(incident), {"playbook": "pause-a-while"}, follow=True)
    assert "Dup" in text_of(answer)
    assert Run.objects.count() == 1


def test_a_playbook_that_does_not_fit_is_refused(sign_in: Any, incident: Incident) -> None:
    answer = sign_in("otto", "operator").post(address(incident), {"playbook": "another"}, follow=True)
    assert "no active playbook for this diagnosis" in text_of(answer)
