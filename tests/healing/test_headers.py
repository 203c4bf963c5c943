"""What a browser is told to load, keep and send on; over https and plain http."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from healing.middleware import policy_for
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PAGES = [
    "/admin/login/",
    "/healthz",
    "/api/docs",
    "/api/schema",
    "/api/self_heal/incidents",
    "/nothing",
    "/static/healing/healing.js",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_says_what_may_be_loaded_and_that_nobody_frames_it(path: str) -> None:
    answer = Client().get(path)
    policy = answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_scripts_in_pages_are_allowed_nowhere_and_eval_only_in_the_admin() -> None:
    for path in PAGES:
        rules = dict(rule.split(" ", 1) for rule in policy_for(path).split("; "))
        assert "unsafe-inline" not in rules.get("script-src", rules["default-src"])
        assert ("unsafe-eval" in rules.get("script-src", "")) == path.startswith("/admin/")
        assert "http" not in policy_for(path)


@pytest.mark.parametrize("path", ["/admin/login/", "/api/docs"])
def test_no_page_holds_a_script_of_its_own(path: str) -> None:
    tags = re.findall(r"<script\b([^>]*)>", Client().get(path).content.decode())
    assert tags
    assert all("src=" in tag for tag in tags)


def test_a_view_may_say_more_strictly_what_it_allows() -> None:
    from django.http import HttpResponse
    from django.test import RequestFactory

    from healing.middleware import HeadersMiddleware

    own = HttpResponse(headers={"Content-Security-Policy": "sandbox"})
    assert HeadersMiddleware(lambda request: own)(RequestFactory().get("/"))["Content-Security-Policy"] == "sandbox"


OVER_HTTPS = """
import django; django.setup()
from django.conf import settings
from django.test import Client
plain = Client().get("/admin/login/", headers={"Host": "heal.example"})
print(plain.status_code, plain["Location"])
client = Client()
page = client.get("/admin/login/", headers={"Host": "heal.example", "X-Forwarded-Proto": "https"})
print(page.status_code, page["Strict-Transport-Security"])
csrf = client.cookies["selfheal_csrf"]
print(csrf["secure"], csrf["samesite"])
print(settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_SAMESITE, settings.SESSION_COOKIE_HTTPONLY)
print(Client().get("/healthz", headers={"Host": "localhost"}).status_code)
"""


def test_behind_https_cookies_and_redirects_insist_on_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SELF_HEAL_", "DATABASE_URL"))}
    environment |= {
        "SELF_HEAL_HOME": str(tmp_path),
        "SELF_HEAL_BASE_URL": "https://heal.example",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", OVER_HTTPS], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines() == [
        "301 https://heal.example/admin/login/",
        "200 max-age=31536000",
        "True Lax",
        "True Lax True",
        "200",
    ], done.stderr


def test_pages_behind_the_sign_in_are_not_kept_by_anything_between() -> None:
    client = Client()
    client.force_login(make_user())
    for path in ("/admin/", "/admin/account/", "/admin/second-factor/"):
        assert "no-store" in client.get(path)["Cache-Control"]


def test_the_bare_address_leads_to_the_admin() -> None:
    answer = Client().get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
