import io
import json

import pytest
from django.test import override_settings
from django.utils import timezone

from healing.models import Episode, Incident, LedgerOutbox, Token, UnmatchedAlert
from tests.healing.intake.conftest import alert, body, declare

from .conftest import Api, problem, user

PATH = "alerts/alertmanager"


def stored():
    return (Incident.objects.count(), Episode.objects.count(), UnmatchedAlert.objects.count())


def test_a_body_is_answered_202_with_what_became_of_each_alert(sender, at):
    declare("web", "web-01")
    response = sender.post(PATH, body(alert(at), alert(at, fingerprint="f2", service="nobody"), {"labels": {}}))
    assert response.status_code == 202
    answer = response.json()
    (incident,) = Incident.objects.all()
    assert (answer["accepted"], answer["unmatched"], answer["incidents"]) == (1, 1, [str(incident.pk)])
    assert answer["rejected"] == [{"index": 2, "field": "status", "reason": "Object missing required field `status`"}]


def test_the_entry_names_the_user_and_the_token(sender, at):
    declare("web", "web-01")
    sender.post(PATH, body(alert(at)))
    leaf = json.loads(bytes(LedgerOutbox.objects.order_by("-pk")[0].leaf))
    assert (leaf["actor"], leaf["payload"]["token"]) == ("alertmanager", str(sender.token.public_id))


def test_a_plain_alert_is_answered_alike(sender):
    declare("web", "web-01")
    assert sender.post("alerts", {"service": "web", "target": "web-01"}).json()["accepted"] == 1
    assert sender.post("alerts", [{"service": "web"}, 7]).json()["rejected"][0]["index"] == 1
    assert problem(sender.post("alerts", {"service": 1}), 400)["field"] == "service"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer a b", "Basic YTpi", "Bearer nonsense", "Bearer \xff", "Bearer " + "a" * 5_000, "Bearer \x00"]
)
def test_a_bad_token_is_401_and_stores_nothing(sender, at, header):
    sender.headers = {"Authorization": header} if header else {}
    response = sender.post(PATH, body(alert(at)))
    problem(response, 401)
    assert response["WWW-Authenticate"] == "Bearer"
    assert stored() == (0, 0, 0)


def test_a_token_without_the_scope_is_403(reader, at):
    assert "scope ingest" in problem(reader.post(PATH, body(alert(at))), 403)["detail"]


def test_a_revoked_token_is_refused_at_once(sender, at, revoke):
    assert sender.post(PATH, body()).status_code == 202
    revoke(sender.token)
    problem(sender.post(PATH, body()), 401)


def test_an_expired_token_is_refused_and_stays_to_be_seen(sender, at):
    Token.objects.update(expiry=timezone.now())
    assert "expired" in problem(sender.post(PATH, body()), 401)["detail"]
    assert Token.objects.count() == 1


def test_the_token_of_a_user_who_is_not_active_is_refused(sender):
    sender.user.is_active = False
    sender.user.save()
    problem(sender.post(PATH, body()), 401)


def test_a_session_cannot_deliver_alerts(at):
    api = Api()
    api.client.force_login(user("root", "admin"))
    problem(api.post(PATH, body(alert(at))), 401)


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_another_method_is_405(sender, method):
    response = getattr(sender.client, method)(f"/api/self_heal/{PATH}", headers=sender.headers)
    problem(response, 405)
    assert response["Allow"] == "POST"


def test_another_content_type_is_415(sender):
    problem(sender.post(PATH, body(), content_type="application/x-www-form-urlencoded"), 415)


@override_settings(SELF_HEAL_EXECUTE=False, SELF_HEAL_OBSERVE_ONLY=False)
def test_while_the_mode_is_off_there_is_nothing_here(sender, anonymous):
    problem(sender.post(PATH, body()), 404)
    problem(anonymous.post("alerts", {}), 404)


