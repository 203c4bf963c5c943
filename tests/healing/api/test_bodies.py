"""What may be sent to the ordinary addresses, and what is said of the rest."""

import io
import json

import pytest

from tests.factories import make_incident

from .conftest import problem
from .test_intake import Endless


@pytest.fixture
def comment(operator):
    path = f"incidents/{make_incident().pk}/comment"
    return lambda body, **more: operator.post(path, body, **more)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": 1}, "text"),
        ({"text": ["x"]}, "text"),
        ({"text": None}, "text"),
        ({"text": ""}, "text"),
        ({"text": "x" * 5_001}, "text"),
        ({"text": "a\0b"}, "text"),
        (b'{"text": "\\ud800"}', "text"),
        ({"txet": "x"}, "txet"),
        (b'{"a": {"b": ["x", "\\u0000"]}}', "a.b.1"),
        (b'{"text": ' + b"[" * 32 + b"]" * 32 + b"}", "text"),
    ],
)
def test_a_field_that_is_wrong_is_named(comment, body, field):
    assert problem(comment(body), 400)["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[1]",
        b"7",
        b"null",
        b'{"text": NaN}',
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 50_000,
        b'{"text": ' + b"1" * 5_000 + b"}",
    ],
)
def test_what_is_no_object_of_json_is_400(comment, body):
    problem(comment(body), 400)


def test_another_content_type_is_415(comment):
    problem(comment(b"text=x", content_type="application/x-www-form-urlencoded"), 415)
    problem(comment(b"<a/>", content_type="application/xml"), 415)


def test_a_body_over_a_mebibyte_is_413(comment):
    problem(comment({"text": "x" * 2**20}), 413)


def test_a_long_body_is_refused_unread_and_a_chunked_one_is_not_read_on(operator):
    path = f"/api/self_heal/incidents/{make_incident().pk}/comment"
    said, chunked = Endless(10 * 2**20), Endless(10 * 2**20)
    kinds = {
        said: {"CONTENT_LENGTH": str(10 * 2**20)},
        chunked: {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
    }
    for source, environ in kinds.items():
        response = operator.client.post(
            path, headers=operator.headers, content_type="application/json", **{"wsgi.input": source}, **environ
        )
        problem(response, 413)
    assert (said.taken, chunked.taken) == (0, 2**20 + 1)


def test_a_chunked_body_is_read(operator):
    incident = make_incident()
    environ = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    environ["wsgi.input"] = io.BytesIO(json.dumps({"text": "chunked"}).encode())
    path = f"/api/self_heal/incidents/{incident.pk}/comment"
    response = operator.client.post(path, headers=operator.headers, content_type="application/json", **environ)
    assert response.status_code == 200
    assert incident.timeline.get().reason == "chunked"


def test_who_may_not_is_told_so_before_the_body_is_read(reader):
    path = f"/api/self_heal/incidents/{make_incident().pk}/comment"
    source = Endless(10 * 2**20)
    environ = {"wsgi.input": source, "CONTENT_LENGTH": str(10 * 2**20)}
    problem(reader.client.post(path, headers=reader.headers, content_type="application/json", **environ), 403)
    assert source.taken == 0


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("incidents", {"status": "opened"}, "status"),
        ("incidents", {"status": "open,\0"}, "status"),
        ("incidents", {"severity": "P1"}, "severity"),
        ("incidents", {"since": "yesterday"}, "since"),
        ("incidents", {"since": "0001-01-01T00:00:00Z"}, "since"),
        ("incidents", {"since": "2026-13-01T00:00:00Z"}, "since"),
        ("incidents", {"service": "a\0"}, "service"),
        ("incidents", {"limit": "0"}, "limit"),
        ("incidents", {"limit": "501"}, "limit"),
        ("incidents", {"limit": "1e3"}, "limit"),
        ("incidents", {"limit": "²"}, "limit"),
        ("incidents", {"cursor": "nonsense"}, "cursor"),
        ("incidents", {"cursor": "cD14"}, "cursor"),
        ("incidents", {"cursor": "cD0lMDA="}, "cursor"),
        ("runs", {"status": "done"}, "status"),
        ("runs", {"playbook": "\0"}, "playbook"),
        ("approvals", {"status": "open"}, "status"),
        ("alerts/unmatched", {"status": "open"}, "status"),
        ("services", {"mode": "off"}, "mode"),
    ],
)
def test_a_query_parameter_that_is_wrong_is_named(reader, path, query, field):
    make_incident()
    assert problem(reader.get(path, **query), 400)["field"] == field
