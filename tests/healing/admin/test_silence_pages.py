from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import silences
from healing.models import Silence, User
from tests.factories import make_incident, make_service

pytestmark = pytest.mark.django_db
NEW = "/admin/healing/silence/new/"
SAID = {"service": "web", "labels": "team=shop\n\n tier = a", "lasting": "120", "reason": "new disks"}


def test_an_operator_makes_a_silence_and_ends_it(sign_in: Any) -> None:
    make_service("web")
    client = sign_in("otto", role="operator")
    assert "Silence it" in client.get(NEW).content.decode()
    assert client.post(NEW, SAID).status_code == 302
    row = Silence.objects.get()
    assert (row.service.name if row.service else "", row.labels) == ("web", {"team": "shop", "tier": "a"})
    page = client.get(f"/admin/healing/silence/{row.pk}/change/").content.decode()
    assert "new disks" in page
    assert "End it now" in page
    assert "web and team=shop, tier=a" in client.get("/admin/healing/silence/").content.decode()
    client.post(f"/admin/healing/silence/{row.pk}/act/end/", {"comment": "done"})
    row.refresh_from_db()
    assert silences.status(row, timezone.now()) == "over"
    assert "End it now" not in client.get(f"/admin/healing/silence/{row.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": "team"}, "is no NAME=VALUE"),
        ({"reason": ""}, "Say why: a reason is required."),
        ({"service": "", "labels": ""}, "a silence over everything is the kill switch"),
    ],
)
def test_what_is_wrong_stands_at_its_field(sign_in: Any, fields: dict[str, str], said: str) -> None:
    make_service("web")
    assert said in sign_in("otto", role="operator").post(NEW, {**SAID, **fields}).content.decode()
    assert not Silence.objects.exists()


def test_who_may_only_look_makes_and_ends_nothing(sign_in: Any) -> None:
    client = sign_in("vera", role="viewer")
    incident = make_incident(at=timezone.now())
    otto = User.objects.create_user("otto", is_superuser=True)
    now = timezone.now()
    row = silences.create(otto, reason="x", ends_at=now + timedelta(hours=1), at=now, incident=incident.pk)
    page = client.get(f"/admin/healing/silence/{row.pk}/change/").content.decode()
    assert str(incident) in page
    assert "End it now" not in page
    assert client.get(NEW).status_code == 403
    assert client.post(f"/admin/healing/silence/{row.pk}/act/end/", {"comment": "x"}).status_code == 403
    assert client.get("/admin/healing/silence/").status_code == 200
