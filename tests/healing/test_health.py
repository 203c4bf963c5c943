import pytest
from django.db import DatabaseError
from django.utils import timezone
from kombu.exceptions import OperationalError

from healing import health, heartbeats, sandbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def all_there(monkeypatch):
    monkeypatch.setattr(health, "_reach_broker", lambda: None)
    for role in heartbeats.ROLES:
        heartbeats.beat(role, role, timezone.now())


def test_healthz_answers_without_a_token(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_has_a_line_for_each_part(client, all_there):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["parts"] == dict.fromkeys(
        ("database", "broker", "worker control", "worker runs", "beat", "sequencer"), "ok"
    )


@pytest.mark.parametrize("word", ["bubblewrap", "not used: bubblewrap is not installed"])
def test_readyz_says_whether_commands_run_in_a_sandbox(client, all_there, monkeypatch, word):
    monkeypatch.setattr(sandbox, "found", lambda: ("", word))
    assert client.get("/readyz").json()["sandbox"] == word


@pytest.mark.parametrize(("role", "part"), [("worker:runs", "worker runs"), ("beat", "beat"), ("sequencer", "sequencer")])
def test_readyz_names_the_process_that_is_gone(client, all_there, role, part):
    heartbeats.forget(role)
    response = client.get("/readyz")
    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    assert response.json()["detail"] == f"not ready: {part}"
    assert response.json()["parts"]["database"] == "ok"


def test_readyz_says_where_to_read_what_to_do_about_the_part(client, all_there, settings):
    heartbeats.forget("beat")
    settings.SELF_HEAL_DOCS_URL = "https://docs.example"
    assert client.get("/readyz").json()["pages"] == {"beat": "https://docs.example/how-to/when-it-is-down/#processes"}


def test_readyz_names_the_broker(client, all_there, monkeypatch):
    def refuse():
        raise OperationalError("refused")

    monkeypatch.setattr(health, "_reach_broker", refuse)
    assert client.get("/readyz").json()["detail"] == "not ready: broker"


def test_readyz_names_the_database_and_then_knows_nothing_of_the_processes(client, all_there, monkeypatch):
    def fail(*args):
        raise DatabaseError("gone")

    monkeypatch.setattr(health.connection, "cursor", fail)
    monkeypatch.setattr(heartbeats, "missing", fail)
    detail = client.get("/readyz").json()["detail"]
    assert detail.startswith("not ready: database, worker control")


def test_a_broker_that_is_not_there_is_told_within_its_bound(settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    assert health.broker() == "the broker does not answer"


def test_readyz_goes_on_while_the_mode_is_off(client, all_there, settings):
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = False, False
    assert client.get("/readyz").status_code == 200
