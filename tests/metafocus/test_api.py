"""What programs are told: the shapes of the contract, at this moment and by cycle."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from healing import access, breaker, guardrail
from metafocus import loop
from metafocus.models import Cycle
from metafocus.sources import running
from tests.factories import make_incident, make_request, make_run, make_service
from tests.healing.api.conftest import Api, problem, user
from tests.learning.conftest import store_rest

from .conftest import samples

FOCUS, CYCLES, SOURCES = "api/meta/focus", "api/meta/cycles", "api/meta/sources"


@pytest.fixture
def reader(db: None) -> Api:
    access.ensure_roles(timezone.now())
    return Api(user("reader", "viewer"), "read")


def get(reader: Api, path: str) -> Any:
    answer = reader.call("get", path)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_focus_of_an_empty_house_has_the_whole_shape(reader: Api) -> None:
    said = get(reader, FOCUS)
    assert {name: value for name, value in said.items() if name != "metadata"} == {
        "current_cycle": None,
        "health_distress": {
            "score": 0, "critical_count": 0, "degraded_count": 0, "healthy_count": 0, "unknown_count": 0, "open_incidents": 0,
        },
        "critical_services": [],
        "degraded_services": [],
        "open_incidents": [],
        "incidents": {"by_severity": {"low": 0, "medium": 0, "high": 0, "critical": 0}, "oldest_open_seconds": None},
        "self_heal": {"proposed_last_hour": 0, "failed_last_hour": 0, "pending_approvals": 0, "active_runs": 0},
        "recommendations": {
            "focus_area": "routine_maintenance",
            "guardrail_adjustment": "loosen",
            "reasoning": [
                "no service is declared",
                "0 critical, 0 degraded, 0 open incidents: distress 0 of 100, under 10, which recommends relaxed",
            ],
        },
    }  # fmt: skip
    assert said["metadata"].items() >= {"guardrail_state": "maintain", "total_cycles": 0, "guardrail_pinned_by": None}.items()


def test_the_focus_is_computed_at_the_request(reader: Api) -> None:
    at = timezone.now()
    db = make_service("db")
    web = make_service("web", depends_on=[db])
    make_incident(db, at, opened_at=at - timedelta(minutes=10))
    failed = make_run(make_incident(web, at, severity="low"), at=at, status="failed")
    make_request(make_run(failed.incident, at=at, target="web-9"), at)
    said = get(reader, FOCUS)
    assert said["health_distress"] == {
        "score": 80, "critical_count": 1, "degraded_count": 1, "healthy_count": 0, "unknown_count": 0, "open_incidents": 2,
    }  # fmt: skip
    assert (said["critical_services"], said["degraded_services"]) == (["db"], ["web"])
    assert said["open_incidents"][0].items() >= {"service": "web", "severity": "low", "status": "open"}.items()
    assert said["incidents"]["by_severity"]["critical"] == 1
    assert said["incidents"]["oldest_open_seconds"] >= 600
    assert said["self_heal"] == {"proposed_last_hour": 2, "failed_last_hour": 1, "pending_approvals": 1, "active_runs": 0}
    assert said["recommendations"]["focus_area"] == "dependency_health"
    assert said["recommendations"]["guardrail_adjustment"] == "tighten"


def test_the_guardrail_that_counts_is_told_with_who_pinned_it(reader: Api) -> None:
    root = user("root", "admin")
    guardrail.pin("tighten", "a release", root, timezone.now())
    assert get(reader, FOCUS)["metadata"].items() >= {
        "guardrail_state": "tighten", "guardrail_reason": "pinned by root: a release", "guardrail_pinned_by": "root",
    }.items()  # fmt: skip


def test_cycles_come_newest_first_and_as_many_as_asked(reader: Api) -> None:
    at = timezone.now() - timedelta(hours=1)
    made = [loop.cycle(at + minutes * timedelta(minutes=2)) for minutes in range(12)]
    ids = [str(each.pk) for each in reversed(made) if each]
    said = get(reader, CYCLES)
    assert [each["cycle_id"] for each in said["cycles"]] == ids[:10]
    assert (said["count"], said["current_cycle"]) == (10, ids[0])
    assert [each["cycle_id"] for each in get(reader, f"{CYCLES}?limit=3")["cycles"]] == ids[:3]
    assert set(said["cycles"][0]) >= {
        "cycle_id", "focus_area", "confidence", "guardrail_adjustment", "reasoning", "extra_probes", "playbook_priorities",
        "time_budget_seconds", "created_at",
    }  # fmt: skip
    assert isinstance(said["cycles"][0]["confidence"], float)


@pytest.mark.parametrize("limit", ["0", "501", "x", "-1", ""])
def test_a_limit_that_is_none_is_named(reader: Api, limit: str) -> None:
    assert "limit: is a number from 1 to 500" in problem(reader.call("get", f"{CYCLES}?limit={limit}"), 400)["detail"]


@pytest.mark.parametrize("sequenced", [False, True])
def test_the_page_of_a_cycle_has_its_entry_and_the_replay_agrees(reader: Api, sequenced: bool) -> None:
    made = loop.cycle(timezone.now())
    assert made
    if sequenced:
        store_rest()
    said = get(reader, f"{CYCLES}/{made.pk}")
    (entry,) = said["entries"]
    assert (entry["index"] is not None) is sequenced
    assert entry["payload"]["focus_area"] == said["focus_area"]
    assert said["replay"] == {"agrees": True, "faults": [], "differences": []}
    assert said["directives"]["time_budget_seconds"] == said["time_budget_seconds"]


def test_a_row_that_was_changed_behind_the_log_is_found_out(reader: Api) -> None:
    made = loop.cycle(timezone.now())
    assert made
    Cycle.objects.update(focus_area="error_spike")
    said = get(reader, f"{CYCLES}/{made.pk}")["replay"]
    assert said["agrees"] is False
    assert said["differences"] == [{"field": "focus_area", "log": "routine_maintenance", "table": "error_spike"}]


def test_a_cycle_that_is_none_is_not_found(reader: Api) -> None:
    problem(reader.call("get", f"{CYCLES}/{uuid.uuid4()}"), 404)


def test_it_answers_in_every_mode_and_only_who_may_read(reader: Api) -> None:
    with override_settings(SELF_HEAL_EXECUTE=False, SELF_HEAL_OBSERVE_ONLY=False):
        get(reader, FOCUS)
    problem(Api(user("mem", "viewer"), "memory").call("get", FOCUS), 403)


def test_the_focus_costs_the_same_statements_however_much_has_been(reader: Api) -> None:
    at = timezone.now()
    make_run(make_incident(make_service("db"), at), at=at, status="failed")
    loop.cycle(at)
    get(reader, FOCUS)
    with CaptureQueriesContext(connection) as few:
        get(reader, FOCUS)
    for number in range(20):
        make_run(make_incident(make_service(f"s{number}"), at, status="resolved"), at=at, status="failed")
        loop.cycle(at + timedelta(seconds=number))
    with CaptureQueriesContext(connection) as many:
        get(reader, FOCUS)
    assert len(many) == len(few)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for query in many.captured_queries:
                if 'FROM "healing_run"' in query["sql"]:
                    cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                    assert not [row[3] for row in cursor.fetchall() if row[3].startswith("SCAN healing_run")], query["sql"]


def test_the_sources_are_listed_with_terms_and_how_right_they_were(reader: Api) -> None:
    running.count("proactive_ml", timezone.now(), found=5, right=3, wrong=1, foreseen=1, missed=3)
    rows = {row["source"]: row for row in get(reader, SOURCES)["sources"]}
    assert list(rows) == ["meta_loop", "proactive_ml", "agentic_spine", "immutable_log"]
    assert rows["proactive_ml"].items() >= {
        "enabled": True, "shadow": True, "least_confidence": 0.7, "hourly_limit": 10, "opened_last_hour": 0, "found": 5,
        "precision": 0.75, "recall": 0.25,
    }.items()  # fmt: skip
    assert (rows["meta_loop"]["precision"], rows["meta_loop"]["recall"]) == (None, None)


def set_terms(api: Api, name: str, **body: Any) -> Any:
    return api.client.post(f"/{SOURCES}/{name}", json.dumps(body), content_type="application/json", headers=api.headers)


def test_an_admin_changes_the_terms_and_what_is_not_named_stays(reader: Api) -> None:
    admin = Api(user("adam", "admin"), "read", "admin")
    said = set_terms(admin, "immutable_log", hourly_limit=1, reason="too loud")
    assert said.status_code == 200
    assert said.json().items() >= {"hourly_limit": 1, "enabled": True, "least_confidence": 0.5}.items()


@pytest.mark.parametrize(
    ("name", "body", "status", "field"),
    [
        ("immutable_log", {"hourly_limit": 1}, 400, "reason"),
        ("immutable_log", {"least_confidence": 2, "reason": "x"}, 400, "least_confidence"),
        ("immutable_log", {"enabled": "perhaps", "reason": "x"}, 400, "enabled"),
        ("immutable_log", {"limit": 1, "reason": "x"}, 400, "limit"),
        ("alert", {"reason": "x"}, 404, None),
    ],
)
def test_terms_that_cannot_be_name_the_field(reader: Api, name: str, body: Any, status: int, field: str | None) -> None:
    admin = Api(user("adam", "admin"), "read", "admin")
    assert problem(set_terms(admin, name, **body), status).get("field") == field


def test_only_the_scope_admin_changes_terms(reader: Api) -> None:
    problem(set_terms(reader, "immutable_log", hourly_limit=1, reason="x"), 403)


def test_what_takes_an_hour_of_samples_is_told_as_the_last_cycle_saw_it(reader: Api) -> None:
    now = timezone.now()
    samples(make_service("shop"), "latency_ms", [100.0] * 30 + [300.0] * 5, now)
    assert get(reader, FOCUS)["recommendations"]["focus_area"] == "routine_maintenance"
    loop.cycle(now)
    assert get(reader, FOCUS)["recommendations"]["focus_area"] == "latency_drift"


def pin(api: Api, **body: Any) -> Any:
    address = "/api/meta/guardrail"
    return api.client.post(address, json.dumps(body), content_type="application/json", headers=api.headers)


def test_an_admin_pins_and_unpins_the_guardrail(reader: Api) -> None:
    admin = Api(user("adam", "admin"), "read", "admin")
    said = pin(admin, level="loosen", reason="a night of tests").json()
    assert said.items() >= {
        "level": "loosen", "shown": "relaxed", "said": "maintain", "ceiling": "maintain", "pinned_by": "adam",
    }.items()  # fmt: skip
    assert pin(admin, level=None, reason="over").json().items() >= {"level": "maintain", "pinned_by": None}.items()
    assert get(reader, "api/meta/guardrail")["reason"] == "no meta loop has said another"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"level": "lax", "reason": "x"}, 400, "level"),
        ({"reason": "x"}, 400, "level"),
        ({"level": "tighten"}, 400, "reason"),
        ({"level": "tighten", "reason": "x", "days": 1}, 400, "days"),
        ({"level": None, "reason": "x"}, 409, None),
    ],
)
def test_a_pin_that_cannot_be_names_the_field(reader: Api, body: Any, status: int, field: str | None) -> None:
    admin = Api(user("adam", "admin"), "read", "admin")
    assert problem(pin(admin, **body), status).get("field") == field


def test_only_the_scope_admin_pins(reader: Api) -> None:
    problem(pin(reader, level="tighten", reason="x"), 403)


# -- the advisers


def test_the_advisers_are_told_with_their_state_and_its_reason(reader: Api) -> None:
    for _ in range(3):
        breaker.failed("forecast", "it took longer than 10 s", timezone.now())
    (said,) = get(reader, "api/meta/advisers")["advisers"]
    assert said.pop("off_until") > timezone.now().isoformat()
    assert said == {
        "adviser": "forecast", "asked": True, "state": "off", "failures": 3, "reason": "it took longer than 10 s",
        "questions": 0, "waiting": 0, "answered_at": None,
    }  # fmt: skip
