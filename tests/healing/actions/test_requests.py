"""`http.request` and `notify`, over real sockets."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import pytest

from healing.actions import ACTIONS
from selfheal.errors import Invalid
from selfheal.places import Place

REQUEST, NOTIFY = ACTIONS["http.request"], ACTIONS["notify"]
PLACE = Place("web", "web-01")


@pytest.fixture
def request_(perform, context, server):
    def made(path="/200", *, allowed=True, **given):
        ready = replace(context, allowed=[server.url] if allowed else [])
        return perform(REQUEST, {"url": f"{server.url}{path}", **given}, PLACE, context=ready)

    return made


def test_it_asks_and_judges_by_the_status(request_, server):
    launched = request_("/200")
    assert (launched.result.ok, launched.message) == (True, f"GET {server.url}/200 answered 200")
    assert launched.result.data == {"status": 200, "address": "127.0.0.1", "bytes": 6, "truncated": False, "body": "answer"}
    assert request_("/503").message == f"GET {server.url}/503 answered 503, not 200"
    assert request_("/503", expect={"status": [500, 503]}).result.ok
    assert not request_("/redirect").result.ok
    assert request_("/redirect", expect={"status": 302}).result.ok


def test_it_sends_json_or_a_body(request_, server):
    request_(method="POST", json={"a": [1, None, "é"]})
    request_(method="PUT", body="plain", headers={"Content-Type": "text/plain"})
    (post, put) = server.seen
    assert (post[0], json.loads(post[3]), post[2]["Content-Type"]) == ("POST", {"a": [1, None, "é"]}, "application/json")
    assert (put[0], put[3], put[2]["Content-Type"]) == ("PUT", "plain", "text/plain")


def test_an_address_that_was_not_declared_is_not_asked(request_, server):
    launched = request_(allowed=False)
    assert not launched.result.ok
    assert "which HTTP may not reach" in launched.message
    assert server.seen == []


def test_a_secret_is_sent_and_shows_nowhere(request_, server, context):
    (context.secrets_dir / "token").write_text("s3cret-value\n")
    frozen = REQUEST.freeze({"url": server.url, "auth": {"bearer": "${secret.token}"}}, PLACE)
    assert frozen["auth"] == {"bearer": "${secret.token}"}
    launched = request_("/echo", auth={"bearer": "${secret.token}"}, headers={"X-Key": "key=${secret.token}"})
    sent = server.seen[0][2]
    assert (sent["Authorization"], sent["X-Key"]) == ("Bearer s3cret-value", "key=s3cret-value")
    assert "s3cret" not in repr(launched)
    assert "***" in launched.result.data["body"]


def test_a_password_shows_nowhere_in_its_coded_form_either(request_, server, context):
    (context.secrets_dir / "word").write_text("s3cret")
    launched = request_("/echo", auth={"username": "heal", "password": "${secret.word}"})
    coded = b64encode(b"heal:s3cret").decode()
    assert server.seen[0][2]["Authorization"] == f"Basic {coded}"
    assert coded not in repr(launched)


def test_a_secret_that_an_answer_shows_as_json_or_in_an_address_shows_nowhere_either(request_, server, context):
    (context.secrets_dir / "word").write_text('pass"wo\\rd')
    launched = request_("/echo", headers={"X-Key": "${secret.word}"})
    assert server.seen[0][2]["X-Key"] == 'pass"wo\\rd'
    assert "wo" not in repr(launched.result.data["body"])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "http://a/${secret.token}"}, "url"),
        ({"url": "/health"}, "url"),
        ({"url": "ftp://a/"}, "url"),
        ({"url": "http://a/", "method": "TRACE"}, "method"),
        ({"url": "http://a/", "method": "get"}, "method"),
        ({"url": "http://a/", "json": {"a": "${secret.token}"}}, ""),
        ({"url": "http://a/", "body": "${secret.token}"}, ""),
        ({"url": "http://a/", "json": {}, "body": ""}, ""),
        ({"url": "http://a/", "headers": {"X-A": "1\r\nX-B: 2"}}, "headers.X-A"),
        ({"url": "http://a/", "headers": {"X A": "1"}}, "headers.X A"),
        ({"url": "http://a/", "headers": {"Transfer-Encoding": "chunked"}}, "headers.Transfer-Encoding"),
        ({"url": "http://a/", "headers": {"authorization": "x"}, "auth": {"bearer": "y"}}, ""),
        ({"url": "http://a/", "auth": {"username": "x"}}, "auth"),
        ({"url": "http://a/", "timeout": "1h"}, "timeout"),
        ({"url": "http://a/", "expect": {"status": 99}}, "expect.status"),
        ({"url": "http://a/", "json": {"a": 1.5}}, "json.a"),
    ],
)
def test_what_is_out_of_bounds_is_refused(given, field):
    with pytest.raises(Invalid) as raised:
        REQUEST.freeze(given, PLACE)
    assert raised.value.field == field


def test_a_relative_url_is_ours_where_the_plan_is_about_us():
    assert (
        REQUEST.freeze({"url": "/readyz"}, replace(PLACE, base_url="http://localhost:8000/"))["url"]
        == "http://localhost:8000/readyz"
    )


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("HEAD", True), ("POST", False), ("DELETE", False)])
def test_only_what_reads_may_be_run_again(method, again):
    assert REQUEST.idempotent(REQUEST.freeze({"url": "http://a/", "method": method}, PLACE)) is again


def test_people_are_told(perform, context, server):
    url = f"json://user:pa55word@127.0.0.1:{server.server_port}/200"
    given = {"title": "web is down", "body": "restarted"}
    launched = perform(NOTIFY, given, PLACE, context=replace(context, notify_urls=[url]))
    assert (launched.result.ok, launched.message) == (True, "told 1 of 1")
    assert json.loads(server.seen[0][3])["title"] == "web is down"


def test_somebody_who_cannot_be_told_is_a_failure_without_the_password(perform, context, server):
    url = f"json://user:pa55word@127.0.0.1:{server.server_port}/503"
    launched = perform(NOTIFY, {"title": "a", "body": "b"}, PLACE, context=replace(context, notify_urls=[url]))
    assert (launched.result.ok, launched.message) == (False, "not all could be told; the output says why")
    assert "503" in launched.stderr
    assert "pa55word" not in repr(launched)


def test_without_addresses_it_says_what_to_declare(perform):
    launched = perform(NOTIFY, {"title": "a", "body": "b"}, PLACE)
    assert launched.message == "nobody was told: declare a channel that hears playbook.message, or set SELF_HEAL_NOTIFY_URLS"


def test_a_secret_in_an_address_is_read_when_it_is_used_and_never_shown(perform, context, server, tmp_path):
    (tmp_path / "PASS").write_text("pa55/word\n")
    url = f"json://user:${{secret.PASS}}@127.0.0.1:{server.server_port}/503"
    ready = replace(context, notify_urls=[url], secrets_dir=tmp_path)
    launched = perform(NOTIFY, {"title": "a", "body": "b"}, PLACE, context=ready)
    assert "503" in launched.stderr
    assert server.seen[0][2]["Authorization"] == "Basic " + b64encode(b"user:pa55/word").decode()
    assert "pa55" not in repr(launched)


def test_an_address_that_is_none_is_a_failure(perform, context):
    launched = perform(NOTIFY, {"title": "a", "body": "b"}, PLACE, context=replace(context, notify_urls=["nonsense"]))
    assert not launched.result.ok
