from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import include, path
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from healing.api import problems
from healing.ledger import selectors
from healing.ledger.sequencer import sequence_once
from healing.models import LedgerEntry, LedgerHead, User
from selfheal.merkle import verify_consistency, verify_inclusion
from selfheal.signing import Verifier

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [path("api/log/", include("healing.api.log_urls"))]


@pytest.fixture
def client(db, monkeypatch) -> APIClient:
    monkeypatch.setattr(api_settings, "EXCEPTION_HANDLER", problems.handle)
    api = APIClient()
    api.force_authenticate(User.objects.create_superuser("root"))
    return api


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def test_checkpoint_key_entries_and_proofs_verify_together(client, grow):
    grow(20)
    grow(300)
    key = client.get("/api/log/key").json()
    assert key == {"vkey": key["vkey"], "origin": LedgerHead.objects.first().note.split("\n")[0], "since_index": 0, "retired": []}
    answer = client.get("/api/log/checkpoint")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    verifier = Verifier.parse(key["vkey"])
    head = verifier.open_checkpoint(answer.content.decode())
    assert head.size == 320
    entry = client.get("/api/log/entries?start=7&end=8").json()["entries"][0]
    digest = bytes(LedgerEntry.objects.get(index=7).leaf_hash)
    assert json.loads(unb64(entry["leaf"]))["resource"] == "thing:6"
    assert verifier.verify_entry(7, digest, unb64(entry["signature"]))
    proof = client.get("/api/log/proof/inclusion?index=7&size=320").json()["hashes"]
    verify_inclusion(7, 320, digest, [unb64(p) for p in proof], head.root)
    proof = client.get("/api/log/proof/consistency?first=20&second=320").json()["hashes"]
    verify_consistency(20, 320, bytes(LedgerHead.objects.get(size=20).root), head.root, [unb64(p) for p in proof])


def test_entries_are_half_open_and_as_many_as_there_are(client, grow):
    grow(5)

    def indexes(query: str) -> list[int]:
        return [entry["index"] for entry in client.get(f"/api/log/entries?{query}").json()["entries"]]

    assert indexes("start=1&end=3") == [1, 2]
    assert indexes("start=3&end=1003") == [3, 4]
    assert indexes("start=2&end=2") == []
    assert indexes("") == [0, 1, 2, 3, 4]
    assert indexes("start=3") == [3, 4]
    assert indexes("start=99&end=100") == []


def resources(answer) -> list[str]:
    return [json.loads(unb64(entry["leaf"]))["resource"] for entry in answer["entries"]]


def resequence(signer, at) -> None:
    while sequence_once(signer, at):
        pass


@pytest.fixture
def told(write, signer, at) -> None:
    """A minute apart: two acts of ann on one thing, one of bob, one of ann in another part; the last is written first."""
    write(1, actor="ann", action="run.ended", resource="run:late", subsystem="learning", at=at + timedelta(minutes=3))
    write(1, actor="ann", action="run.started", resource="run:1", at=at)
    write(1, actor="bob", action="run.started", resource="run:2", at=at + timedelta(minutes=1))
    write(1, actor="ann", action="run.ended", resource="run:1", at=at + timedelta(minutes=2))
    resequence(signer, at - timedelta(hours=1))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("actor=ann", ["run:1", "run:1", "run:late"]),
        ("action=run.started", ["run:1", "run:2"]),
        ("resource=run:1", ["run:1", "run:1"]),
        ("subsystem=learning", ["run:late"]),
        ("actor=ann&action=run.ended", ["run:1", "run:late"]),
        ("actor=nobody", []),
        ("actor=ann&since=2026-11-25T12:02:00Z", ["run:1", "run:late"]),
        ("since=2026-11-25T12:01:00Z&until=2026-11-25T12:03:00Z", ["run:2", "run:1"]),
        ("actor=ann&start=2", ["run:1", "run:1"]),
        ("actor=ann&end=2", ["run:late"]),
    ],
)
def test_entries_are_found_by_who_what_where_and_when_in_order_of_time(client, told, query, expected):
    assert resources(client.get(f"/api/log/entries?{query}").json()) == expected


def test_what_was_found_is_read_a_page_at_a_time(client, told):
    first = client.get("/api/log/entries?actor=ann&limit=2").json()
    second = client.get(first["next"]).json()
    assert (resources(first), resources(second)) == (["run:1", "run:1"], ["run:late"])
    assert (second["next"], client.get(second["previous"]).json()["entries"]) == (None, first["entries"])


@pytest.mark.parametrize("query", ["actor=ann", "action=test.written", "resource=thing:1", "subsystem=healing", ""])
def test_a_filter_reads_an_index_whatever_the_length_of_the_log(db, query):
    asked = dict([query.split("=")]) if query else {}
    day = datetime(2026, 11, 25, tzinfo=UTC)
    plan = selectors.found(asked, day, day + timedelta(days=1))[:10].explain()
    assert f"entry_{next(iter(asked), '')}_at".replace("__", "_") in plan


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("entries?start=", "start"),
        ("entries?start=0&end=", "end"),
        ("entries?start=-1&end=2", "start"),
        ("entries?start=x&end=2", "start"),
        ("entries?start=٣&end=4", "start"),
        ("entries?start=5&end=4", "end"),
        ("entries?start=0&end=1001", "end"),
        ("entries?start=0&end=99999999999999999999", "end"),
        ("entries?actor=a&start=x", "start"),
        ("entries?actor=a&limit=1001", "limit"),
        ("entries?actor=a&cursor=x", "cursor"),
        ("entries?actor=a%00", "actor"),
        ("entries?since=yesterday", "since"),
        ("entries?until=2026-13-01T00:00:00Z", "until"),
        ("proof/inclusion?index=0", "size"),
        ("proof/inclusion?index=5&size=5", "index"),
        ("proof/inclusion?index=0&size=6", "size"),
        ("proof/inclusion?index=0&size=0", "size"),
        ("proof/consistency?first=0&second=5", "first"),
        ("proof/consistency?first=4&second=3", "first"),
        ("proof/consistency?first=1&second=6", "second"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_names_it(client, grow, query, field):
    grow(5)
    answer = client.get(f"/api/log/{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["field"] == field


@pytest.mark.parametrize("name", ["checkpoint", "key"])
def test_a_log_that_has_not_begun_is_not_found(client, name):
    assert client.get(f"/api/log/{name}").status_code == 404


@pytest.mark.parametrize("name", ["checkpoint", "entries?start=0&end=1", "key", "proof/inclusion?index=0&size=1"])
def test_nobody_reads_the_log_without_being_known(client, name):
    client.force_authenticate(None)
    assert client.get(f"/api/log/{name}").status_code in (401, 403)


def test_the_views_only_read(client):
    for name in ("checkpoint", "entries", "key"):
        assert client.post(f"/api/log/{name}").status_code in (403, 405)
