"""What the settings module does at its edges, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.env import load

DOCTOR = "from config.cli.doctor import _proxies as look; print(look().ok, look().mend)"


def manage(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SELF_HEAL_")}
    for name in ("DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment | {"SELF_HEAL_HOME": str(home)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_setting_is_a_line_and_status_2_not_a_traceback(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", SELF_HEAL_PORT="none", SELF_HEAL_POLL_SECONDS="-3")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "selfheal: SELF_HEAL_POLL_SECONDS='-3' must be 1 or more",
        "selfheal: SELF_HEAL_PORT='none' must be a whole number",
    ]


def test_behind_https_the_deployment_checks_are_clean(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", SELF_HEAL_BASE_URL="https://heal.example")
    assert done.returncode == 0, done.stderr


def test_the_doctor_asks_for_the_proxies_of_an_https_address(tmp_path: Path) -> None:
    shown = manage(tmp_path, "shell", "-v", "0", "-c", DOCTOR, SELF_HEAL_BASE_URL="https://heal.example").stdout
    assert "False SELF_HEAL_PROXIES=1" in shown


def test_the_secret_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    show = ("shell", "-v", "0", "-c", "from django.conf import settings; print(settings.SECRET_KEY)")
    first, second = manage(home, *show), manage(home, *show)
    assert first.stdout == second.stdout != "\n"
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("variable", ["DATABASE_URL", "CELERY_BROKER_URL"])
def test_a_wrong_address_does_not_repeat_its_password(tmp_path: Path, variable: str) -> None:
    done = manage(tmp_path, "check", **{variable: "mongo://me:hunter2@db"})
    assert done.returncode == 2
    assert "hunter2" not in done.stderr


def test_every_setting_is_declared_with_its_type() -> None:
    import config.settings

    assert set(load({})) - {"SECRET_KEY", "DATABASE_URL"} <= set(config.settings.__annotations__)
