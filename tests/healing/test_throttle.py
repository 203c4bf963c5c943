"""How often one may call, over the API as it is, and whom an address is believed to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import RequestFactory

from healing import throttle
from selfheal.rates import Limit
from tests.factories import make_roles
from tests.healing.api.conftest import Api, problem, user


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    make_roles()
    fake = Clock()
    monkeypatch.setattr(throttle, "clock", fake)
    yield fake
    for each in throttle.ALL:
        each.limit.forget()


def only(monkeypatch: pytest.MonkeyPatch, name: str, calls: int) -> None:
    monkeypatch.setattr(throttle, name, throttle.Throttle(Limit(calls, 60), getattr(throttle, name).says))


def test_too_many_reads_are_429_with_the_time_to_wait(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    only(monkeypatch, "READS", 2)
    api = Api(user("vera", "viewer"), "read")
    assert [api.get("incidents").status_code for _ in range(2)] == [200, 200]
    refused = api.get("incidents")
    assert "reads" in problem(refused, 429)["detail"]
    assert refused["Retry-After"] == "30"
    clock.now += 30
    assert api.get("incidents").status_code == 200


def test_writes_are_counted_apart_and_each_token_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "WRITES", 1)
    olga = user("olga", "operator")
    api, other = Api(olga, "read", "operate"), Api(olga, "operate")
    assert api.post("playbooks/x/dry_run").status_code != 429
    problem(api.post("playbooks/x/dry_run"), 429)
    assert api.get("incidents").status_code == 200
    assert other.post(f"incidents/{olga.pk}/ack").status_code == 404


def test_whoever_called_too_often_can_still_stop_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "WRITES", 1)
    api = Api(user("olga", "operator"), "read", "operate")
    api.post("playbooks/x/dry_run")
    for _ in range(3):
        assert api.post("kill_switch", {"state": "pause", "reason": "too much"}).status_code == 200


def test_at_the_intake_bodies_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "INGEST", 2)
    api = Api(user("am", "viewer"), "ingest")
    alert = {"service": "web", "title": "down", "starts_at": "2026-11-24T10:00:00Z"}
    many = [alert | {"fingerprint": str(n)} for n in range(50)]
    assert [api.post("alerts", many).status_code for _ in range(2)] == [202, 202]
    refused = api.post("alerts", many)
    problem(refused, 429)
    assert refused["Retry-After"] == "30"
    problem(api.post("signals", []), 429)


def test_samples_are_intake_and_no_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "WRITES", 1)
    api = Api(user("prom", "viewer"), "ingest")
    assert 429 not in [api.post("signals", []).status_code for _ in range(3)]


def test_bad_tokens_are_slowed_down_without_a_row_and_good_ones_pass(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    only(monkeypatch, "BAD_TOKENS", 3)
    good, bad = Api(user("vera", "viewer"), "read"), Api()
    bad.headers = {"Authorization": "Bearer sh_" + "x" * 60}
    assert [bad.get("incidents").status_code for _ in range(3)] == [401, 401, 401]
    with django_assert_num_queries(1):  # the look for the token, and no write
        refused = bad.get("incidents")
    problem(refused, 429)
    problem(bad.post("alerts", []), 429)
    assert good.get("incidents").status_code == 200
    assert good.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("proxies", "connected", "forwarded", "address"),
    [
        (0, "192.0.2.7", "10.0.0.1", "192.0.2.7"),
        (0, "", "10.0.0.1", None),
        (1, "10.9.9.9", "1.1.1.1, 192.0.2.7", "192.0.2.7"),
        (2, "10.9.9.9", "1.1.1.1, 192.0.2.7, 10.8.8.8", "192.0.2.7"),
        (2, "10.9.9.9", "192.0.2.7", "192.0.2.7"),
        (1, "10.9.9.9", "", "10.9.9.9"),
        (1, "10.9.9.9", "1.1.1.1, nonsense", "10.9.9.9"),
        (1, "10.9.9.9", "192.0.2.7:4711", "192.0.2.7"),
        (1, "10.9.9.9", "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "", "::ffff:192.0.2.7", "192.0.2.7"),
        (0, "fe80::1%eth0", "", "fe80::1"),
    ],
)
def test_a_header_is_believed_as_far_as_there_are_proxies(
    settings: Any, proxies: int, connected: str, forwarded: str, address: str | None
) -> None:
    settings.SELF_HEAL_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=connected, HTTP_X_FORWARDED_FOR=forwarded)
    assert throttle.address_of(request) == address


def test_what_one_customer_of_ipv6_can_choose_from_is_one_source() -> None:
    one, two = (RequestFactory().get("/", REMOTE_ADDR=f"2001:db8:0:1::{n}") for n in (1, 2))
    assert throttle.source_of(one) == throttle.source_of(two) == "2001:db8:0:1::/64"
    assert throttle.source_of(RequestFactory().get("/", REMOTE_ADDR="")) == "local"
