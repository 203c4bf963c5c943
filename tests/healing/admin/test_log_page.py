"""The page of the log: its state, its head, who has signed for it, and the search."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import tasks
from healing.ledger import guards, patrol
from healing.models import LedgerCosignature, LedgerEntry, LedgerHead, LedgerPatrol
from tests.healing.ledger.conftest import grow, key_file, signer, write  # noqa: F401

from .conftest import text_of

pytestmark = pytest.mark.django_db
PAGE = "/admin/log/"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    found: list[bool] = []
    monkeypatch.setattr(tasks.patrol_log, "delay", lambda: found.append(True))
    return found


def test_an_empty_log_says_what_comes_next(sign_in: Any) -> None:
    said = text_of(sign_in().get(PAGE))
    assert "The log was not looked at whole yet" in said
    assert "No head is signed yet" in said
    assert "Nobody else has a head of this log" in said


def test_a_log_that_was_looked_at_says_so_and_shows_its_head(sign_in: Any, grow: Any) -> None:  # noqa: F811
    grow(30)
    patrol.look(timezone.now())
    said = text_of(sign_in().get(PAGE))
    assert "All 30 entries are as they were signed" in said
    assert LedgerHead.objects.first().note.split("\n")[2] in said


def test_damage_is_named_with_the_way_to_the_entry(sign_in: Any, grow: Any) -> None:  # noqa: F811
    grow(30)
    guards.remove()
    LedgerEntry.objects.filter(index=7).update(actor="mallory")
    guards.install()
    patrol.look(timezone.now())
    said = text_of(sign_in().get(PAGE))
    assert "The log is damaged" in said
    assert "entry 7 has columns that its leaf contradicts: actor" in said
    assert "/admin/healing/ledgerentry/7/change/" in said


def test_who_has_signed_for_the_head_is_shown(sign_in: Any, grow: Any) -> None:  # noqa: F811
    grow(3)
    at = timezone.now()
    LedgerCosignature.objects.create(head=LedgerHead.objects.first(), witness="w.example/1", key_id="0" * 8, at=at, line="")
    assert "Witnessed by <strong>w.example/1</strong>" in text_of(sign_in().get(PAGE))


def test_a_place_that_refuses_is_shown(sign_in: Any, settings: Any, tmp_path: Path) -> None:
    from healing.ledger import pushing
    from healing.models import LedgerPlace

    settings.SELF_HEAL_LOG_PUSH = [f"file://{tmp_path}"]
    ((place, _),) = pushing.rows(timezone.now())
    LedgerPlace.objects.filter(pk=place.name).update(error="written anew", refused=True)
    said = text_of(sign_in().get(PAGE))
    assert "refused</span> written anew" in said


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("actor=tester&resource=thing:3", ["thing:3"]),
        ("action=log.key", ["key:"]),
        ("subsystem=healing&resource=thing:4", ["thing:4"]),
        ("actor=nobody", []),
        ("resource=thing:1&until=2026-11-25T12:00", []),
        ("resource=thing:1&since=2026-11-25T12:00&until=2026-11-25T12:01", ["thing:1"]),
    ],
)
def test_a_search_finds_exactly_that(sign_in: Any, grow: Any, query: str, found: list[str]) -> None:  # noqa: F811
    grow(10)
    said = text_of(sign_in().get(f"{PAGE}?{query}"))
    assert said.count("Prove entry") == len(found)
    assert all(f"<code>{name}" in said for name in found)
    assert ("No entry is like that" in said) == (not found)


def test_what_was_found_is_read_page_after_page(sign_in: Any, grow: Any) -> None:  # noqa: F811
    grow(60)
    client, address, seen = sign_in(), f"{PAGE}?actor=tester", []
    while address:
        response = client.get(address)
        seen += [entry.index for entry in response.context["found"]]
        address = f"{PAGE}{older}" if (older := response.context["older"]) else ""
    assert seen == list(range(59, 0, -1))


@pytest.mark.parametrize("query", ["since=yesterday", "actor=" + "a" * 151, "actor=a%00b"])
def test_what_cannot_be_looked_for_is_said_at_its_field(sign_in: Any, grow: Any, query: str) -> None:  # noqa: F811
    grow(3)
    response = sign_in().get(f"{PAGE}?{query}")
    assert (response.status_code, list(response.context["search"].errors)) == (200, [query.split("=", maxsplit=1)[0]])


def test_a_mark_that_is_none_of_ours_is_passed_over(sign_in: Any, grow: Any) -> None:  # noqa: F811
    grow(3)
    for mark in ("x", "1", "1.", "٣.1", "9" * 30 + ".1", "1.999999999999999999"):
        assert sign_in().get(f"{PAGE}?actor=tester&before={mark}").status_code == 200


def test_the_button_begins_a_pass_and_the_page_shows_how_far_it_is(sign_in: Any, grow: Any, sent: list[bool]) -> None:  # noqa: F811
    grow(3)
    client = sign_in("ann")
    said = text_of(client.post(PAGE, follow=True))
    assert (sent, LedgerPatrol.objects.get().asked_by) == ([True], "ann")
    assert "This page shows how far that is" in said
    assert "<progress" in said
    patrol.look(timezone.now() + timedelta(seconds=1))
    assert "<progress" not in text_of(client.get(PAGE))


def test_nobody_without_a_role_sees_it_or_begins_a_pass(sign_in: Any, sent: list[bool]) -> None:
    client = sign_in("nobody", "viewer")
    client.user.groups.clear()
    assert (client.get(PAGE).status_code, client.post(PAGE).status_code, sent) == (403, 403, [])


def test_only_get_and_post(sign_in: Any) -> None:
    assert sign_in().put(PAGE).status_code == 405
