"""The first page: plots of a bounded past, the first steps of a new installation, its demo; and the health page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from healing import figures, health, heartbeats
from healing.admin import words
from healing.models import Counter, Incident, LedgerOutbox, Service, Token
from selfheal.states import LIVE_INCIDENT
from tests.factories import make_incident, make_request, make_run, make_service

from .conftest import text_of

pytestmark = pytest.mark.django_db
NOW = "/admin/"


@pytest.fixture
def past(db: Any) -> None:
    at = timezone.now()
    incident = make_incident(at=at, title="It is down", status="resolved", resolved_at=at)
    make_request(make_run(incident, status="succeeded"), status="approved", decided_at=at - timedelta(minutes=1))
    Counter.objects.create(service="", name="skipped_backoff", value=7, updated_at=at)


def test_the_plots_tell_what_happened_with_titles_and_tables(sign_in: Any, past: None) -> None:
    page = text_of(sign_in().get(NOW))
    for said in (
        "Incidents opened and healed",
        "Time to repair: p50 4 min",
        "Autonomy by playbook",
        "Skips by reason",
        "backoff",
    ):
        assert said in page
    assert page.count('<svg class="sh-plot"') == page.count("The numbers") == 5
    assert 'role="img" aria-labelledby="incidents-title incidents-desc"' in page
    assert "The last 7 days" in text_of(sign_in("otto", "operator").get(NOW, {"span": "7d"}))


def test_without_a_past_each_plot_says_so(sign_in: Any) -> None:
    make_service()
    page = text_of(sign_in().get(NOW))
    assert '<svg class="sh-plot"' not in page
    assert "No incident in this time." in page


def test_the_numbers_are_read_by_the_index_of_a_time_and_not_by_a_scan(past: None) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("a planner with few rows scans whatever index there is")
    with CaptureQueriesContext(
        connection,
    ) as asked:
        figures.plots(figures.Span.named("7d", timezone.now()), lambda permission: True, words.span)
    assert len(asked) == 6
    for query in asked.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " | ".join(row[3] for row in cursor.fetchall())
        assert "SCAN healing_incident" not in plan
        assert "SCAN healing_run" not in plan
        assert "SCAN healing_approvalrequest" not in plan


def test_a_viewer_sees_the_steps_and_an_admin_can_take_them(sign_in: Any) -> None:
    assert "Three steps to begin" in text_of(sign_in().get(NOW))
    assert "Declare it" not in text_of(sign_in().get(NOW))
    assert sign_in().post("/admin/begin/demo/").status_code == 403
    client = sign_in("root", "admin")
    assert client.get("/admin/begin/demo/").status_code == 405
    assert client.post("/admin/begin/nothing/").status_code == 404
    said = {"name": "web", "url": "http://web.internal", "hosts": "web-01, web-02"}
    page = text_of(client.post("/admin/begin/service/", said, follow=True))
    assert "Web is declared, in mode observe." in page
    assert [target.name for target in Service.objects.get(name="web").targets.all()] == ["web-01", "web-02"]
    assert "done</span> Declare a service" in page


def test_a_service_that_is_none_is_refused_in_words(sign_in: Any) -> None:
    page = text_of(sign_in("root", "admin").post("/admin/begin/service/", {"name": "no blanks"}, follow=True))
    assert "Name:" in page or "name" in page
    assert not Service.objects.exists()


def test_the_receiver_block_comes_with_a_token_that_may_only_bring_alerts(sign_in: Any) -> None:
    answer = sign_in("root", "admin").post("/admin/begin/token/")
    token = Token.objects.get()
    assert (token.scopes, token.expiry) == (["ingest"], None)
    assert "/api/self_heal/alerts/alertmanager" in text_of(answer)
    assert "no-store" in answer["Cache-Control"]


def test_the_demo_comes_and_goes_with_a_click_each(sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healing.intake.look", lambda: None)
    client = sign_in("root", "admin")
    page = text_of(client.post("/admin/begin/demo/", follow=True))
    incident = Incident.objects.get()
    assert (incident.service.name, incident.service.mode) == ("demo", "observe")
    assert "Take the demo away" in page
    page = text_of(client.post("/admin/begin/no-demo/", follow=True))
    assert "The demo is taken away." in page
    assert not Incident.objects.filter(status__in=LIVE_INCIDENT).exists()
    assert not Service.objects.filter(active=True).exists()
    assert "There is no demo." in text_of(client.post("/admin/begin/no-demo/", follow=True))
    assert "Take the demo away" in text_of(client.post("/admin/begin/demo/", follow=True))


def test_the_steps_are_gone_once_a_service_is_there_and_alerts_arrive(sign_in: Any) -> None:
    make_incident(make_service())
    assert "Three steps to begin" not in text_of(sign_in("root", "admin").get(NOW))


# ---- health


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_reach_broker", lambda: None)


def test_the_health_page_names_what_is_wrong_and_how_to_mend_it(sign_in: Any, reached: None) -> None:
    at = timezone.now()
    for role in ("beat", "sequencer", "worker:control"):
        heartbeats.beat(f"{role}-1", role, at)
    make_incident(next_look_at=at - timedelta(minutes=9))
    before = LedgerOutbox.objects.count()
    page = text_of(sign_in().get("/admin/health/"))
    assert "was never there" in page
    assert "selfheal worker runs (up starts it)" in page
    assert "the oldest is due since 9 min" in page
    assert LedgerOutbox.objects.count() == before


def test_the_health_page_leads_to_what_to_do_about_what_is_wrong(sign_in: Any, reached: None, settings: Any) -> None:
    page = sign_in().get("/admin/health/").content.decode()
    assert "<code>docs/how-to/when-it-is-down.md#processes</code>" in page
    settings.SELF_HEAL_DOCS_URL = "https://docs.example"
    page = sign_in().get("/admin/health/").content.decode()
    assert '<a href="https://docs.example/how-to/when-it-is-down/#processes">What to do</a>' in page


def test_one_part_that_cannot_be_looked_at_does_not_hide_the_others(
    sign_in: Any, reached: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise OSError("no such thing")

    monkeypatch.setattr("healing.admin.health.kill_state", fail)
    page = text_of(sign_in().get("/admin/health/"))
    assert "no such thing" in page
    assert "Settings in short" in page


def test_the_health_page_is_for_people_with_a_role(client: Any, sign_in: Any) -> None:
    assert client.get("/admin/health/").status_code == 302
    assert sign_in().post("/admin/health/").status_code == 405


def test_an_incident_is_muted_from_its_page(sign_in: Any) -> None:
    incident = make_incident()
    page = text_of(
        sign_in("otto", "operator").post(
            f"/admin/healing/incident/{incident.pk}/act/mute/", {"minutes": "60", "comment": "we move it"}, follow=True
        )
    )
    assert "Muted until" in page
    assert incident.silences.get().created_by.username == "otto"


# ---- open pages


@pytest.mark.parametrize("address", [NOW, "/admin/health/"])
def test_an_open_page_gets_what_has_changed_without_the_frame(sign_in: Any, reached: None, address: str) -> None:
    client = sign_in()
    assert 'data-live="10"' in text_of(client.get(address))
    first = client.get(address, headers={"X-Live": "1"})
    assert first["X-Live"].endswith(" UTC")
    assert "<html" not in text_of(first)
    assert 'id="sh-page"' in text_of(first)
    again = client.get(address, headers={"X-Live": "1", "If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    make_incident(title="It is new", next_look_at=timezone.now() - timedelta(minutes=9))
    assert client.get(address, headers={"X-Live": "1", "If-None-Match": first["ETag"]}).status_code == 200
