"""The page of what was learnt."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from learning.models import Lesson
from tests.factories import make_user

from .conftest import history


@pytest.fixture
def viewer(db: None) -> Client:
    client = Client()
    client.force_login(make_user("vera", role="viewer"))
    return client


def text_of(client: Client, **query: str) -> str:
    return html.unescape(client.get(reverse("learning"), query).content.decode())


def test_it_says_what_helped_and_how_sure_that_is(viewer: Client, learnt: Callable[..., Any]) -> None:
    learnt(history(seed=10, runs=60))
    page = text_of(viewer, span="all")
    assert " runs helped" in page
    for word in ("restart", "scale", "flush", "service down", "By service", "The newest lessons", "<svg"):
        assert word in page
    assert Lesson.objects.first()
    only = text_of(viewer, span="all", playbook="scale")
    assert "Only playbook <strong>scale</strong>" in only


def test_while_nothing_has_run_it_says_what_to_do(viewer: Client) -> None:
    page = text_of(viewer)
    assert "Nothing has started in this time" in page
    assert reverse("what-if") in page


@pytest.mark.parametrize("odd", [{"span": "1y"}, {"service": "\0"}, {"playbook": "<script>"}])
def test_a_query_that_is_nonsense_hurts_nobody(viewer: Client, odd: dict[str, str]) -> None:
    page = viewer.get(reverse("learning"), odd)
    assert page.status_code == 200
    assert "<script>" not in page.content.decode().partition('id="sh-page"')[2].partition("</section>")[0]


def test_it_stands_in_the_sidebar_and_is_for_who_may_look_at_runs(viewer: Client, db: None) -> None:
    assert reverse("learning") in viewer.get("/admin/").content.decode()
    nobody = make_user("nobody", role="viewer")
    nobody.groups.clear()
    viewer.force_login(nobody)
    assert viewer.get(reverse("learning")).status_code == 403
