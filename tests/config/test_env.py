"""Every setting: its default, what a wrong value says, and what the settings say together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.env import SETTINGS, ConfigError, broker_socket, load

DEFAULTS: dict[str, Any] = {
    "SELF_HEAL_EXECUTE": False,
    "SELF_HEAL_OBSERVE_ONLY": True,
    "SELF_HEAL_RUN_TIMEOUT_MIN": 10,
    "SELF_HEAL_BASE_URL": "http://localhost:8000",
    "ENABLE_CLI_VERIFY": False,
    "SELF_HEAL_POLL_SECONDS": 30,
    "SELF_HEAL_SIGNAL_WINDOW_MIN": 10,
    "SELF_HEAL_DUPLICATE_WINDOW_MIN": 10,
    "SELF_HEAL_BACKOFF_BASE_MIN": 5,
    "SELF_HEAL_BACKOFF_MAX_MIN": 120,
    "SELF_HEAL_PROPOSALS_PER_HOUR": 3,
    "SELF_HEAL_MAX_CONCURRENT_RUNS": 4,
    "SELF_HEAL_STORM_PERCENT": 40,
    "SELF_HEAL_STORM_MIN_SERVICES": 5,
    "SELF_HEAL_AUTOAPPROVE_LOW_RISK": True,
    "SELF_HEAL_PROBLEM_HEALS": 7,
    "SELF_HEAL_PROBLEM_DAYS": 7,
    "SELF_HEAL_RANKER": "fixed",
    "SELF_HEAL_GUARDRAIL_CEILING": "maintain",
    "META_LOOP_CYCLE_SECONDS": 120,
    "SELF_HEAL_FORECASTER": "forecast",
    "SELF_HEAL_PREDICTIVE_SHADOW": True,
    "SELF_HEAL_CHANGE_WINDOW": "Mon-Fri 09:00-18:00",
    "SELF_HEAL_TIME_ZONE": "",
    "SELF_HEAL_APPROVAL_TTL_MIN": 60,
    "SELF_HEAL_START_TTL_MIN": 15,
    "SELF_HEAL_FOUR_EYES_FROM": "high",
    "SELF_HEAL_COMMAND_ALLOW": [],
    "SELF_HEAL_HTTP_ALLOW": [],
    "SELF_HEAL_SECRETS_DIR": Path("/run/secrets"),
    "SELF_HEAL_ALERTMANAGER_URL": "",
    "SELF_HEAL_HEARTBEAT_URL": "",
    "SELF_HEAL_LOG_STRICT": "high",
    "SELF_HEAL_LOG_ORIGIN": "",
    "SELF_HEAL_LOG_LEVEL": "info",
    "SELF_HEAL_KEEP_OUTPUT_DAYS": 90,
    "SELF_HEAL_KEEP_SIGNALS_HOURS": 1,
    "SELF_HEAL_DOCS_URL": "",
    "SELF_HEAL_LOG_FORMAT": "text",
    "SELF_HEAL_SSH_KEY_FILE": Path("/run/secrets/ssh_key"),
    "SELF_HEAL_SSH_KNOWN_HOSTS": Path("config/ssh_known_hosts").absolute(),
    "SELF_HEAL_PROMETHEUS_URL": "",
    "SELF_HEAL_SENSE": [],
    "SELF_HEAL_LOG_WITNESSES": [],
    "SELF_HEAL_LOG_PUSH": [],
    "SELF_HEAL_LOG_PUSH_MIN": 10,
    "SELF_HEAL_NOTIFY_URLS": [],
    "SELF_HEAL_PLAYBOOK_DIRS": [Path("config/playbooks").absolute()],
    "SELF_HEAL_CONFIG_DIR": Path("config").absolute(),
    "SELF_HEAL_HOME": Path("var").absolute(),
    "SELF_HEAL_PORT": 8000,
    "SELF_HEAL_LISTEN": "127.0.0.1",
    "SELF_HEAL_ALLOWED_HOSTS": [],
    "SELF_HEAL_PROXIES": 0,
    "SELF_HEAL_SECOND_FACTOR_ROLES": [],
    "SELF_HEAL_INGEST_PER_MINUTE": 30_000,
    "SELF_HEAL_SIGNING_KEY_FILE": Path("var/signing.key").absolute(),
    "DATABASE_URL": "",
    "CELERY_BROKER_URL": f"redis+socket://{Path('var/run/broker.sock').resolve()}",
    "SECRET_KEY": "",
    "DEBUG": False,
}

WRONG = [
    ("SELF_HEAL_EXECUTE", "maybe", "SELF_HEAL_EXECUTE='maybe' must be true or false"),
    ("SELF_HEAL_OBSERVE_ONLY", "2", "must be true or false"),
    ("SELF_HEAL_RUN_TIMEOUT_MIN", "121", "must be from 1 to 120"),
    ("SELF_HEAL_RUN_TIMEOUT_MIN", "ten", "SELF_HEAL_RUN_TIMEOUT_MIN='ten' must be a whole number"),
    ("SELF_HEAL_BASE_URL", "heal.internal", "must be an http or https URL"),
    ("SELF_HEAL_POLL_SECONDS", "0", "must be 1 or more"),
    ("SELF_HEAL_SIGNAL_WINDOW_MIN", "0", "must be 1 or more"),
    ("SELF_HEAL_DUPLICATE_WINDOW_MIN", "-1", "must be 0 or more"),
    ("SELF_HEAL_BACKOFF_BASE_MIN", "-1", "must be 0 or more"),
    ("SELF_HEAL_BACKOFF_BASE_MIN", "121", "SELF_HEAL_BACKOFF_BASE_MIN is greater than SELF_HEAL_BACKOFF_MAX_MIN: swap them"),
    ("SELF_HEAL_PROPOSALS_PER_HOUR", "0", "must be 1 or more"),
    ("SELF_HEAL_MAX_CONCURRENT_RUNS", "1001", "must be from 0 to 1000"),
    ("SELF_HEAL_STORM_PERCENT", "101", "must be from 1 to 100"),
    ("SELF_HEAL_RANKER", "best", "must be one of fixed, sampling"),
    ("SELF_HEAL_FORECASTER", "oracle", "is no adviser that forecasts; there are: deep, forecast"),
    ("SELF_HEAL_FORECASTER", "anomaly", "is no adviser that forecasts; there are: deep, forecast"),
    ("SELF_HEAL_PROBLEM_HEALS", "-1", "must be from 0 to 1000"),
    ("SELF_HEAL_PROBLEM_DAYS", "0", "must be from 1 to 365"),
    ("SELF_HEAL_GUARDRAIL_CEILING", "relaxed", "must be one of tighten, maintain, loosen"),
    ("SELF_HEAL_CHANGE_WINDOW", "Mon-Fri 9-18", "SELF_HEAL_CHANGE_WINDOW='Mon-Fri 9-18'"),
    ("SELF_HEAL_TIME_ZONE", "Mars/Base", "is no IANA time zone"),
    ("SELF_HEAL_FOUR_EYES_FROM", "huge", "must be one of low, medium, high, critical"),
    ("SELF_HEAL_COMMAND_ALLOW", "/bin/ls,kubectl", "takes absolute paths; 'kubectl' is not one"),
    ("SELF_HEAL_HTTP_ALLOW", "10.0.0.1/8", "takes networks like 10.1.0.0/16"),
    ("SELF_HEAL_ALERTMANAGER_URL", "ftp://x", "must be an http or https URL"),
    ("SELF_HEAL_SENSE", "host,mail", "takes domains that have an adapter; 'mail' is none of host, http, platform"),
    ("SELF_HEAL_LOG_STRICT", "never", "must be one of low, medium, high, critical, all, off"),
    ("SELF_HEAL_LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
    ("SELF_HEAL_LOG_FORMAT", "xml", "must be one of text, json"),
    ("SELF_HEAL_PORT", "70000", "must be from 1 to 65535"),
    ("SELF_HEAL_PROXIES", "-1", "must be from 0 to 10"),
    ("SELF_HEAL_SECOND_FACTOR_ROLES", "approver,root", "takes roles; 'root' is none of viewer, operator, approver, admin"),
    ("DATABASE_URL", "mysql://u:secret@db/x", "DATABASE_URL must begin with postgres://"),
    ("DATABASE_URL", "postgres://u:secret@db:port/x", "DATABASE_URL is no URL"),
    ("CELERY_BROKER_URL", "amqp://u:secret@mq", "CELERY_BROKER_URL must begin with redis://"),
    ("SELF_HEAL_LOG_PUSH", "git+https://me:secret@host/x", "must not hold a password"),
    ("SELF_HEAL_LOG_PUSH", "file:///a, file:///a", "names file:///a twice"),
    ("SELF_HEAL_LOG_PUSH", "https://host/x", "is no place: there are file:///"),
    ("SELF_HEAL_LOG_WITNESSES", "https://witness", "takes `VKEY URL` of a witness"),
    ("SELF_HEAL_LOG_PUSH_MIN", "0", "must be from 1 to 1440"),
]


def test_every_setting_of_the_table_has_a_default_here() -> None:
    assert {setting.name for setting in SETTINGS} == set(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_unset_variable_has_its_default(name: str) -> None:
    assert load({})[name] == DEFAULTS[name]


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name not in ("SELF_HEAL_CHANGE_WINDOW", "SELF_HEAL_FORECASTER")])
def test_an_empty_variable_counts_as_unset(name: str) -> None:
    assert load({name: ""})[name] == DEFAULTS[name]


@pytest.mark.parametrize(("name", "value", "line"), WRONG)
def test_a_wrong_value_is_one_line_that_says_what_to_do(name: str, value: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({name: value})
    assert len(caught.value.lines) == 1
    assert line in caught.value.lines[0]
    assert "secret" not in caught.value.lines[0]


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"SELF_HEAL_PORT": "x", "SELF_HEAL_POLL_SECONDS": "0", "DEBUG": "perhaps"})
    assert [line.partition("=")[0] for line in caught.value.lines] == ["SELF_HEAL_POLL_SECONDS", "SELF_HEAL_PORT", "DEBUG"]


def test_both_modes_by_hand_are_refused() -> None:
    with pytest.raises(ConfigError, match="both true"):
        load({"SELF_HEAL_EXECUTE": "true", "SELF_HEAL_OBSERVE_ONLY": "true", "SELF_HEAL_TIME_ZONE": "UTC"})


def test_execute_alone_needs_no_word_about_observe() -> None:
    assert load({"SELF_HEAL_EXECUTE": "true", "SELF_HEAL_TIME_ZONE": "UTC"})["SELF_HEAL_EXECUTE"]


def test_execute_needs_a_zone_while_a_window_is_in_use() -> None:
    with pytest.raises(ConfigError, match="SELF_HEAL_TIME_ZONE is not set"):
        load({"SELF_HEAL_EXECUTE": "true"})
    assert load({"SELF_HEAL_EXECUTE": "true", "SELF_HEAL_CHANGE_WINDOW": ""})["SELF_HEAL_CHANGE_WINDOW"] == ""


def test_with_a_broker_of_ones_own_ten_runs_may_be_active() -> None:
    values = load({"CELERY_BROKER_URL": "redis://redis:6379/0"})
    assert values["SELF_HEAL_MAX_CONCURRENT_RUNS"] == 10
    assert values["EMBEDDED_BROKER_SOCKET"] is None


def test_two_homes_never_share_a_socket_and_no_path_is_too_long(tmp_path: Path) -> None:
    homes = [
        tmp_path / "a",
        tmp_path / "b",
        tmp_path / ("long" * 50),
        tmp_path / ("long" * 50 + "er"),
        tmp_path / "ü" / ("é" * 60),
    ]
    sockets = [broker_socket(home) for home in homes]
    assert len(set(sockets)) == len(homes)
    assert all(len(str(socket).encode()) <= 100 for socket in sockets)


def test_a_home_has_one_socket_by_whatever_path_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert broker_socket(tmp_path / "link") == broker_socket(tmp_path / "home")


def test_a_home_with_a_space_is_quoted_in_the_broker_url(tmp_path: Path) -> None:
    home = tmp_path.parent / "a b"
    assert "%20" in load({"SELF_HEAL_HOME": str(home)})["CELERY_BROKER_URL"]
