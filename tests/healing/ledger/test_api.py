from __future__ import annotations

import base64
import json

import pytest
from django.urls import include, path
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from healing.api import problems
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
    assert indexes("start=99&end=100") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("entries", "start"),
        ("entries?start=0", "end"),
        ("entries?start=-1&end=2", "start"),
        ("entries?start=x&end=2", "start"),
        ("entries?start=٣&end=4", "start"),
        ("entries?start=5&end=4", "end"),
        ("entries?start=0&end=1001", "end"),
        ("entries?start=0&end=99999999999999999999", "end"),
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
