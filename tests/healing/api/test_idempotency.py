"""The header Idempotency-Key: a write that is sent twice is done once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from healing import idempotency, incidents, tasks
from healing.models import Episode, IdempotentCall, Incident, LedgerOutbox, Service, TimelineEvent, Vote
from tests.factories import make_incident, make_playbook, make_request, make_run, make_service

from .conftest import Api, problem, user

WEB = {"name": "web", "url": "https://web.internal", "mode": "ask"}
HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"


def send(api: Api, path: str, body: Any, key: str = "k-1") -> Any:
    headers = {**api.headers, HEADER: key}
    return api.client.post(f"/api/self_heal/{path}", body, content_type="application/json", headers=headers)


def comments() -> int:
    return TimelineEvent.objects.filter(action="incident.comment").count()


def said(response: Any) -> tuple[int, bytes, str]:
    return response.status_code, response.content, response["Content-Type"]


@pytest.fixture
def path():
    return f"incidents/{make_incident().pk}/comment"


def test_a_service_that_is_declared_twice_with_one_key_is_201_both_times(admin):
    first = send(admin, "services", WEB)
    logged = LedgerOutbox.objects.count()
    second = send(admin, "services", WEB)
    assert first.status_code == 201
    assert said(first) == said(second)
    assert (first.has_header(REPLAYED), second[REPLAYED]) == (False, "true")
    assert (Service.objects.count(), LedgerOutbox.objects.count()) == (1, logged)


def test_a_comment_that_is_sent_three_times_with_one_key_is_one_line(operator, path):
    answers = [send(operator, path, {"text": "on it"}) for _ in range(3)]
    assert len({said(answer) for answer in answers}) == 1
    assert comments() == 1


ALERT = {"service": "web", "diagnosis": "service_down", "starts_at": "2026-11-25T12:00:00Z"}


def test_alerts_that_are_sent_twice_with_one_key_have_one_answer(sender):
    make_service("web")
    first, second = send(sender, "alerts", ALERT), send(sender, "alerts", ALERT)
    assert first.json()["accepted"] == 1
    assert said(first) == said(second)
    assert (first.has_header(REPLAYED), second[REPLAYED]) == (False, "true")
    assert problem(send(sender, "alerts", {**ALERT, "diagnosis": "latency_spike"}), 422)["field"] == HEADER
    assert Episode.objects.count() == 1


def test_alerts_that_were_refused_with_a_key_are_refused_again_and_what_broke_may_be_sent_again(sender, monkeypatch):
    make_service("web")
    first, second = send(sender, "alerts", {**ALERT, "foo": 1}), send(sender, "alerts", {**ALERT, "foo": 1})
    assert problem(first, 400) == problem(second, 400)
    assert second[REPLAYED] == "true"
    monkeypatch.setattr("healing.intake.receive_plain", lambda *_, **__: 1 / 0)
    assert send(sender, "alerts", ALERT, "k-2").status_code == 500
    monkeypatch.undo()
    assert send(sender, "alerts", ALERT, "k-2").json()["accepted"] == 1


def test_without_a_key_nothing_is_kept_and_each_call_is_done(operator, path):
    assert [operator.post(path, {"text": "on it"}).status_code for _ in range(2)] == [200, 200]
    assert (comments(), IdempotentCall.objects.count()) == (2, 0)


def test_another_key_is_another_call(operator, path):
    assert not send(operator, path, {"text": "on it"}, "a").has_header(REPLAYED)
    assert not send(operator, path, {"text": "on it"}, "b").has_header(REPLAYED)
    assert comments() == 2


def test_the_same_key_of_somebody_else_is_another_call(operator, path):
    other = Api(user("otto", "operator"), "operate")
    send(operator, path, {"text": "on it"})
    assert not send(other, path, {"text": "on it"}).has_header(REPLAYED)
    assert comments() == 2


def test_the_same_key_through_another_token_of_the_same_user_is_the_same_call(operator, path):
    send(operator, path, {"text": "on it"})
    assert send(Api(operator.user, "operate"), path, {"text": "on it"})[REPLAYED] == "true"


def test_a_vote_that_is_sent_again_is_no_second_vote(approver):
    request = make_request(make_run(make_incident(), make_playbook(impact="high")))
    first, second = (send(approver, f"approvals/{request.pk}/approve", {"comment": "go"}) for _ in range(2))
    assert (first.status_code, second.content) == (200, first.content)
    assert Vote.objects.count() == 1


@pytest.mark.parametrize("change", ["body", "path", "query"])
def test_the_same_key_with_something_else_is_422_and_does_nothing(operator, path, change):
    send(operator, path, {"text": "on it"})
    other = {"body": path, "path": path.replace("comment", "ack"), "query": f"{path}?x=1"}[change]
    found = problem(send(operator, other, {"text": "off it" if change == "body" else "on it"}), 422)
    assert found["field"] == HEADER
    assert found["detail"].startswith(f"{HEADER}: ")
    assert (comments(), Incident.objects.get().status) == (1, "open")


@pytest.mark.parametrize("key", ["", "k" * 201, "tab\tbed", "clé", "\x7f"])
def test_a_key_that_is_none_is_400_and_nothing_is_done(operator, path, key):
    assert problem(send(operator, path, {"text": "on it"}, key), 400)["field"] == HEADER
    assert (comments(), IdempotentCall.objects.count()) == (0, 0)


def test_a_key_of_200_characters_is_one(operator, path):
    for _ in range(2):
        answer = send(operator, path, {"text": "on it"}, "~ " * 100)
    assert answer[REPLAYED] == "true"


def test_an_error_of_the_caller_is_an_answer_too(operator):
    path = f"runs/{make_run(status='succeeded').pk}/abort"
    first, second = send(operator, path, {}), send(operator, path, {})
    assert said(first) == said(second)
    assert problem(second, 409)["detail"]
    assert second[REPLAYED] == "true"
    assert "Retry-After" not in second


def test_an_answer_that_quotes_what_no_database_stores_is_kept(operator, path):
    body = rb'{"\u0000\ud800": 1}'
    first, second = send(operator, path, body), send(operator, path, body)
    assert problem(first, 400) == problem(second, 400)
    assert second[REPLAYED] == "true"


def test_an_exception_forgets_the_key(operator, path, monkeypatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("healing.api.incidents.Comment.act", fail)
        assert problem(send(operator, path, {"text": "on it"}), 500)
    assert not IdempotentCall.objects.exists()
    again = send(operator, path, {"text": "on it"})
    assert (again.status_code, again.has_header(REPLAYED), comments()) == (200, False, 1)


def test_an_answer_that_cannot_be_written_forgets_the_key(operator, path, monkeypatch):
    monkeypatch.setattr("healing.api.incidents.IncidentRow.data", {"no": object()})
    assert problem(send(operator, path, {"text": "on it"}), 500)
    assert not IdempotentCall.objects.exists()


def test_a_body_in_a_form_that_is_not_understood_may_come_again_in_another(operator, path):
    headers = {**operator.headers, HEADER: "k-1"}
    wrong = operator.client.post(f"/api/self_heal/{path}", b'{"text": "on it"}', content_type="text/plain", headers=headers)
    assert wrong.status_code == 415
    assert send(operator, path, b'{"text": "on it"}').status_code == 200


def test_who_may_not_do_it_gets_no_stored_answer(operator, path):
    send(operator, path, {"text": "on it"})
    assert problem(send(Api(operator.user, "read"), path, {"text": "on it"}), 403)


def test_a_call_that_is_still_being_worked_on_is_409_with_retry_after(operator, path):
    send(operator, path, {"text": "on it"})
    IdempotentCall.objects.update(status=None, response=None)
    answer = send(operator, path, {"text": "on it"})
    assert "still being worked on" in problem(answer, 409)["detail"]
    assert answer["Retry-After"] == "1"
    assert comments() == 1


@pytest.mark.parametrize("age", [timedelta(seconds=61), timedelta(seconds=-61)])
def test_a_key_whose_process_died_is_taken_over(operator, path, age):
    send(operator, path, {"text": "on it"})
    IdempotentCall.objects.update(status=None, response=None, created_at=timezone.now() - age)
    answer = send(operator, path, {"text": "on it"})
    assert (answer.status_code, answer.has_header(REPLAYED), comments()) == (200, False, 2)
    assert send(operator, path, {"text": "on it"})[REPLAYED] == "true"


def test_whoever_was_taken_over_can_neither_answer_nor_forget(operator, at):
    asked = idempotency.Asked("POST", "/x", b"{}")
    old = idempotency.begin(operator.user, "k", asked, at)
    new = idempotency.begin(operator.user, "k", asked, at + timedelta(seconds=61))
    idempotency.answer(old, 200, "old", "application/json")
    idempotency.forget(old)
    assert IdempotentCall.objects.get().status is None
    idempotency.answer(new, 200, "new", "application/json")
    idempotency.forget(new)
    assert IdempotentCall.objects.get().response == "new"


def test_only_one_takes_over(operator, at):
    asked, late = idempotency.Asked("POST", "/x", b"{}"), at + timedelta(seconds=61)
    idempotency.begin(operator.user, "k", asked, at)
    seen = IdempotentCall.objects.get()
    idempotency.begin(operator.user, "k", asked, late)
    with pytest.raises(idempotency.Busy):
        idempotency._take_over(seen, late)


def test_neither_the_body_nor_the_token_is_stored(operator, path):
    send(operator, path, {"text": "hunter2"})
    row = str(IdempotentCall.objects.values().get())
    assert "hunter2" not in row
    assert operator.headers["Authorization"].split()[1] not in row


def test_old_keys_are_deleted_by_the_tick_a_bounded_number_at_once(operator, monkeypatch):
    monkeypatch.setattr(idempotency, "PRUNED_AT_ONCE", 2)
    now = timezone.now()
    for hours in (1, 23, 25, 26, 27):
        idempotency.begin(operator.user, f"{hours}", idempotency.Asked("POST", "/x", b""), now - timedelta(hours=hours))
    tasks.tick()
    assert set(IdempotentCall.objects.values_list("key", flat=True)) == {"1", "23", "25"}
    assert (idempotency.prune(now), idempotency.prune(now)) == (1, 0)


def test_the_document_tells_of_the_header_on_every_write(anonymous):
    document = anonymous.client.get("/api/schema?format=json", headers={"Accept": "application/json"}).json()
    parameter = {"$ref": "#/components/parameters/IdempotencyKey"}
    for path in document["paths"].values():
        for method, operation in path.items():
            assert (parameter in operation.get("parameters", [])) == (method != "get")
    told = document["components"]["parameters"]["IdempotencyKey"]
    assert (told["name"], told["in"], told["required"]) == (HEADER, "header", False)
    proposed = document["paths"]["/api/self_heal/incidents/{id}/propose"]["post"]["responses"]["201"]
    assert REPLAYED in proposed["headers"]


@pytest.mark.usefixtures("real_database")
def test_of_two_at_once_one_works_and_the_other_is_told_to_come_again(operator, path, monkeypatch):
    begun, go_on, answers = threading.Event(), threading.Event(), []

    def slow(*args: Any) -> Incident:
        begun.set()
        assert go_on.wait(20)
        return incidents.comment(*args)

    def first() -> None:
        try:
            answers.append(send(operator, path, {"text": "on it"}))
        finally:
            connection.close()

    monkeypatch.setattr("healing.api.incidents.Comment.act", slow)
    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(20)
    assert problem(send(operator, path, {"text": "on it"}), 409)
    go_on.set()
    thread.join()
    assert answers[0].status_code == 200
    assert said(send(operator, path, {"text": "on it"})) == said(answers[0])
    assert comments() == 1


@pytest.mark.usefixtures("real_database")
def test_of_eight_at_once_exactly_one_works(operator, path):
    gate, answers = threading.Barrier(8), []

    def one() -> None:
        try:
            gate.wait()
            answers.append(send(operator, path, {"text": "on it"}))
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted({answer.status_code for answer in answers}) in ([200], [200, 409])
    assert [answer.status_code for answer in answers if not answer.has_header(REPLAYED)].count(200) == 1
    assert (len(answers), comments()) == (8, 1)
