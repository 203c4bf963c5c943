"""Services that answer to HTTP, asked at a real server."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing.adapters import conformance
from healing.adapters.base import Around, Seen
from healing.adapters.http import Http
from selfheal.places import Place
from tests.healing.actions.test_http import certificate, names, secure  # noqa: F401  (fixtures)


@pytest.fixture
def may(server: Any, tmp_path: Path) -> Around:
    return conformance.around(tmp_path, urls=[server.url])


def seen(place: Place, around: Around) -> Seen:
    (found,) = Http().sense([place], around)
    return found


def page(server: Any, path: str) -> Place:
    return Place("web", "web", target_url=server.url, labels={"health_path": path})


def test_what_answers_is_up_and_how_long_it_took_is_measured(server: Any, may: Around) -> None:
    found = seen(Place("web", "web", url=server.url), may)
    assert (found.values["up"], found.values["http.status"], found.why) == (1, 200, "")
    assert 0 < found.values["latency_ms"] < 5000
    assert server.seen[-1][:2] == ("GET", "/health")


def test_an_error_of_the_server_is_down(server: Any, may: Around) -> None:
    found = seen(page(server, "/503"), may)
    assert (dict(found.values), found.why) == ({"up": 0, "http.status": 503}, f"{server.url}/503 answers 503")


@pytest.mark.parametrize("status", [302, 401, 404])
def test_an_answer_that_says_neither_is_no_value_for_up(server: Any, may: Around, status: int) -> None:
    found = seen(page(server, f"/{status}"), may)
    assert dict(found.values) == {"http.status": status}
    assert f"answers {status}, which says neither" in found.why


def test_nobody_who_listens_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert dict(seen(Place("web", "web", url=url), conformance.around(tmp_path, urls=[url])).values) == {"up": 0}


def test_a_name_without_an_address_is_not_known_to_be_down(tmp_path: Path) -> None:
    url = "http://no-such-host.invalid"
    found = seen(Place("web", "web", url=url), conformance.around(tmp_path, urls=[url]))
    assert not found.values
    assert "resolved" in found.why


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://127.0.0.1:1"])
def test_what_was_not_declared_is_not_asked(url: str, around: Around) -> None:
    found = seen(Place("web", "web", url=url), around)
    assert not found.values
    assert "which HTTP may not reach" in found.why


def test_a_metadata_address_is_not_asked_even_if_it_is_declared(tmp_path: Path) -> None:
    url = "http://169.254.169.254"
    assert "may not reach" in seen(Place("web", "web", url=url), conformance.around(tmp_path, urls=[url])).why


def test_a_service_without_an_address_is_not_seen(around: Around) -> None:
    assert "give the service or its targets a `url`" in seen(Place("web", "web"), around).why


def test_a_server_that_drips_is_cut_off_and_down_only_if_it_had_its_time(server: Any, may: Around, monkeypatch: Any) -> None:
    monkeypatch.setattr("healing.adapters.http.SECONDS", 0.2)
    assert dict(seen(page(server, "/drip"), may).values) == {"up": 0}
    found = seen(page(server, "/drip"), replace(may, until=time.monotonic() + 0.15))
    assert not found.values


def test_the_days_of_a_certificate_are_counted(
    secure: Any,  # noqa: F811
    names: Any,  # noqa: F811
    certificate: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    names["web.test"] = [["127.0.0.1"]]
    url = f"https://web.test:{secure.server_port}"
    found = seen(Place("web", "web", url=url), conformance.around(tmp_path, at=timezone.now(), urls=[url]))
    assert found.values["http.certificate_days"] == pytest.approx(2, abs=0.1)
    assert found.values["up"] == 1
