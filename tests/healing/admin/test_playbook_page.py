"""The page of a playbook: what it takes and does, readable, and whether its own tests hold."""

from __future__ import annotations

import pytest
from django.utils import timezone

from healing import catalog
from healing.admin.base import address_of
from healing.models import Playbook
from tests.factories import make_playbook

from .conftest import text_of

pytestmark = pytest.mark.django_db

PLAYBOOK = """
playbook: switch
title: Switch
domain: host
diagnoses: [service_down]
impact: low
parameters:
  flag: {type: string, pattern: "^[a-z]+$", from: service.labels.flag}
  pause: {type: duration, min: 1s, max: 1m, default: 5s}
when: "incident.severity != 'low'"
steps:
  - {id: turn, action: flag.set, with: {flag: "${params.flag}", value: false}, rollback: undo, confirm: "<b>Sure?</b>"}
  - {id: pause, action: wait, with: {duration: "${params.pause}"}, on_fail: stop}
verify:
  - {check: http_health, url: "${target.url}/health"}
tests:
  - name: a person decides
    given:
      alert: {labels: {alertname: InstanceDown, service: shop}, severity: critical}
      service: {name: shop, url: "http://shop", labels: {flag: beta, flags_url: "http://flags"}}
    expect: {decision: approval}
  - name: <i>an alert</i> of no weight is left alone
    given:
      alert: {labels: {alertname: InstanceDown, service: shop}, severity: info}
      service: {name: shop, url: "http://shop", labels: {flag: beta, flags_url: "http://flags"}}
    expect: {applicable: false, reason: severity}
"""


@pytest.fixture
def page(tmp_path, settings, sign_in):
    """The text of the page of a playbook that stands in a file like this."""

    def shown(text: str) -> str:
        settings.SELF_HEAL_CONFIG_DIR = tmp_path
        (tmp_path / "switch.yaml").write_text(text)
        report = catalog.sync(tmp_path, [tmp_path / "switch.yaml"], timezone.now(), "ann")
        assert not report.errors
        return text_of(sign_in().get(address_of(Playbook.objects.get(active=True))))

    return shown


def test_it_says_what_the_playbook_takes_and_does(page):
    text = page(PLAYBOOK)
    assert "<td>flag</td><td>text like ^[a-z]+$</td><td>service.labels.flag</td>" in text
    assert "<td>pause</td><td>duration, 1s to 1m</td><td>a person</td><td>5s</td>" in text
    assert "incident.severity != &#x27;low&#x27;" in text
    assert "turn, at most 60 s, undone by itself" in text
    assert "pause, at most 60 s, not undone, left as it is if it fails" in text
    assert "&lt;b&gt;Sure?&lt;/b&gt;" in text


def test_it_says_that_every_test_holds(page):
    text = page(PLAYBOOK)
    assert "Its tests, all 2 hold" in text
    assert "&lt;i&gt;an alert&lt;/i&gt; of no weight" in text


def test_it_says_which_test_fails_and_why(page):
    text = page(PLAYBOOK.replace("{decision: approval}", "{decision: auto}"))
    assert "1 of 2 failed" in text
    assert "expected decision auto, got approval: " in text


def test_it_says_that_there_are_none(page):
    assert "It has none: nothing shows what it would do" in page(PLAYBOOK[: PLAYBOOK.index("tests:")])


def test_a_version_that_cannot_be_read_says_so(sign_in):
    assert "cannot be read" in text_of(sign_in().get(address_of(make_playbook())))
