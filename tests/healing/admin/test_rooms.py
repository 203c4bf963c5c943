"""Every list and every page: who may see it, what it says when it is empty, that nothing is changed but by an act."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from healing import access, governance
from healing.admin.base import PageAdmin, ReadOnlyAdmin, address_of
from healing.models import (
    Backoff,
    Control,
    DomainApprover,
    Incident,
    LedgerEntry,
    LedgerHead,
    LedgerOutbox,
    Record,
    Run,
    Service,
    Token,
    TrustScore,
    User,
)
from selfheal.canonical import dumps
from tests.factories import (
    PASSWORD,
    make_incident,
    make_line,
    make_playbook,
    make_problem,
    make_request,
    make_run,
    make_service,
    make_step,
    make_unmatched,
    make_user,
)

from .conftest import text_of

pytestmark = pytest.mark.django_db

ROOMS = [model for model in admin.site._registry if model._meta.app_label in ("healing", "auth")]


def list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def act(thing: Any, name: str, key: str = "pk") -> str:
    return address_of(thing, key).replace("/change/", f"/act/{name}/")


def write_entry(index: int, action: str = "run.proposed") -> LedgerEntry:
    at = timezone.now()
    leaf = dumps({"actor": "scheduler", "action": action, "resource": "run:1", "payload": {"<b>": "x"}, "at": "now"})
    return LedgerEntry.objects.create(
        index=index,
        outbox_id=20_000 + index,
        leaf=leaf,
        leaf_hash=b"h" * 32,
        signature=b"s" * 64,
        key_id="abcd1234",
        actor="scheduler",
        action=action,
        resource="run:1",
        subsystem="healing",
        at=at,
    )


@pytest.fixture
def full_house() -> None:
    """At least one row in each room."""
    web = make_service("web", hosts=2)
    make_service("shop", depends_on=[web])
    run = make_run(make_incident(web), make_playbook(), status="failed", reason="it did not help")
    make_step(run, stdout="<b>out</b>", stdout_bytes=10)
    make_request(run, status="approved")
    make_unmatched()
    make_line(run.incident, "run.proposed")
    Record.objects.create(diagnosis="service_down", playbook="restart-unit", started=3, succeeded=2)
    DomainApprover.objects.create(domain="host", user=make_user("ann", role="approver"))
    Backoff.objects.create(service=web, target="web-01", diagnosis="service_down", next_allowed_at=timezone.now())
    make_problem(web)
    TrustScore.objects.create(kind="playbook", name="restart-unit")
    write_entry(0)
    LedgerHead.objects.create(size=1, root=b"r" * 32, note="origin\n1\n", at=timezone.now())
    governance.control()


@pytest.mark.parametrize("model", ROOMS, ids=lambda model: model._meta.model_name)
def test_an_empty_room_says_what_to_do_next(sign_in: Any, model: Any) -> None:
    response = sign_in("root", "admin").get(list_of(model), follow=True)
    assert response.status_code == 200
    if isinstance(admin.site._registry[model], ReadOnlyAdmin) and not model.objects.exists() and model is not Control:
        assert admin.site._registry[model].empty_title in text_of(response)


@pytest.mark.parametrize("model", ROOMS, ids=lambda model: model._meta.model_name)
def test_a_full_room_lists_and_searches(sign_in: Any, full_house: None, model: Any) -> None:
    client = sign_in("root", "admin")
    assert client.get(list_of(model), {"status": "all"}, follow=True).status_code == 200
    assert client.get(list_of(model), {"q": "we b\x00% 9"}, follow=True).status_code == 200


@pytest.mark.parametrize("model", ROOMS, ids=lambda model: model._meta.model_name)
def test_every_page_shows(sign_in: Any, full_house: None, model: Any) -> None:
    client, room = sign_in("root", "admin"), admin.site._registry[model]
    for row in model.objects.all()[:3]:
        response = client.get(address_of(row, getattr(room, "page_key", "pk")))
        assert response.status_code == 200
        assert "<b>out</b>" not in text_of(response)


@pytest.mark.parametrize("model", ROOMS, ids=lambda model: model._meta.model_name)
def test_nobody_without_a_role_sees_anything(full_house: None, model: Any) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", password=PASSWORD, is_staff=True))
    assert client.get(list_of(model), follow=True).status_code == 403
    for row in model.objects.all()[:1]:
        assert client.get(address_of(row)).status_code in (403, 404)


@pytest.mark.parametrize("model", ROOMS, ids=lambda model: model._meta.model_name)
def test_rows_are_read_only_for_superusers_too(full_house: None, model: Any) -> None:
    if model in (User,):
        return
    client, room = Client(), admin.site._registry[model]
    client.force_login(User.objects.create_superuser("super", password=PASSWORD))
    assert client.get(f"{list_of(model)}add/").status_code in ((200,) if model is DomainApprover else (403, 404))
    for row in model.objects.all()[:1]:
        page = address_of(row, getattr(room, "page_key", "pk"))
        assert client.post(page, {}).status_code in (403, 405)
        assert client.post(page.replace("/change/", "/delete/"), {"post": "yes"}).status_code in (403, 404)
    assert client.post(list_of(model), {"action": "delete_selected", "_selected_action": ["1"]}).status_code in (200, 302, 403)
    assert room.get_actions(_request(client)) == {}


def _request(client: Client) -> Any:
    from django.test import RequestFactory

    request = RequestFactory().get("/")
    request.user = User.objects.get(username="super")
    return request


@pytest.mark.parametrize("model", ROOMS, ids=lambda model: model._meta.model_name)
def test_every_act_is_refused_to_a_viewer_and_by_get(sign_in: Any, full_house: None, model: Any) -> None:
    room, client = admin.site._registry[model], sign_in("vera", "viewer")
    if not isinstance(room, PageAdmin):
        return
    for row in model.objects.all()[:1]:
        for each in room.acts:
            address = act(row, each.name, room.page_key)
            assert client.post(address, {"comment": "x"}).status_code == 403
            assert client.get(address).status_code in (403, 405)
        assert '<dialog id="dialog-' not in text_of(client.get(address_of(row, room.page_key)))


def test_an_unknown_act_is_not_found(sign_in: Any, full_house: None) -> None:
    assert sign_in("root", "admin").post(act(Run.objects.get(), "delete")).status_code == 404


def test_who_is_not_signed_in_is_asked_to(full_house: None) -> None:
    response = Client().get("/admin/")
    assert response.status_code == 302
    page = text_of(Client().get(response["Location"]))
    assert "Observing" not in page
    assert "Executing" not in page


def test_an_incident_is_acknowledged_through_the_service(sign_in: Any) -> None:
    incident, client = make_incident(), sign_in("op", "operator")
    after = client.post(act(incident, "acknowledge"), {"comment": "looking"}, follow=True)
    incident.refresh_from_db()
    assert incident.status == "ack"
    page = text_of(after)
    assert "looking" in page
    assert "not yet in the log" in page
    again = text_of(client.post(act(incident, "acknowledge"), {"comment": ""}, follow=True))
    assert "cannot become ack" in again


def test_an_incident_is_resolved_closed_and_commented(sign_in: Any) -> None:
    incident, client = make_incident(), sign_in("op", "operator")
    assert "a reason is required" in text_of(client.post(act(incident, "comment"), {"comment": ""}, follow=True))
    assert "the fuse was blown" in text_of(client.post(act(incident, "comment"), {"comment": "the fuse was blown"}, follow=True))
    client.post(act(incident, "resolve"), {"comment": ""})
    client.post(act(incident, "close"), {"comment": "done"})
    incident.refresh_from_db()
    assert incident.status == "closed"


def test_an_incident_says_why_nothing_is_done(sign_in: Any) -> None:
    soon = timezone.now() + timedelta(minutes=7, seconds=5)
    why = {"skip": "backoff", "reason": "the second in a row waits", "since": "2026-11-24T03:00:00+00:00", "at": soon.isoformat()}
    incident = make_incident(why=why, next_look_at=soon)
    page = text_of(sign_in().get(address_of(incident)))
    assert "It waits before it is proposed again" in page
    assert "the second in a row waits" in page
    assert "Looked at next" in page
    assert ">in 7 min<" in page


def test_a_line_of_the_timeline_leads_to_its_log_entry(sign_in: Any) -> None:
    line = make_line(make_incident(), "run.proposed", outbox_id=20_007)
    write_entry(7)
    page = text_of(sign_in().get(address_of(line.incident)))
    assert f'href="{reverse("admin:healing_ledgerentry_change", args=[7])}">log 7</a>' in page


def test_a_run_that_waits_is_aborted_and_one_that_is_over_says_so(sign_in: Any) -> None:
    run, client = make_run(), sign_in("op", "operator")
    assert "Aborted before it started." in text_of(client.post(act(run, "abort"), {"comment": "wrong host"}, follow=True))
    run.refresh_from_db()
    assert (run.status, run.abort_reason) == ("aborted", "operator")
    assert "The run is over" in text_of(client.post(act(run, "abort"), {"comment": "again"}, follow=True))


def test_long_output_is_folded_and_what_was_cut_is_said(sign_in: Any) -> None:
    run = make_run(status="failed")
    make_step(run, status="failed", stderr="x" * 700, stderr_bytes=5_000_000, message="exit 1")
    page = text_of(sign_in().get(address_of(run)))
    assert "stderr, 5000000 bytes, not all kept" in page
    assert '-stderr" class="sh-output" >' in page


def test_a_symptom_that_is_still_there_does_not_look_like_a_failure(sign_in: Any) -> None:
    run = make_run(status="succeeded")
    make_step(run, phase="symptom", name="http_health", action="http_health", status="failed")
    page = text_of(sign_in().get(address_of(run)))
    assert '<span class="sh-badge sh-plain">still wrong</span>' in page


def test_an_operator_pulls_the_kill_switch_and_an_approver_releases_it(sign_in: Any) -> None:
    op, ann, row = sign_in("op", "operator"), sign_in("ann", "approver"), governance.control()
    assert "a reason is required" in text_of(op.post(act(row, "kill"), {"comment": ""}, follow=True))
    page = text_of(op.post(act(row, "kill"), {"comment": "it goes wild"}, follow=True))
    assert governance.kill_state() == "kill"
    assert "Kill switch: everything was stopped, nothing starts." in page
    assert 'id="dialog-release"' not in page
    assert op.post(act(row, "release"), {"comment": "x"}).status_code == 403
    ann.post(act(row, "release"), {"comment": "found it"})
    assert governance.kill_state() == "off"
    assert any(b"kill_switch.set" in bytes(leaf.leaf) for leaf in LedgerOutbox.objects.all())


def test_a_stop_file_is_shown_on_every_page(sign_in: Any, settings: Any, tmp_path: Any) -> None:
    settings.SELF_HEAL_HOME = tmp_path
    (tmp_path / "STOP").touch()
    client = sign_in()
    assert "Kill switch: everything was stopped" in text_of(client.get(list_of(Run)))
    assert "A file STOP in the home" in text_of(client.get(list_of(Control), follow=True))


@pytest.mark.parametrize(
    ("execute", "observe", "said"),
    [(False, True, "Observing: decisions are shown, nothing runs."), (False, False, "Switched off"), (True, False, "Executing")],
)
def test_the_mode_is_shown_on_every_page(sign_in: Any, settings: Any, execute: bool, observe: bool, said: str) -> None:
    settings.SELF_HEAL_EXECUTE, settings.SELF_HEAL_OBSERVE_ONLY = execute, observe
    assert said in text_of(sign_in().get(list_of(Incident)))


def test_times_are_in_the_zone_of_the_person_and_name_it(sign_in: Any) -> None:
    moment = timezone.now().replace(month=1, day=2, hour=23, minute=30)
    incident = make_incident(opened_at=moment)
    page = text_of(sign_in("yuki", time_zone="Asia/Tokyo").get(address_of(incident)))
    assert "3 Jan" in page
    assert "08:30 JST" in page
    assert "Times in Asia/Tokyo (JST)" in page
    assert "23:30 UTC" in text_of(sign_in("ulf", time_zone="Nowhere/Land").get(address_of(incident)))
    assert "20:30 UTC-03" in text_of(sign_in("rio", time_zone="America/Sao_Paulo").get(address_of(incident)))


def test_the_sidebar_lists_only_what_one_may_view(sign_in: Any) -> None:
    viewer, root = text_of(sign_in("vera").get("/admin/")), text_of(sign_in("root", "admin").get("/admin/"))
    assert list_of(Incident) in viewer
    assert list_of(Token) not in viewer
    assert list_of(User) not in viewer
    assert list_of(Token) in root


def test_the_sidebar_counts_what_waits(sign_in: Any) -> None:
    make_request()
    make_request(make_run(make_incident(make_service("db"))), at=timezone.now() - timedelta(hours=2))  # has expired
    groups = sign_in().get("/admin/").context["sidebar_navigation"]
    work = {item["title"]: item.get("badge") for item in groups[1]["items"]}
    assert {title: badge for title, badge in work.items() if badge} == {"Approvals": "1", "Incidents": "2"}
    assert {"Runs", "Problems", "Unmatched alerts", "Signals", "Silences"} < set(work)


def test_the_first_page_says_what_needs_a_person(sign_in: Any) -> None:
    client = sign_in()
    assert "No service is declared yet, so no alert finds its place." in text_of(client.get("/admin/"))
    request = make_request()
    page = text_of(client.get("/admin/"))
    assert request.title in page
    assert "Instance is down" in page


def test_the_queue_shows_what_is_pending_first(sign_in: Any, full_house: None) -> None:
    client = sign_in()
    assert "Nothing waits for a decision" in text_of(client.get("/admin/healing/approvalrequest/"))
    assert "web / web-01" in text_of(client.get("/admin/healing/approvalrequest/?status=approved"))
    assert "Nothing matches" in text_of(client.get("/admin/healing/approvalrequest/?status=all&q=nowhere"))


def test_lists_ask_the_database_a_fixed_number_of_times(sign_in: Any, django_assert_max_num_queries: Any) -> None:
    web, client = make_service("web", hosts=12), sign_in()
    for target in web.targets.all():
        make_request(make_run(make_incident(web, target=target.name)))
    for model in (Run, Incident, Service):
        with django_assert_max_num_queries(20):
            client.get(list_of(model))
    with django_assert_max_num_queries(20):
        assert "web-12" in text_of(client.get("/admin/healing/approvalrequest/"))


def test_the_log_is_found_by_index_action_actor_and_resource(sign_in: Any) -> None:
    write_entry(3), write_entry(4, "run.aborted")
    client = sign_in()
    for term, found in (("3", [3]), ("run.aborted", [4]), ("run:1", [4, 3]), ("scheduler", [4, 3]), ("run.ab", [])):
        rows = client.get(list_of(LedgerEntry), {"q": term}).context["cl"].result_list
        assert [row.index for row in rows] == found


def test_an_admin_makes_a_user_with_a_role_and_the_log_tells(sign_in: Any) -> None:
    root = sign_in("root", "admin")
    viewer = make_user("vera").groups.get()
    form = {"username": "new", "usable_password": "true", "password1": "a long password 1", "password2": "a long password 1"}
    root.post("/admin/healing/user/add/", {**form, "groups": [viewer.pk]})
    made = User.objects.get(username="new")
    assert (made.is_staff, access.role_of(made), made.is_superuser) == (True, "viewer", False)
    leaves = [bytes(row.leaf) for row in LedgerOutbox.objects.all()]
    assert any(b'"user.created"' in leaf and b'"roles":["viewer"]' in leaf for leaf in leaves)
    assert not any(b"a long password" in leaf for leaf in leaves)


def test_an_admin_can_neither_become_a_superuser_nor_touch_one(sign_in: Any) -> None:
    root, boss = sign_in("root", "admin"), User.objects.create_superuser("boss", password=PASSWORD)
    assert "is_superuser" not in root.get(address_of(root.user)).content.decode()
    form = {"username": "root", "is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": [root.user.groups.get().pk]}
    root.post(address_of(root.user), form)
    assert root.post(address_of(boss), {"username": "boss2"}).status_code == 403
    assert root.post(f"/admin/healing/user/{boss.pk}/password/", {}).status_code == 403
    assert not User.objects.get(username="root").is_superuser
    assert User.objects.filter(username="boss").exists()


def test_a_changed_password_stands_in_the_log_without_it(sign_in: Any) -> None:
    root, vera = sign_in("root", "admin"), make_user("vera")
    form = {"usable_password": "true", "password1": "a long password 1", "password2": "a long password 1"}
    root.post(f"/admin/healing/user/{vera.pk}/password/", form)
    vera.refresh_from_db()
    assert vera.check_password("a long password 1")
    assert any(b'"user.password_changed"' in bytes(row.leaf) for row in LedgerOutbox.objects.all())


def test_a_token_is_shown_without_its_secret_and_revoked(sign_in: Any) -> None:
    root = sign_in("root", "admin")
    token, text = access.create_token(root.user, ["read"], timedelta(days=1), "ci", "root", timezone.now())
    pages = text_of(root.get(list_of(Token))) + text_of(root.get(address_of(token, "public_id")))
    assert "ci" in pages
    for secret in (text, token.digest, token.token_key):
        assert secret not in pages
    after = root.post(act(token, "revoke", "public_id"), {}, follow=True)
    assert "The token ci is revoked." in text_of(after)
    assert not Token.objects.exists()


def test_a_service_changes_its_mode_through_the_catalog(sign_in: Any) -> None:
    web, db = make_service("web", hosts=2, mode="observe", depends_on=[make_service("db")]), Service.objects.get(name="db")
    assert sign_in("op", "operator").post(act(web, "mode"), {"mode": "auto"}).status_code == 403
    page = text_of(sign_in("root", "admin").post(act(web, "mode"), {"mode": "ask"}, follow=True))
    web.refresh_from_db()
    assert web.mode == "ask", page
    assert list(web.depends_on.all()) == [db]
    assert web.targets.count() == 2


def test_no_page_fetches_from_elsewhere(sign_in: Any, full_house: None) -> None:
    page = sign_in("root", "admin").get("/admin/").content.decode()
    assert "//fonts." not in page
    assert 'src="http' not in page
    assert settings.STATIC_URL + "healing/healing.css" in page
