"""What a question to memory returns, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.test import override_settings
from django.utils import timezone

from learning.broker import standing
from learning.broker.models import Domain, Memory
from learning.broker.storing import prune
from tests.factories import make_user

from .conftest import Asking, logged

Trusted = Callable[[float], None]


def contents(answer: dict) -> list:
    return [row["content"] for row in answer["memories"]]


def test_the_answer_has_the_shape_of_the_contract(web: Asking) -> None:
    web.store("restart helps", tags=["disk"])
    said = web.query(query="restart")
    assert {"memories", "total_found", "filtered", "access_level", "policies_applied", "explanation"} <= set(said)
    (row,) = said["memories"]
    assert set(row) == {"id", "domain", "memory_type", "content", "tags", "timestamp", "relevance", "why"}
    assert set(row["why"]) == {"recency", "frequency", "tags", "context"}


def test_what_fits_best_comes_first_and_the_numbers_say_why(web: Asking) -> None:
    web.store("rotate the logs", context={"service": "shop"})
    web.store("rotate the logs when the disk is full", context={"service": "web"})
    said = web.query(query="disk full", context={"service": "web"})
    assert contents(said) == ["rotate the logs when the disk is full"]
    assert said["memories"][0]["why"] == {"recency": 1.0, "frequency": 0.0, "tags": 1.0, "context": 1.0}
    assert said["memories"][0]["relevance"] == 0.8
    first, second = web.query(query="rotate logs disk")["memories"]
    assert first["why"]["tags"] == 1.0
    assert second["why"]["tags"] == pytest.approx(2 / 3, abs=0.001)


def test_words_are_found_whatever_their_case_and_script(web: Asking) -> None:
    web.store("Größe der Platte überschritten; диск полон; O'Brien's \"quote\" AND NOT near*")
    for word in ("GRÖSSE", "größe", "ДИСК", "o'brien", "quote", "NEAR*", "AND NOT"):
        assert web.query(query=word)["total_found"] == 1, word


def test_a_tag_is_found_by_tags_and_not_by_a_text_that_looks_like_one(web: Asking) -> None:
    web.store("one", tags=["disk-full"])
    web.store("§tdisk_full")
    assert contents(web.query(tags=["disk-full"])) == ["one"]


def test_with_nothing_asked_for_the_newest_come_first(web: Asking) -> None:
    at = timezone.now()
    with time_machine.travel(at - timedelta(hours=30), tick=False):
        web.store("old")
    web.store("new")
    assert contents(web.query()) == ["new", "old"]


def test_only_the_type_that_is_asked_for_is_returned(web: Asking) -> None:
    web.store("how", memory_type="procedural")
    web.store("what")
    assert contents(web.query(memory_type="procedural")) == ["how"]


def test_another_domain_is_denied_and_that_is_a_violation(web: Asking) -> None:
    answer = web.post("query", domain="host")
    assert (answer.status_code, answer.json()["access_level"]) == (403, "denied")
    assert "host is no domain of this token; its domains: web" in answer.json()["detail"]
    (leaf,) = logged("memory.denied")
    assert (leaf["result"], leaf["payload"]["policy"], leaf["actor"]) == ("blocked", "domain_isolation", "wanda")
    assert standing.violations(5)[0].violation == "domain_isolation"


def test_a_token_without_a_domain_may_ask_for_none_unless_it_is_an_administrators() -> None:
    nobody, adam = Asking(make_user("nobody", role="operator")), Asking(make_user("adam", role="admin"))
    assert nobody.post("query", domain="web").status_code == 403
    assert adam.query("web")["access_level"] == "full"


def test_without_trust_the_flag_is_answered_by_the_own_domain_and_that_is_a_violation(web: Asking, host: Asking) -> None:
    web.store("ours")
    host.store("theirs", domain="host")
    said = web.query(include_cross_domain=True)
    assert (contents(said), said["access_level"]) == (["ours"], "restricted")
    assert "trust 0.60 is below 0.8" in said["explanation"]
    assert logged("memory.denied")[0]["payload"]["policy"] == "domain_isolation"


def test_with_trust_and_the_flag_other_domains_answer_but_nothing_sensitive(web: Asking, host: Asking, trusted: Trusted) -> None:
    trusted(0.8)
    host.store("theirs", domain="host")
    host.store("their secret", domain="host", sensitive=True)
    said = web.query(include_cross_domain=True)
    assert (contents(said), said["access_level"], said["total_found"]) == (["theirs"], "cross_domain", 1)
    assert contents(web.query()) == []


@pytest.mark.parametrize(("trust", "level", "seen"), [(0.6, "full", 2), (0.4, "restricted", 1)])
def test_what_is_sensitive_is_for_those_who_operate_and_are_trusted(
    web: Asking, trusted: Trusted, trust: float, level: str, seen: int
) -> None:
    web.store("password: hunter2")
    web.store("plain")
    trusted(trust)
    said = web.query()
    assert (said["access_level"], len(said["memories"]), said["filtered"]) == (level, seen, 2 - seen)


def test_who_only_looks_sees_nothing_sensitive(web: Asking) -> None:
    web.store("hidden", sensitive=True)
    assert contents(Asking(make_user("vera"), "web").query()) == []


def test_a_search_does_not_tell_that_sensitive_words_are_there(web: Asking) -> None:
    web.store({"note": "password: hunter2"})
    said = Asking(make_user("vera"), "web").query(query="hunter2")
    assert (said["total_found"], said["filtered"]) == (0, 0)


def test_many_sensitive_ones_do_not_hide_what_may_be_seen(web: Asking) -> None:
    with time_machine.travel(timezone.now() - timedelta(hours=1), tick=False):
        web.store("seen")
    row = Memory.objects.get()
    hidden = {"domain": "web", "memory_type": "semantic", "content": "x", "words": "", "sensitive": True, "stored_by": "x"}
    others = [Memory(at=timezone.now(), **hidden) for _ in range(130)]
    from learning.broker import search

    search.add(others)
    said = Asking(make_user("vera"), "web").query(limit=5)
    assert [each["id"] for each in said["memories"]] == [str(row.public_id)]


def test_without_any_trust_nothing_is_shown(web: Asking, trusted: Trusted) -> None:
    trusted(0.1)
    assert "trust 0.10 is below 0.2" in web.post("query", domain="web").json()["detail"]


@pytest.mark.parametrize(("kind", "hours"), [("episodic", 168), ("working", 24)])
def test_what_has_expired_is_not_returned_and_is_deleted(web: Asking, kind: str, hours: int) -> None:
    at = timezone.now()
    web.store("once", memory_type=kind)
    with time_machine.travel(at + timedelta(hours=hours - 1), tick=False):
        assert web.query()["total_found"] == 1
    with time_machine.travel(at + timedelta(hours=hours, minutes=1), tick=False):
        assert web.query()["total_found"] == 0
        assert prune(timezone.now()) == 1
    assert not Memory.objects.exists()


@pytest.mark.parametrize("kind", ["semantic", "procedural"])
def test_what_is_known_does_not_expire(web: Asking, kind: str) -> None:
    web.store("known", memory_type=kind)
    assert Memory.objects.get().expires_at is None


def test_above_its_quota_a_domain_waits_and_the_refusal_is_logged(web: Asking) -> None:
    Domain.objects.create(name="web", quota=2)
    at = timezone.now()
    with time_machine.travel(at, tick=False):
        web.query()
    with time_machine.travel(at + timedelta(seconds=10), tick=False):
        web.query()
    with time_machine.travel(at + timedelta(seconds=40), tick=False):
        answer = web.post("query", domain="web")
        assert (answer.status_code, answer["Retry-After"]) == (429, "20")
        assert answer.json()["detail"] == "web has asked 2 times within 60 s, which is its quota (again in 20 s)"
    with time_machine.travel(at + timedelta(seconds=61), tick=False):
        web.query()
    assert [leaf["payload"]["policy"] for leaf in logged("memory.denied")] == ["quota"]


def test_each_question_is_in_the_log_with_what_it_returned(web: Asking) -> None:
    key = web.store("restart helps")
    web.query(query="restart")
    (leaf,) = logged("memory.query")
    assert (leaf["actor"], leaf["resource"], leaf["payload"]["returned"]) == ("wanda", "memory:web", [key])
    assert (leaf["payload"]["terms"], leaf["payload"]["trust"]) == (["restart"], "0.60")


def test_a_secret_that_is_asked_for_is_not_in_the_log(web: Asking) -> None:
    web.query(query="password=hunter2")
    assert "hunter2" not in str(logged("memory.query"))


def test_the_weights_of_a_domain_order_its_answers(web: Asking) -> None:
    web.store("disk", context={"service": "shop"})
    web.store("disk disk2", context={"service": "web"})
    asked = {"query": "disk disk3", "context": {"service": "shop"}}
    assert contents(web.query(**asked))[0] == "disk"
    weights = {"recency": 1.0, "frequency": 0.0, "tags": 0.0, "context": 0.0}
    standing.configure("web", weights, 50, actor="adam", reason="newest first", at=timezone.now())
    assert contents(web.query(**asked))[0] == "disk disk2"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"domain": "web", "limit": 0}, "limit"),
        ({"domain": "web", "limit": 101}, "limit"),
        ({"domain": "web", "limit": "5"}, "limit"),
        ({"domain": "web", "include_cross_domain": "yes"}, "include_cross_domain"),
        ({"domain": "web", "include_cross_domain": 1}, "include_cross_domain"),
        ({"domain": "web", "memory_type": "sensory"}, "memory_type"),
        ({"domain": "We b"}, "domain"),
        ({"domain": "web", "context": {"a": {"b": 1}}}, "context"),
        ({"domain": "web", "wanted": 1}, "wanted"),
        ({}, "domain"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(web: Asking, body: dict, field: str) -> None:
    answer = web.post("query", **body)
    assert (answer.status_code, answer.json()["field"].partition(".")[0]) == (400, field)


@override_settings(SELF_HEAL_EXECUTE=False, SELF_HEAL_OBSERVE_ONLY=False)
def test_memory_is_there_in_every_mode(web: Asking) -> None:
    assert web.query()["total_found"] == 0
