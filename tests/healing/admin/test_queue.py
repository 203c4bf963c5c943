"""The queue: the most urgent first, several answered at once, views kept by name, news without a reload, one's own zone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from healing.admin import live
from healing.admin.base import address_of
from healing.models import ApprovalRequest, Incident, LedgerOutbox, Run, SavedFilter
from tests.factories import make_incident, make_playbook, make_request, make_run, make_service, make_user

from .conftest import text_of

pytestmark = pytest.mark.django_db

QUEUE = "/admin/healing/approvalrequest/"


def ask(target: str, impact: str = "low", minutes: int = 60, **fields: Any) -> ApprovalRequest:
    service = make_service(target)
    run = make_run(make_incident(service), make_playbook(f"heal-{target}", impact=impact))
    title = f"{impact} on {target}"
    expires = timezone.now() + timedelta(minutes=minutes)
    return make_request(run, **{"title": title, "impact": impact, "expires_at": expires, **fields})


def answer(client: Any, name: str, *requests: ApprovalRequest, comment: str = "all of them") -> str:
    said = {"ids": [str(request.pk) for request in requests], "comment": comment}
    return text_of(client.post(f"{QUEUE}bulk/{name}/", said, follow=True))


def statuses() -> dict[str, str]:
    return dict(ApprovalRequest.objects.values_list("title", "status"))


def test_the_greater_impact_comes_first_then_what_expires_sooner(sign_in: Any) -> None:
    for target, impact, minutes in (("a", "low", 5), ("b", "high", 50), ("c", "critical", 55), ("d", "high", 20)):
        ask(target, impact, minutes)
    page = text_of(sign_in().get(QUEUE))
    order = [page.index(title) for title in ("critical on c", "high on d", "high on b", "low on a")]
    assert order == sorted(order)


def test_several_are_rejected_with_one_reason(sign_in: Any) -> None:
    requests = [ask("a"), ask("b", "critical"), ask("c")]
    page = answer(sign_in("ann", "approver"), "reject", *requests[:2], comment="planned work")
    assert "2 rejected." in page
    assert statuses() == {"low on a": "rejected", "critical on b": "rejected", "low on c": "pending"}
    assert {run.status for run in Run.objects.filter(pk__in=[r.subject_id for r in requests[:2]])} == {"rejected"}
    leaves = [bytes(leaf) for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)]
    assert [b"planned work" in leaf for leaf in leaves if b'"approval.vote"' in leaf] == [True, True]


def test_a_rejection_of_several_says_why(sign_in: Any) -> None:
    page = answer(sign_in("ann", "approver"), "reject", ask("a"), comment=" ")
    assert "Say why you reject it" in page
    assert statuses() == {"low on a": "pending"}


def test_each_row_says_what_became_of_it(sign_in: Any, settings: Any) -> None:
    settings.SELF_HEAL_FOUR_EYES_FROM = "low"
    client = sign_in("ann", "approver")
    good, late, medium = ask("a"), ask("b", minutes=-1), ask("c", "medium")
    own, twice = ask("d", requester=client.user), ask("e", needed=2)
    twice.votes.create(user=client.user, approve=True, via="page", at=timezone.now())
    page = answer(client, "approve", good, late, medium, own, twice, ask("f"))
    assert "2 approved." in page
    assert "low on b: The request has expired; if the trouble goes on, a new one will come." in page
    assert "medium on c: Is of medium impact: approve it on its own page." in page
    assert "low on d: You asked for this yourself" in page
    assert "low on e: Ann has answered this request already." in page
    assert [title for title, status in statuses().items() if status == "approved"] == ["low on a", "low on f"]
    assert Run.objects.get(pk=good.subject_id).status == "queued"


def test_an_approval_of_several_that_is_not_the_last_one_needed_says_so(sign_in: Any) -> None:
    assert "1 your approval counts, more are needed." in answer(sign_in("ann", "approver"), "approve", ask("a", needed=2))


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_decide_is_offered_no_choice_and_refused(sign_in: Any, role: str) -> None:
    request, client = ask("a"), sign_in("vera", role)
    page = text_of(client.get(QUEUE))
    assert "sh-choose" not in page
    assert "sh-bulk" not in page
    assert client.post(f"{QUEUE}bulk/approve/", {"ids": [str(request.pk)], "comment": "x"}).status_code == 403
    assert statuses() == {"low on a": "pending"}


def test_several_are_answered_by_post_alone_and_only_in_the_two_ways(sign_in: Any) -> None:
    client = sign_in("ann", "approver")
    assert client.get(f"{QUEUE}bulk/approve/").status_code == 405
    assert client.post(f"{QUEUE}bulk/delete/").status_code == 404


@pytest.mark.parametrize("ids", [[], ["x"], ["'; --"], ["00000000-0000-0000-0000-000000000000"] * 51])
def test_a_choice_that_is_none_is_refused_in_words(sign_in: Any, ids: list[str]) -> None:
    client = sign_in("ann", "approver")
    page = text_of(client.post(f"{QUEUE}bulk/approve/", {"ids": ids, "comment": ""}, follow=True))
    assert "Choose from 1 to 50 requests." in page


def test_a_request_that_is_gone_is_named(sign_in: Any) -> None:
    request, client = ask("a"), sign_in("ann", "approver")
    ApprovalRequest.objects.all().delete()
    assert f"{request.pk}: There is no such request." in answer(client, "approve", request)


@pytest.mark.parametrize("page", ["approvalrequest", "incident", "run"])
def test_a_view_is_saved_opened_and_removed(sign_in: Any, page: str) -> None:
    client, address = sign_in(), f"/admin/healing/{page}/"
    shown = text_of(client.get(address, {"q": "web", "p": "1", "status": "all"}))
    assert 'value="q=web&amp;status=all"' in shown or "q=web&amp;status=all" in shown
    said = client.post(f"{address}filters/", {"name": "Mine <b>", "query": "status=all&p=3&q=web&e=1"})
    assert (said.status_code, said["Location"]) == (302, f"{address}?q=web&status=all")
    mine = SavedFilter.objects.get()
    assert (mine.user, mine.page, mine.query) == (client.user, address, "q=web&status=all")
    shown = text_of(client.get(said["Location"]))
    assert 'aria-current="page">Mine &lt;b&gt;</a>' in shown
    assert "Save this view" not in shown
    client.post(f"{address}filters/{mine.pk}/remove/")
    assert not SavedFilter.objects.exists()


def test_a_name_that_one_has_already_is_written_over(sign_in: Any) -> None:
    client = sign_in()
    for query in ("q=a", "q=b"):
        client.post(f"{QUEUE}filters/", {"name": "mine", "query": query})
    assert SavedFilter.objects.get().query == "q=b"


def test_views_are_ones_own(sign_in: Any) -> None:
    ann = make_user("ann")
    hers = SavedFilter.objects.create(user=ann, page=QUEUE, name="hers", query="q=secret")
    client = sign_in()
    assert "secret" not in text_of(client.get(QUEUE))
    client.post(f"{QUEUE}filters/{hers.pk}/remove/")
    assert SavedFilter.objects.get() == hers
    assert client.get(f"{QUEUE}filters/{hers.pk}/remove/").status_code == 405


def test_there_are_at_most_twenty_and_a_name_is_needed(sign_in: Any) -> None:
    client = sign_in()
    for number in range(20):
        SavedFilter.objects.create(user=client.user, page=QUEUE, name=str(number), query=f"q={number}")
    assert "that is the limit" in text_of(client.post(f"{QUEUE}filters/", {"name": "one more", "query": "q=x"}, follow=True))
    page = text_of(client.post(f"{QUEUE}filters/", {"name": "", "query": "q=x"}, follow=True))
    assert "The filter is not saved." in page
    assert SavedFilter.objects.count() == 20


def test_a_query_that_is_nonsense_hurts_nobody(sign_in: Any) -> None:
    client = sign_in()
    client.post(f"{QUEUE}filters/", {"name": "odd", "query": "impact__exact=no&x__y=1&q=%00&javascript:alert(1)"})
    assert client.get(QUEUE).status_code == 200
    saved = SavedFilter.objects.get()
    assert client.get(f"{QUEUE}?{saved.query}", follow=True).status_code == 200


def news(client: Any, address: str, stamp: str = "") -> Any:
    return client.get(address, headers={"X-Live": "1", **({"If-None-Match": stamp} if stamp else {})})


@pytest.mark.parametrize("page", ["approvalrequest", "incident", "run"])
def test_a_list_without_news_answers_with_nothing(sign_in: Any, page: str) -> None:
    request, client, address = ask("a"), sign_in(), f"/admin/healing/{page}/"
    assert 'data-live="5"' in text_of(client.get(address))
    first = news(client, address)
    assert first.status_code == 200
    assert "<html" not in text_of(first)
    assert 'id="sh-list"' in text_of(first)
    again = news(client, address, first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again["X-Live"].endswith(" UTC")
    ApprovalRequest.objects.update(escalations=1)
    Incident.objects.update(severity="low")
    Run.objects.filter(pk=request.subject_id).update(status="queued")
    assert news(client, address, first["ETag"]).status_code == 200


def test_a_page_without_news_answers_with_nothing_though_time_goes_on(sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request, client = ask("a"), sign_in("ann", "approver")
    for address in (address_of(request), address_of(Run.objects.get()), address_of(Incident.objects.get())):
        first = news(client, address)
        assert "<html" not in text_of(first)
        assert 'id="sh-page"' in text_of(first)
        with monkeypatch.context() as patch:
            now = timezone.now() + timedelta(minutes=3)
            patch.setattr(timezone, "now", lambda now=now: now)
            assert news(client, address, first["ETag"]).status_code == 304
    stamp = news(client, address_of(request))["ETag"]
    request.votes.create(user=make_user("bo", role="approver"), approve=True, via="page", at=timezone.now())
    assert news(client, address_of(request), stamp).status_code == 200


def test_what_is_over_does_not_ask_for_news(sign_in: Any) -> None:
    request = ask("a", status="approved")
    assert "data-live" not in text_of(sign_in().get(address_of(request)))


def test_news_are_for_those_who_may_look(sign_in: Any, client: Any) -> None:
    request = ask("a")
    assert news(client, address_of(request)).status_code == 302
    nobody = sign_in("nobody", "viewer")
    nobody.user.groups.clear()
    assert news(nobody, QUEUE).status_code == 403


def test_the_kill_switch_is_news_on_every_list(sign_in: Any) -> None:
    client = sign_in()
    stamp = news(client, QUEUE)["ETag"]
    settings.SELF_HEAL_HOME.mkdir(parents=True, exist_ok=True)
    stop = settings.SELF_HEAL_HOME / "STOP"
    stop.touch()
    try:
        assert "Kill switch" in text_of(news(client, QUEUE, stamp))
    finally:
        stop.unlink()


def test_only_words_differ_between_two_moments() -> None:
    one = b'<p><time datetime="x" title="t" data-left="9">in 9 s</time> name="csrfmiddlewaretoken" value="abc"</p>'
    assert live.stamp_of(one) == live.stamp_of(one.replace(b"in 9 s", b"in 4 s").replace(b"abc", b"def"))
    assert live.stamp_of(one) != live.stamp_of(one.replace(b'datetime="x"', b'datetime="y"'))


def test_somebody_chooses_the_zone_of_their_times(sign_in: Any) -> None:
    client = sign_in()
    page = text_of(client.get("/admin/time-zone/", {"next": f"{QUEUE}?q=a"}))
    assert "as the installation: UTC" in page
    said = client.post("/admin/time-zone/", {"time_zone": "Asia/Tokyo", "next": f"{QUEUE}?q=a"})
    assert said["Location"] == f"{QUEUE}?q=a"
    assert "Times in Asia/Tokyo (JST)" in text_of(client.get(QUEUE))
    assert client.post("/admin/time-zone/", {"time_zone": "Mars/Base"}).status_code == 200
    assert client.post("/admin/time-zone/", {"time_zone": "", "next": "https://evil.example/"})["Location"] == "/admin/"
    client.user.refresh_from_db()
    assert client.user.time_zone == ""
