"""Who may do what, over every address of the API at once."""

import uuid

import pytest
from django.test import override_settings
from django.urls import URLPattern, URLResolver, get_resolver

from tests.factories import make_incident, make_request, make_run

from .conftest import Api, problem, user

NOBODY = uuid.UUID(int=0)
OPEN = {"", "api/schema", "api/docs", "healthz", "readyz"}


def addresses(patterns=None, before=""):
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path.replace("<uuid:pk>", str(NOBODY)).replace("<str:name>", "x").replace("<str:kind>", "k")


GUARDED = sorted({path for path in addresses() if not path.startswith("admin/")} - OPEN)
SELF_HEAL = [path for path in GUARDED if path.startswith("api/self_heal/")]


def methods(path):
    view = get_resolver().resolve("/" + path).func
    cls = getattr(view, "cls", None)
    return [m for m in ("get", "post") if cls is None or hasattr(cls, m)]


def test_every_resource_of_the_table_is_here():
    assert len(SELF_HEAL) == 46
    assert {"api/log/checkpoint", "api/log/entries", "api/log/key"} <= set(GUARDED)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_without_a_token_everything_is_401_or_405(anonymous, path, method):
    response = anonymous.call(method, path)
    assert response.status_code in (401, 405), response.content
    problem(response, response.status_code)


@pytest.mark.parametrize("path", GUARDED)
def test_a_token_with_no_scope_that_fits_may_do_nothing(path):
    api = Api(user("mem", "viewer"), "ingest" if path.startswith("api/memory/") else "memory")
    for method in methods(path):
        response = api.call(method, path)
        assert response.status_code in (403, 405), (method, response.content)


@pytest.mark.parametrize("path", [p for p in SELF_HEAL if not p.endswith("dry_run")])
def test_a_token_that_may_read_writes_nothing(reader, path):
    if "post" in methods(path):
        problem(reader.call("post", path), 403)


@pytest.mark.parametrize("path", SELF_HEAL)
@override_settings(SELF_HEAL_EXECUTE=False, SELF_HEAL_OBSERVE_ONLY=False)
def test_while_the_mode_is_off_everything_is_404_to_everybody(admin, anonymous, path):
    for api in (admin, anonymous):
        for method in ("get", "post"):
            problem(api.call(method, path), 404)


@pytest.mark.parametrize("path", SELF_HEAL)
def test_what_is_not_there_is_a_404(admin, path):
    if str(NOBODY) in path:
        for method in methods(path):
            problem(admin.call(method, path), 404)


def test_an_address_that_nobody_has_is_a_problem_too(reader):
    problem(reader.get("nothing"), 404)
    problem(reader.get("incidents/7"), 404)
    problem(reader.get("incidents/"), 404)


def test_a_method_that_is_not_there_is_405(admin):
    response = admin.client.delete("/api/self_heal/incidents", headers=admin.headers)
    assert "DELETE" in problem(response, 405)["detail"]
    assert "GET" in response["Allow"]


def test_the_role_of_the_user_counts_beside_the_scope(approver):
    request = make_request(make_run(make_incident()))
    approver.user.groups.clear()
    assert "role" in problem(approver.post(f"approvals/{request.pk}/approve"), 403)["detail"]


def test_a_session_may_read_and_write_nothing():
    api = Api()
    api.client.force_login(user("adam", "admin"))
    assert api.get("incidents").status_code == 200
    problem(api.post("kill_switch", {"state": "kill", "reason": "x"}), 401)
    problem(api.post(f"incidents/{make_incident().pk}/ack"), 401)


def test_a_session_without_a_role_reads_nothing(django_user_model):
    api = Api()
    api.client.force_login(django_user_model.objects.create_user("nobody"))
    problem(api.get("incidents"), 403)


def test_an_error_of_ours_is_a_problem_that_tells_nothing(reader, monkeypatch):
    def fail(*args):
        raise RuntimeError("secret of the house")

    monkeypatch.setattr("healing.api.incidents.Incidents.page", fail)
    response = reader.get("incidents")
    assert "secret" not in str(problem(response, 500))


def test_a_host_that_is_not_ours_is_a_problem(reader):
    response = reader.client.get("/api/self_heal/incidents", headers={**reader.headers, "Host": "evil.example"})
    problem(response, 400)
