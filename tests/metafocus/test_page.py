"""The page of the meta loop, and that of a cycle."""

from __future__ import annotations

import html
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from healing import breaker, found, guardrail
from healing.models import Control
from metafocus import loop
from metafocus.models import Cycle
from metafocus.sources import running
from selfheal.sources import DEFAULTS, Terms
from selfheal.states import Level, Trigger
from tests.factories import make_incident, make_service, make_user

pytestmark = pytest.mark.django_db


def signed_in(name: str, role: str) -> Client:
    client = Client()
    client.force_login(make_user(name, role=role))
    return client


def text_of(client: Client, address: str | None = None) -> str:
    return html.unescape(client.get(address or reverse("meta")).content.decode())


@pytest.fixture
def busy() -> Cycle:
    at = timezone.now()
    db = make_service("db")
    make_service("web", depends_on=[db])
    make_incident(db, at)
    made = loop.cycle(at)
    assert made
    return made


def test_an_empty_house_says_what_to_do() -> None:
    page = text_of(signed_in("vera", "viewer"))
    for words in ("Routine maintenance, distress 0 of 100", "No service is declared yet", "There was no cycle yet."):
        assert words in page


def test_it_says_which_adviser_is_switched_off_and_why() -> None:
    for _ in range(3):
        breaker.failed("forecast", "it took longer than 10 s", timezone.now())
    page = text_of(signed_in("vera", "viewer"))
    assert "off until" in page
    assert "it took longer than 10 s" in page


def test_it_shows_focus_guardrail_picture_and_cycles_with_reasons(busy: Cycle) -> None:
    page = text_of(signed_in("vera", "viewer"))
    for words in (
        "Dependency health, distress 50 of 100",
        "Guardrail normal",
        "db is critical, 0 of the 1 that depend on it are unwell too",
        "db: critical; its blast radius is 1: web",
        "Distress over time",
        reverse("meta-cycle", args=[busy.pk]),
        "service down, elevated errors",
    ):
        assert words in page


def test_a_cycle_opens_into_its_replay(busy: Cycle) -> None:
    client = signed_in("vera", "viewer")
    page = text_of(client, reverse("meta-cycle", args=[busy.pk]))
    assert "agrees with the tables" in page
    Cycle.objects.update(focus_area="error_spike")
    page = text_of(client, reverse("meta-cycle", args=[busy.pk]))
    assert "differs" in page
    assert 'focus_area is "dependency_health" in the log and "error_spike" in the tables' in page


def test_a_cycle_that_is_none_is_not_found() -> None:
    assert signed_in("vera", "viewer").get(reverse("meta-cycle", args=[uuid.uuid4()])).status_code == 404


def post(client: Client, name: str, **fields: Any) -> str:
    return html.unescape(client.post(reverse("meta-act", args=[name]), fields, follow=True).content.decode())


def test_an_administrator_pins_and_unpins_the_guardrail() -> None:
    root = signed_in("root", "admin")
    page = post(root, "pin", level="tighten", comment="a release")
    assert "The guardrail is pinned to strict" in page
    assert "pinned by root: a release" in page
    assert guardrail.standing(timezone.now()).level is Level.TIGHTEN
    assert "The pin is taken away: the guardrail is normal." in post(root, "unpin", comment="done")
    assert not Control.objects.get().pinned_level


@pytest.mark.parametrize("fields", [{"level": "tighten"}, {"level": "lax", "comment": "x"}])
def test_a_pin_that_cannot_be_is_said_on_the_page(fields: dict[str, str]) -> None:
    page = post(signed_in("root", "admin"), "pin", **fields)
    assert "Say why" in page or "Select a valid choice" in page
    assert not guardrail.standing(timezone.now()).pinned


@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_only_an_administrator_may_pin(role: str) -> None:
    client = signed_in("otto", role)
    assert "Pin the guardrail" not in text_of(client)
    assert client.post(reverse("meta-act", args=["pin"]), {"level": "loosen", "comment": "x"}).status_code == 403


@pytest.mark.parametrize(("name", "method", "status"), [("nothing", "post", 404), ("pin", "get", 405)])
def test_an_act_is_one_that_there_is_by_post(name: str, method: str, status: int) -> None:
    assert getattr(signed_in("root", "admin"), method)(reverse("meta-act", args=[name])).status_code == status


def test_it_stands_in_the_sidebar_and_is_for_who_may_look_at_runs() -> None:
    assert reverse("meta") in signed_in("vera", "viewer").get("/admin/").content.decode()
    nobody = make_user("nobody")
    nobody.groups.clear()
    client = Client()
    client.force_login(nobody)
    assert client.get(reverse("meta")).status_code == 403


def test_an_open_page_hears_of_a_new_cycle_and_of_nothing_else(busy: Cycle) -> None:
    client = signed_in("vera", "viewer")
    first = client.get(reverse("meta"), headers={"X-Live": "1"})
    assert client.get(reverse("meta"), headers={"X-Live": "1", "If-None-Match": first["ETag"]}).status_code == 304
    loop.cycle(timezone.now())
    assert client.get(reverse("meta"), headers={"X-Live": "1", "If-None-Match": first["ETag"]}).status_code == 200


def test_the_sources_stand_there_with_how_right_they_were() -> None:
    running.count("immutable_log", timezone.now(), found=4, opened=3, right=1, wrong=1)
    page = text_of(signed_in("vera", "viewer"))
    for words in ("meta loop", "forecast", "service graph", "log pattern", "in shadow: opens nothing", "50%"):
        assert words in page
    assert "Terms of log pattern" not in page


def test_an_administrator_changes_the_terms_of_a_source() -> None:
    root = signed_in("root", "admin")
    assert "Terms of log pattern" in text_of(root)
    page = post(root, "immutable-log", least_confidence="0.8", hourly_limit="2", comment="too loud")
    assert "The terms of the source log pattern are changed." in page
    assert found.terms(Trigger.IMMUTABLE_LOG) == Terms(False, 0.8, 2)
    assert "off" in page


@pytest.mark.parametrize("fields", [{"least_confidence": "2"}, {"hourly_limit": "x"}, {"comment": ""}])
def test_terms_that_cannot_be_are_said_and_change_nothing(fields: dict[str, str]) -> None:
    post(
        signed_in("root", "admin"), "immutable-log", **{"least_confidence": "0.8", "hourly_limit": "2", "comment": "x", **fields}
    )
    assert found.terms(Trigger.IMMUTABLE_LOG) == DEFAULTS[Trigger.IMMUTABLE_LOG]
