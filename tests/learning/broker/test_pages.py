"""The pages of memory, and what an incident's page says was seen before."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from healing.admin.base import address_of
from learning.broker import storing
from learning.broker.models import Asked, Domain, Memory
from tests.factories import make_incident, make_service, make_user
from tests.learning.conftest import history

from .conftest import Asking, logged

HOST = "/admin/memory/web/"


def signed_in(name: str, role: str) -> Client:
    client = Client()
    client.force_login(make_user(name, role=role))
    return client


def text(response: Any) -> str:
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def test_an_empty_memory_says_what_fills_it() -> None:
    page = text(signed_in("vera", "viewer").get(reverse("memory")))
    assert "Nothing is remembered yet" in page
    assert "POST /api/memory/store" in page
    assert "Nobody has wanted what they may not have" in page


def test_numbers_and_violations_are_for_everybody_and_texts_are_not(web: Asking) -> None:
    web.store("the runbook of the disk")
    web.post("query", domain="host")
    client = signed_in("vera", "viewer")
    page = text(client.get(reverse("memory")))
    assert "1 memory of 2 domains" in page
    assert "wanda asked" in page
    page = text(client.post(HOST, {"look": "", "query": "disk"}))
    assert "You have no token for the domain web" in page
    assert "the runbook of the disk" not in page


def test_an_administrator_looks_and_that_is_logged(web: Asking) -> None:
    web.store("the runbook of the disk")
    page = text(signed_in("adam", "admin").post(HOST, {"look": "", "query": "disk"}))
    assert "the runbook of the disk" in page
    assert [leaf["actor"] for leaf in logged("memory.query")] == ["adam"]


def test_who_has_a_token_of_the_domain_looks_into_it(web: Asking) -> None:
    web.store("the runbook of the disk")
    client = Client()
    client.force_login(web.user)
    assert "the runbook of the disk" in text(client.post(HOST, {"look": ""}))


def test_opening_a_page_asks_nothing(web: Asking) -> None:
    signed_in("adam", "admin").get(HOST)
    assert not Asked.objects.exists()


def test_weights_and_quota_are_set_by_administrators_and_logged() -> None:
    said = {"set": "", "recency": 1, "frequency": 0, "tags": 0, "context": 0, "quota": 5, "reason": "newest first"}
    assert signed_in("olga", "operator").post(HOST, said).status_code == 403
    assert signed_in("adam", "admin").post(HOST, said).status_code == 302
    assert Domain.objects.get().quota == 5
    assert logged("memory.domain_set")[0]["payload"]["reason"] == "newest first"


def test_weights_that_are_not_one_together_are_refused() -> None:
    said = {"set": "", "recency": 1, "frequency": 1, "tags": 0, "context": 0, "quota": 5, "reason": "x"}
    assert "1 together" in text(signed_in("adam", "admin").post(HOST, said))
    assert not Domain.objects.exists()


def test_an_incident_shows_what_was_seen_before(learnt: Callable[..., Any]) -> None:
    learnt(history(seed=14, runs=40))
    for memory in Memory.objects.all():
        Memory.objects.filter(pk=memory.pk).update(at=timezone.now(), expires_at=None)
    page = text(signed_in("vera", "viewer").get(address_of(make_incident(make_service("web")))))
    assert "Seen before" in page
    assert "against this here" in page
    assert "web-01, service down" in page


def test_an_incident_like_none_before_says_so() -> None:
    page = text(signed_in("vera", "viewer").get(address_of(make_incident(make_service("web")))))
    assert "Nothing like it is remembered" in page


def test_what_is_sensitive_is_not_shown_on_an_incident(learnt: Callable[..., Any]) -> None:
    learnt(history(seed=14, runs=10))
    Memory.objects.update(at=timezone.now(), expires_at=None, sensitive=True)
    incident = make_incident(make_service("web"))
    from learning.broker.before import seen_before

    assert seen_before(incident, timezone.now()).earlier == []


@override_settings(SEEN_BEFORE="")
def test_without_learning_an_incident_has_its_page() -> None:
    assert "Seen before" not in text(signed_in("vera", "viewer").get(address_of(make_incident(make_service("web")))))


def test_what_has_expired_is_pruned_with_old_questions(web: Asking) -> None:
    web.query()
    assert storing.prune(timezone.now()) == 0
    assert Asked.objects.count() == 1
    storing.prune(timezone.now() + storing.REMEMBERED)
    assert not Asked.objects.exists()
