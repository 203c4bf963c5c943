"""What people do with an incident: who works on it, and the lines of its story."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from healing import incidents
from healing.models import LedgerOutbox, User
from selfheal.errors import Conflict, Invalid
from tests.factories import make_incident, make_user

pytestmark = pytest.mark.django_db


def last_leaf() -> Any:
    return json.loads(bytes(LedgerOutbox.objects.latest("id").leaf))


def test_an_incident_is_given_from_one_person_to_another_with_before_and_after_in_the_log() -> None:
    incident, at = make_incident(), timezone.now()
    make_user("otto", role="operator")
    make_user("olga", role="operator")
    incidents.assign(incident.pk, "otto", "ann", "", at)
    incidents.assign(incident.pk, "olga", "otto", "my shift is over", at)
    incident.refresh_from_db()
    assert incident.assignee == User.objects.get(username="olga")
    leaf = last_leaf()
    assert (leaf["action"], leaf["actor"]) == ("incident.assigned", "otto")
    assert (leaf["payload"]["from"], leaf["payload"]["to"], leaf["payload"]["reason"]) == ("otto", "olga", "my shift is over")


def test_it_can_be_given_to_nobody_and_the_same_again_writes_nothing() -> None:
    incident, at = make_incident(assignee=make_user("otto", role="operator")), timezone.now()
    incidents.assign(incident.pk, None, "ann", "", at)
    before = LedgerOutbox.objects.count()
    incidents.assign(incident.pk, "", "ann", "", at)
    incident.refresh_from_db()
    assert incident.assignee is None
    assert LedgerOutbox.objects.count() == before


@pytest.mark.parametrize(("name", "says"), [("vera", "the role operator"), ("nobody", "no active user"), ("gone", "no active")])
def test_only_who_may_work_on_it_can_be_given_it(name: str, says: str) -> None:
    make_user("vera", role="viewer")
    make_user("gone", role="operator", is_active=False)
    with pytest.raises(Invalid, match=says):
        incidents.assign(make_incident().pk, name, "ann", "", timezone.now())
    assert list(incidents.workers()) == []


def test_nobody_works_on_a_closed_incident() -> None:
    make_user("otto", role="operator")
    with pytest.raises(Conflict, match="closed"):
        incidents.assign(make_incident(status="closed").pk, "otto", "ann", "", timezone.now())
