"""The domains as they stand, and where people and programs see them."""

from __future__ import annotations

import html
import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.cli import run
from healing import health, heartbeats
from healing.domains import Domain, domains
from healing.models import Sensed, Service, Signal
from selfheal.states import Health
from tests.factories import make_playbook, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def all_there(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(health, "broker", lambda: "")
    settings.SELF_HEAL_SENSE = ["http"]
    for role in ("web", *heartbeats.ROLES):
        heartbeats.beat(role, role, timezone.now())


def domain(name: str) -> Domain:
    return next(each for each in domains(timezone.now()) if each.name == name)


def looked(service: Service, target: str = "", why: str = "", seconds: float = 1) -> None:
    Sensed.objects.create(service=service, target=target or service.name, why=why, at=timezone.now() - timedelta(seconds=seconds))


def measured(service: Service, metric: str, state: Health, value: float = 0, target: str = "") -> None:
    now = timezone.now()
    Signal.objects.create(
        service=service, target=target or service.name, metric=metric, state=state, value=value, since=now, seen_at=now
    )


def standing(name: str = "web") -> tuple[Health, str]:
    node = next(node for node in domain("http").nodes if node.name == name)
    return node.health, node.why


def test_every_domain_tells_what_it_measures_and_what_heals() -> None:
    make_playbook("restart-process")
    found = domain("http")
    assert [metric.name for metric in found.telemetry][:2] == ["up", "latency_ms"]
    assert [(each.name, each.active) for each in found.playbooks] == [("restart-process", True), ("watch-recovery", False)]
    assert [each.name for each in domains(timezone.now())] == ["host", "http", "platform"]


def test_a_service_that_was_seen_is_as_its_signals_are() -> None:
    web = make_service("web", domain="http")
    looked(web)
    measured(web, "up", Health.HEALTHY, 1)
    assert standing() == (Health.HEALTHY, "all that is measured is well")
    measured(web, "latency_ms", Health.DEGRADED, 1200)
    assert standing() == (Health.DEGRADED, "latency_ms is 1200")


def test_why_it_is_down_stands_beside_it() -> None:
    web = make_service("web", domain="http")
    looked(web, why="it refuses")
    measured(web, "up", Health.CRITICAL)
    assert standing() == (Health.CRITICAL, "up is 0: it refuses")


def test_a_service_of_several_targets_is_as_the_worst_and_names_it() -> None:
    web = make_service("web", hosts=2, domain="http")
    for target, state in (("web-01", Health.HEALTHY), ("web-02", Health.CRITICAL)):
        looked(web, target)
        measured(web, "up", state, int(state is Health.HEALTHY), target)
    assert standing() == (Health.CRITICAL, "web-02: up is 0")


@pytest.mark.parametrize(("seconds", "says"), [(None, "nobody has looked at it"), (600, "nobody has looked at it lately")])
def test_what_nobody_looked_at_is_unknown_whatever_was_measured_before(seconds: float | None, says: str) -> None:
    web = make_service("web", domain="http")
    measured(web, "up", Health.HEALTHY, 1)
    if seconds:
        looked(web, seconds=seconds)
    assert standing() == (Health.UNKNOWN, says)


def test_what_could_not_be_seen_is_unknown_and_says_why() -> None:
    web = make_service("web", domain="http")
    looked(web, why="it has no address")
    measured(web, "up", Health.HEALTHY, 1)
    assert standing() == (Health.UNKNOWN, "it has no address")


def test_what_a_service_needs_stands_beside_it() -> None:
    make_service("web", domain="http", depends_on=[make_service("db")])
    (node,) = domain("http").nodes
    assert node.depends_on == ("db",)


def test_a_domain_that_is_not_sensed_shows_no_service_and_selfheal_shows_itself_all_the_same() -> None:
    make_service("db", domain="host")
    assert (domain("host").nodes, domain("host").sensed) == ((), False)
    assert domain("platform").health is Health.HEALTHY


def test_it_costs_the_same_statements_for_one_service_and_for_thirty(django_assert_num_queries: Any) -> None:
    def cost() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as caught:
            domains(timezone.now())
        return len(caught)

    make_service("web", hosts=1, domain="http")
    one = cost()
    for n in range(30):
        make_service(f"web-{n}", hosts=3, domain="http")
    assert cost() == one


# ---- where it is seen


def signed_in(name: str = "vera", role: str = "viewer") -> Client:
    client = Client()
    client.force_login(make_user(name, role=role))
    return client


def page(client: Client) -> str:
    return html.unescape(client.get(reverse("domains")).content.decode())


def test_the_page_says_what_to_look_at_first_with_the_section_that_says_what_to_do(settings: Any) -> None:
    settings.SELF_HEAL_DOCS_URL = "https://docs.example"
    heartbeats.forget("sequencer")
    said = page(signed_in())
    assert "Look first at sequencer" in said
    assert "https://docs.example/how-to/when-it-is-down/#processes" in said


def test_the_page_says_that_all_is_well_and_how_to_begin() -> None:
    said = page(signed_in())
    assert "No part is ill that is known" in said
    assert "No service is of this domain yet. Declare one with <code>domain: http</code>" in said
    assert "add <code>host</code> to <code>SELF_HEAL_SENSE</code>" in said


def test_the_page_shows_what_could_not_be_seen_and_escapes_it() -> None:
    looked(make_service("web", domain="http"), why="it answers <script>")
    said = signed_in().get(reverse("domains")).content.decode()
    assert "What was said of 1 place" in said
    assert "it answers &lt;script&gt;" in said
    assert "<script>" not in said.partition('id="said-http"')[2].partition("</details>")[0]


def test_the_page_is_for_whoever_may_look_at_runs_and_changes_nothing(client: Client, django_user_model: Any) -> None:
    assert signed_in().post(reverse("domains")).status_code == 405
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))
    assert client.get(reverse("domains")).status_code == 403
    assert reverse("domains") in signed_in("vera2").get("/admin/").content.decode()