@pytest.mark.parametrize(
    "text",
    [b" ", b"{", b'{"alerts": [}', b"[]", b"\xff\xfe", b'{"alerts": "x"}', b'{"alerts":' + b"[" * 100_000, b"[" * 40 + b"]" * 40],
)
def test_a_malformed_body_is_a_clear_400_and_nothing_is_stored(sender, text):
    assert problem(sender.post(PATH, text), 400)["detail"]
    assert stored() == (0, 0, 0)


def test_bad_alerts_are_named_and_the_good_one_is_stored(sender, at):
    declare("web", "web-01")
    many = {f"l{n}": "x" for n in range(10_000)}
    bad = [
        {**alert(at), "labels": many},
        {**alert(at), "status": "unknown"},
        {**alert(at), "labels": {"a": "x\0y"}},
        {key: value for key, value in alert(at).items() if key != "labels"},
        {**alert(at), "labels": {"deep": [[[[]]]]}},
    ]
    answer = sender.post(PATH, body(*bad, alert(at))).json()
    assert [r["field"] for r in answer["rejected"]] == ["labels", "status", "labels.a", "labels", "labels"]
    assert "may have 100 labels, this one has 10,000" in answer["rejected"][0]["reason"]
    assert stored() == (1, 1, 0)


def test_labels_that_look_like_log_lines_forge_none(sender, at, caplog):
    declare("web", "web-01")
    evil = "x\n2026-11-25 CRITICAL forged\r\x1b[2J\u2028"
    sender.post(PATH, body(alert(at, note=evil), alert(at, fingerprint="f2", service=evil), {**alert(at), "status": evil}))
    sender.post(PATH, body(alert(at, **{evil: "\0"})))
    assert caplog.records
    for record in caplog.records:
        assert record.getMessage().isprintable()


class Endless(io.RawIOBase):
    """A body that counts what is read of it."""

    def __init__(self, length):
        self.left, self.taken = length, 0

    def read(self, size=-1):
        size = self.left if size is None or size < 0 else min(size, self.left)
        self.left -= size
        self.taken += size
        return b" " * size


def stream(api, length, **extra):
    source = Endless(length)
    environ = {"wsgi.input": source, "CONTENT_TYPE": "application/json", **extra}
    response = api.client.post(f"/api/self_heal/{PATH}", headers=api.headers, content_type="application/json", **environ)
    return response, source


def test_a_body_of_40_mib_is_413_before_a_byte_is_read(sender):
    response, source = stream(sender, 40 * 2**20, CONTENT_LENGTH=str(40 * 2**20))
    assert "33,554,432 bytes" in problem(response, 413)["detail"]
    assert source.taken == 0


def test_a_chunked_body_of_40_mib_is_413_and_is_not_read_on(sender):
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    response, source = stream(sender, 40 * 2**20, **chunked)
    problem(response, 413)
    assert source.taken == 32 * 2**20 + 1


def test_a_chunked_body_is_read(sender, at):
    text = body(alert(at))
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    environ["wsgi.input"] = io.BytesIO(text)
    response = sender.client.post(f"/api/self_heal/{PATH}", headers=sender.headers, content_type="application/json", **environ)
    assert response.json()["unmatched"] == 1


def test_ten_thousand_alerts_in_one_body_are_taken(sender, at):
    declare("web", *[f"web-{n:05d}" for n in range(1_000)])
    group = [alert(at, fingerprint=f"f{n}", instance=f"web-{n % 1_000:05d}:9100") for n in range(10_000)]
    assert sender.post(PATH, body(*group)).json()["accepted"] == 10_000
    assert stored() == (1_000, 10_000, 0)
    assert sender.post(PATH, body(*group)).json()["deduplicated"] == 10_000


def test_the_last_use_of_a_token_is_written_at_most_once_a_minute(sender, django_assert_num_queries):
    sender.post(PATH, body())
    used = Token.objects.get().last_used_at
    assert used
    with django_assert_num_queries(1):
        sender.post(PATH, body())
    assert Token.objects.get().last_used_at == used
