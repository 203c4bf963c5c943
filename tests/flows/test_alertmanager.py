"""A real Alertmanager posts to a real installation: the dead service comes back, and what it says later resolves the rest."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.utils import timezone

from config.demo.installation import Installation, LittleService, wait_for
from config.demo.storage import database
from healing.models import Episode, Incident, LedgerOutbox, Run

from .alertmanager import ALERTMANAGER, ANSWERS, EACH, Alertmanager, group, receiver, sender
from .conftest import House

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ALERTMANAGER is None, reason="no Alertmanager here: install prometheus-alertmanager"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[LittleService]:
    service = LittleService("shop", tmp_path)
    service.start()
    yield service
    service.end()


@pytest.fixture
def installation(tmp_path: Path, shop: LittleService) -> Iterator[Installation]:
    with database(tmp_path, keep=False) as url:
        built = Installation([shop], tmp_path, url)
        try:
            built.start()
            yield built
        finally:
            built.stop()
            print(built.log.read_text())  # shown with a failure only


def test_a_service_that_alertmanager_says_is_down_comes_back(
    installation: Installation, shop: LittleService, tmp_path: Path
) -> None:
    installation.cli("user", "create", "am", "--role", "viewer")
    read = installation.token("am", "read")
    alertmanager = Alertmanager(tmp_path, installation.url, installation.token("am", "ingest"))
    try:
        starts = datetime.now(UTC) - timedelta(seconds=5)
        shop.signal(signal.SIGKILL)
        alertmanager.post("shop", starts)
        alertmanager.post("unknown", starts)

        def healed() -> dict | None:
            found = installation.call("GET", "/api/self_heal/incidents?service=shop", read)["results"]
            print(json.dumps(found))
            return found[0] if found and found[0]["status"] == "resolved" else None

        incident = wait_for(healed, "the incident is not resolved")
        assert requests.get(f"{shop.url}/healthz", timeout=2).status_code == 200
        assert incident["severity"] == "critical"
        unmatched = installation.call("GET", "/api/self_heal/alerts/unmatched", read)["results"]
        assert [row["labels"]["service"] for row in unmatched] == ["unknown"], json.dumps(unmatched)

        alertmanager.post("shop", starts, datetime.now(UTC))
        page = f"/api/self_heal/incidents/{incident['id']}"
        wait_for(lambda: installation.call("GET", page, read)["episodes"][0]["ends_at"], "the end of the alert does not arrive")
    finally:
        alertmanager.stop()


def test_what_is_silenced_there_is_not_healed_until_the_silence_is_over(
    house: House, work: Callable[..., Run], tmp_path: Path, settings: Any
) -> None:
    alertmanager = Alertmanager(tmp_path, "http://127.0.0.1:1", "none")
    settings.SELF_HEAL_ALERTMANAGER_URL = f"http://127.0.0.1:{alertmanager.port}"
    try:
        shop = house.service("shop")
        shop.signal(signal.SIGKILL)
        alertmanager.post("shop", datetime.now(UTC))
        silence = alertmanager.silence("shop")
        wait_for(lambda: alertmanager.states() == ["suppressed"], "the alert is not silenced")
        house.alert("InstanceDown", "shop", severity="page")
        house.look()
        why = Incident.objects.get().why
        assert (why["skip"], Run.objects.count()) == ("silenced", 0)
        assert silence in why["reason"]

        alertmanager.expire(silence)
        wait_for(lambda: alertmanager.states() == ["active"], "the silence does not end")
        house.look(timezone.now() + timedelta(minutes=1, seconds=5))
        silence = alertmanager.silence("shop")
        wait_for(lambda: alertmanager.states() == ["suppressed"], "the alert is not silenced again")
        run = work(Run.objects.get())
        assert (run.status, run.abort_reason, run.started_at) == ("aborted", "superseded", None)
        assert "silenced in Alertmanager" in run.reason

        alertmanager.expire(silence)
        wait_for(lambda: alertmanager.states() == ["active"], "the second silence does not end")
        house.look(timezone.now() + timedelta(minutes=30))
        assert work(Run.objects.latest("created_at")).outcome == "success"
    finally:
        alertmanager.stop()


MANY = 10_000


def rows() -> list[list[dict[str, Any]]]:
    """What intake writes, whole."""
    return [list(model.objects.order_by("pk").values()) for model in (Incident, Episode, LedgerOutbox)]


def test_ten_thousand_alerts_of_a_group_open_one_incident_a_place_and_posted_again_they_change_nothing(
    real_database: None, sent: list[str], tmp_path: Path
) -> None:
    with receiver() as ours:
        alertmanager = Alertmanager(tmp_path, ours.url, sender(), wait="1s", repeat="1s")
        try:
            alertmanager.post_all(group("web", MANY))
            wait_for(lambda: Episode.objects.count() == MANY, "not every alert is stored", ANSWERS)
            stored, before = rows(), len(ours.unchanged(MANY))
            wait_for(lambda: len(ours.unchanged(MANY)) > before, "the group is not posted again", ANSWERS)
        finally:
            alertmanager.stop()
    assert rows() == stored
    assert Incident.objects.count() == len({incident["target"] for incident in stored[0]}) == MANY // EACH
