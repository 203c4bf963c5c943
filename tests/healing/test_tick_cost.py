"""A look costs what is due, not what is open: as many statements, each by an index. `make bench` has the seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from healing import scheduler
from healing.models import Incident, Service
from tests.bench.ticks import repeat
from tests.factories import make_service

pytestmark = pytest.mark.django_db
DUE = 5


def opened(services: list[Service], count: int, at: datetime, due_at: datetime, name: str) -> None:
    Incident.objects.bulk_create(
        Incident(
            service=services[n % len(services)],
            target=f"{name}-{n}",
            diagnosis="service_down",
            confidence=0.9,
            title="down",
            opened_at=at - timedelta(hours=1),
            next_look_at=due_at,
        )
        for n in range(count)
    )


def statements(at: datetime) -> list[str]:
    Incident.objects.filter(target__startswith="due").update(next_look_at=at, why={})
    with CaptureQueriesContext(connection) as found:
        assert scheduler.look(at) == DUE
    return [query["sql"] for query in found.captured_queries]


def test_a_look_has_as_many_statements_however_much_is_open_and_none_scans_it(at: datetime) -> None:
    services = [make_service(f"web-{n}", depends_on=()) for n in range(4)]
    opened(services, DUE, at, at, "due")
    opened(services, 100, at, at + timedelta(hours=1), "few")
    statements(at)
    few = statements(at)
    opened(services, 2_000, at, at + timedelta(hours=1), "many")
    many = statements(at)
    assert len(many) == len(few)
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        for statement in many:
            if statement.startswith(("SELECT", "WITH", "UPDATE")):
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
                plan = [row[3] for row in cursor.fetchall()]
                scans = [line for line in plan if line.startswith(("SCAN healing_incident", "SCAN e", "SCAN U0"))]
                assert not scans, (statement, plan)
                assert "(status=?)" not in " ".join(plan), (statement, plan)  # that is all that is open


def test_what_is_due_and_the_storm_are_found_by_their_indexes(at: datetime) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads the plans of SQLite")
    services = [make_service(f"web-{n}") for n in range(3)]
    opened(services, DUE, at, at, "due")
    plans = ""
    with connection.cursor() as cursor:
        for statement in statements(at):
            if "due AS MATERIALIZED" in statement or "unhealthy" in statement:
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
                plans += " ".join(row[3] for row in cursor.fetchall())
    assert "incident_due (next_look_at<?)" in plans
    assert "incident_of_service (service_id=? AND status=? AND opened_at>?)" in plans


def test_postgresql_finds_what_is_due_by_its_index_before_it_has_statistics(at: datetime) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("reads the plan of PostgreSQL")
    services = [make_service(f"web-{n}") for n in range(3)]
    opened(services, DUE, at, at, "due")
    opened(services, 1, at, at + timedelta(hours=1), "many")
    repeat("many-0", 20_000)  # a small table may well be read whole
    (statement,) = [each for each in statements(at) if "due AS MATERIALIZED" in each]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        plan = " ".join(row[0] for row in cursor.fetchall())
    assert "Index Scan using incident_due" in plan, plan
    assert "Seq Scan" not in plan, plan