def test_a_page_that_is_open_is_told_only_when_something_changed() -> None:
    client = signed_in()
    first = client.get(reverse("domains"), headers={"X-Live": "1"})
    assert client.get(reverse("domains"), headers={"X-Live": "1", "If-None-Match": first["ETag"]}).status_code == 304
    heartbeats.forget("beat")
    assert client.get(reverse("domains"), headers={"X-Live": "1", "If-None-Match": first["ETag"]}).status_code == 200


def test_programs_get_each_domain_with_schema_parts_and_healers(capsys: pytest.CaptureFixture[str]) -> None:
    heartbeats.forget("beat")
    looked(make_service("web", domain="http"), why="it has no address")
    assert run(["domains", "--json"]) == 0
    host, http, platform = json.loads(capsys.readouterr().out)
    assert host["telemetry"][0] == {
        "name": "up",
        "unit": "",
        "meaning": "1: its process lives, as whoever keeps it sees it; 0: it does not",
        "degraded": None,
        "critical": 0.0,
        "worse": "below",
        "diagnosis": "service_down",
    }
    assert {metric["worse"] for metric in host["telemetry"] if metric["diagnosis"] is None} == {None}
    assert http["nodes"] == [{"name": "web", "health": "unknown", "why": "it has no address", "depends_on": [], "page": ""}]
    assert http["places"][0]["why"] == "it has no address"
    assert platform["first"] == ["beat"]
    beat = next(node for node in platform["nodes"] if node["name"] == "beat")
    assert (beat["health"], beat["depends_on"]) == ("critical", ["database", "broker"])
    assert beat["page"] == "docs/how-to/when-it-is-down.md#processes"


def test_people_get_a_table_of_one_domain_and_what_to_look_at_first(capsys: pytest.CaptureFixture[str]) -> None:
    heartbeats.forget("beat")
    assert run(["domains", "platform"]) == 0
    said = capsys.readouterr().out
    assert "platform: critical; look first at beat; its services are not sensed: add platform to SELF_HEAL_SENSE" in said
    assert "worker runs" in said
    assert "http" not in said.replace("https", "")


def test_a_domain_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["domains", "mail"]) == 1
    assert "there is no domain 'mail'; there are host, http, platform" in capsys.readouterr().err
