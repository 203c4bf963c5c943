"""Settings from the environment: typed, with ranges, checked at start.

`load(environ)` reads every variable of the table below and reports everything that is wrong at once, a line each,
each line saying what to do. Nothing here touches Django.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlparse
from zoneinfo import available_timezones

import environ

from selfheal.advice import GROUP, NO_FORECASTERS
from selfheal.choices import FIXED, RANKERS
from selfheal.errors import Invalid
from selfheal.outside import Place, parse_place, parse_witness
from selfheal.states import ROLES, Impact, Level
from selfheal.telemetry import DOMAINS
from selfheal.windows import parse_weekly

Check = Callable[[Any], str]  # the empty string, or what is wrong and what to do


class ConfigError(Exception):
    """One or more settings are wrong; `lines` says which and what to do."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Setting:
    name: str
    kind: str  # bool int str list
    default: Any
    meaning: str
    check: Check | None = None


def between(low: int, high: int | None = None) -> Check:
    def check(value: int) -> str:
        if value < low or (high is not None and value > high):
            return f"must be {low} or more" if high is None else f"must be from {low} to {high}"
        return ""

    return check


def one_of(*allowed: str) -> Check:
    return lambda value: "" if value in allowed else f"must be one of {', '.join(allowed)}"


def _url(value: str) -> str:
    parts = urlparse(value)
    return "" if not value or (parts.scheme in ("http", "https") and parts.netloc) else "must be an http or https URL"


def _forecaster(value: str) -> str:
    """By the file of the module alone: nothing but the worker for advice loads what an adviser needs."""
    if value == "deep" and find_spec("sklearn") is None:
        return "needs the extra: pip install 'selfheal[deep]'"
    names = entry_points(group=GROUP).names - set(NO_FORECASTERS) if value else set()
    return "" if not value or value in names else f"is no adviser that forecasts; there are: {', '.join(sorted(names))}"


def _zone(value: str) -> str:
    return "" if not value or value in available_timezones() else "is no IANA time zone; try Europe/Berlin or UTC"


def _window(value: str) -> str:
    try:
        parse_weekly(value)
    except Invalid as error:
        return str(error)
    return ""


def _absolute(paths: list[str]) -> str:
    wrong = [p for p in paths if not os.path.isabs(p)]
    return f"takes absolute paths; {wrong[0]!r} is not one" if wrong else ""


def _networks(values: list[str]) -> str:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            return f"takes networks like 10.1.0.0/16: {error}"
    return ""


def _roles(values: list[str]) -> str:
    wrong = [value for value in values if value not in ROLES]
    return f"takes roles; {wrong[0]!r} is none of {', '.join(ROLES)}" if wrong else ""


def _domains(values: list[str]) -> str:
    known = [*DOMAINS, *sorted(point.name for point in entry_points(group="selfheal.adapters"))] if values else []
    wrong = [value for value in values if value not in known]
    return f"takes domains that have an adapter; {wrong[0]!r} is none of {', '.join(known)}" if wrong else ""


def _each(parse: Callable[[str], Place]) -> Check:
    """Each of a list can be read by `parse`, and no two have one name."""

    def check(values: list[str]) -> str:
        names: list[str] = []
        for value in values:
            try:
                names.append(parse(value).name)
            except (Invalid, ValueError) as error:
                return str(error)
        twice = [name for name in names if names.count(name) > 1]
        return f"names {twice[0]} twice" if twice else ""

    return check


SETTINGS: tuple[Setting, ...] = (
    Setting("SELF_HEAL_EXECUTE", "bool", False, "run what policy allows"),
    Setting("SELF_HEAL_OBSERVE_ONLY", "bool", True, "decide and show, run nothing"),
    Setting("SELF_HEAL_RUN_TIMEOUT_MIN", "int", 10, "watchdog on a run, minutes", between(1, 120)),
    Setting("SELF_HEAL_BASE_URL", "str", "", "base of links and of the command line", _url),
    Setting("ENABLE_CLI_VERIFY", "bool", False, "lets a cli_smoke check run"),
    Setting("SELF_HEAL_POLL_SECONDS", "int", 30, "scheduler tick, seconds", between(1)),
    Setting("SELF_HEAL_SIGNAL_WINDOW_MIN", "int", 10, "metric samples older than this are not triaged, minutes", between(1)),
    Setting("SELF_HEAL_DUPLICATE_WINDOW_MIN", "int", 10, "no second proposal within it, minutes", between(0)),
    Setting("SELF_HEAL_BACKOFF_BASE_MIN", "int", 5, "base of the wait between proposals, minutes", between(0)),
    Setting("SELF_HEAL_BACKOFF_MAX_MIN", "int", 120, "longest wait between proposals, minutes", between(0)),
    Setting("SELF_HEAL_PROPOSALS_PER_HOUR", "int", 3, "per service and target", between(1)),
    Setting("SELF_HEAL_MAX_CONCURRENT_RUNS", "int", 0, "default 10, embedded 4; the rest stay queued", between(0, 1000)),
    Setting("SELF_HEAL_STORM_PERCENT", "int", 40, "share of unhealthy services that is a storm", between(1, 100)),
    Setting("SELF_HEAL_STORM_MIN_SERVICES", "int", 5, "and at least that many of them", between(1)),
    Setting("SELF_HEAL_PROBLEM_HEALS", "int", 7, "healed so often it is a problem, and asks; 0: never", between(0, 1000)),
    Setting("SELF_HEAL_PROBLEM_DAYS", "int", 7, "within so many days", between(1, 365)),
    Setting("SELF_HEAL_AUTOAPPROVE_LOW_RISK", "bool", True, "false: a person decides everything"),
    Setting("SELF_HEAL_GUARDRAIL_CEILING", "str", "maintain", "the loosest level of the meta loop", one_of(*Level)),
    Setting("SELF_HEAL_PREDICTIVE_SHADOW", "bool", True, "forecasts are recorded and scored, they propose nothing"),
    Setting(
        "SELF_HEAL_FORECASTER",
        "str",
        "forecast",
        "the adviser that forecasts capacities; deep needs the extra, empty: none",
        _forecaster,
    ),
    Setting("META_LOOP_CYCLE_SECONDS", "int", 120, "a cycle of the meta loop, seconds", between(1)),
    Setting("SELF_HEAL_RANKER", "str", FIXED, "who says what is tried first; fixed: sampling in shadow", one_of(*RANKERS)),
    Setting("SELF_HEAL_CHANGE_WINDOW", "str", "Mon-Fri 09:00-18:00", "used where no calendar is configured", _window),
    Setting("SELF_HEAL_TIME_ZONE", "str", "", "zone of windows and of what people see", _zone),
    Setting("SELF_HEAL_APPROVAL_TTL_MIN", "int", 60, "pending → expired, minutes", between(1)),
    Setting("SELF_HEAL_START_TTL_MIN", "int", 15, "approved and not started → superseded, minutes", between(1)),
    Setting("SELF_HEAL_FOUR_EYES_FROM", "str", "high", "impact from which nobody approves what they asked for", one_of(*Impact)),
    Setting("SELF_HEAL_COMMAND_ALLOW", "list", [], "executables that command.run {argv} may start", _absolute),
    Setting("SELF_HEAL_HTTP_ALLOW", "list", [], "networks that HTTP actions may reach besides declared services", _networks),
    Setting("SELF_HEAL_SECRETS_DIR", "str", "/run/secrets", "where ${secret.NAME} is read"),
    Setting("SELF_HEAL_SSH_KEY_FILE", "str", "", "identity for `via: ssh`, mode 600; default: ssh_key in SELF_HEAL_SECRETS_DIR"),
    Setting("SELF_HEAL_SSH_KNOWN_HOSTS", "str", "", "pinned host keys; default: ssh_known_hosts in SELF_HEAL_CONFIG_DIR"),
    Setting("SELF_HEAL_PROMETHEUS_URL", "str", "", "asked by metric checks, which fail without one, and for signals", _url),
    Setting("SELF_HEAL_SENSE", "list", [], "domains whose services selfheal looks at itself: host, http, platform", _domains),
    Setting("SELF_HEAL_ALERTMANAGER_URL", "str", "", "asked again before proposing and before starting", _url),
    Setting("SELF_HEAL_HEARTBEAT_URL", "str", "", "fetched after each good tick", _url),
    Setting(
        "SELF_HEAL_LOG_STRICT", "str", "high", "from this impact a step waits for a signed head", one_of(*Impact, "all", "off")
    ),
    Setting("SELF_HEAL_LOG_ORIGIN", "str", "", "first line of tree heads; empty: made from the first key"),
    Setting(
        "SELF_HEAL_LOG_WITNESSES", "list", [], "who signs that heads go on: `VKEY URL`, comma-separated", _each(parse_witness)
    ),
    Setting(
        "SELF_HEAL_LOG_PUSH",
        "list",
        [],
        "places that heads are pushed to: file:///, git+ssh://, git+https://, git+file:///, put+https://, post+https://",
        _each(parse_place),
    ),
    Setting("SELF_HEAL_LOG_PUSH_MIN", "int", 10, "between two heads for a witness or a place, minutes", between(1, 1440)),
    Setting("SELF_HEAL_KEEP_OUTPUT_DAYS", "int", 90, "what steps wrote; the log keeps its digest for ever", between(1, 36_500)),
    Setting("SELF_HEAL_KEEP_SIGNALS_HOURS", "int", 1, "metric samples, and no less than checks look back", between(1, 8760)),
    Setting("SELF_HEAL_NOTIFY_URLS", "list", [], "apprise URLs that are told while there is no channel"),
    Setting("SELF_HEAL_PLAYBOOK_DIRS", "list", ["config/playbooks"], "where playbooks are read; replaces the default"),
    Setting(
        "SELF_HEAL_CONFIG_DIR", "str", "config", "holds services.yaml, commands.yaml, queries.yaml, signals.yaml, windows/*.ics"
    ),
    Setting("SELF_HEAL_HOME", "str", "./var", "everything that the embedded default keeps"),
    Setting("SELF_HEAL_PORT", "int", 8000, "port of the web process", between(1, 65535)),
    Setting("SELF_HEAL_LISTEN", "str", "127.0.0.1", "address of the web process"),
    Setting("SELF_HEAL_ALLOWED_HOSTS", "list", [], "host names that the web process answers to, besides this machine's"),
    Setting("SELF_HEAL_PROXIES", "int", 0, "proxies of ours in front; X-Forwarded-For is believed so far", between(0, 10)),
    Setting("SELF_HEAL_SECOND_FACTOR_ROLES", "list", [], "roles that must have a second factor to sign in", _roles),
    Setting("SELF_HEAL_INGEST_PER_MINUTE", "int", 30_000, "bodies of alerts a minute by one token from one address", between(1)),
    Setting("SELF_HEAL_SIGNING_KEY_FILE", "str", "", "Ed25519 seed, mode 600; default: in the home"),
    Setting("DATABASE_URL", "str", "", "unset: SQLite in the home"),
    Setting("CELERY_BROKER_URL", "str", "", "unset: an embedded broker"),
    Setting("SECRET_KEY", "str", "", "unset: made once and kept in the home, mode 600"),
    Setting(
        "SELF_HEAL_DOCS_URL",
        "str",
        "",
        "where these pages are served (`make docs`): messages about selfheal itself lead there",
        _url,
    ),
    Setting("SELF_HEAL_LOG_LEVEL", "str", "info", "how much goes to standard error", one_of("debug", "info", "warning", "error")),
    Setting("SELF_HEAL_LOG_FORMAT", "str", "text", "a line of it: text, or an object for programs", one_of("text", "json")),
    Setting("DEBUG", "bool", False, "Django's debug pages; never in production"),
)

_TRUE = environ.Env.BOOLEAN_TRUE_STRINGS
_FALSE = ("false", "off", "n", "no", "0", "")
_MAY_BE_EMPTY = ("SELF_HEAL_CHANGE_WINDOW", "SELF_HEAL_FORECASTER")  # said to be empty: no window, no forecasts
_SOCKET_PATH_LIMIT = 100  # bytes; the kernel's is 108 with its NUL, on other systems 104
HERE = Path(__file__).resolve().parent


def load(variables: Mapping[str, str]) -> dict[str, Any]:
    """Every setting by name, with what follows from them (home paths, base URL, embedded addresses).

    Raises ConfigError with a line for each wrong variable.
    """
    env = environ.Env()
    env.ENVIRON = dict(variables)
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for setting in SETTINGS:
        values[setting.name], problem = _read(setting, env, variables)
        if problem:
            wrong.append(f"{setting.name}={_shown(setting.name, variables[setting.name])} {problem}")
    wrong = wrong or _together(values, variables)
    if wrong:
        raise ConfigError(wrong)
    return values | _derived(values)


def _read(setting: Setting, env: environ.Env, variables: Mapping[str, str]) -> tuple[Any, str]:
    """The value of one setting, and what is wrong with it (empty: nothing)."""
    raw = variables.get(setting.name, "").strip()
    if raw == "" and not (setting.name in variables and setting.name in _MAY_BE_EMPTY):
        return setting.default, ""
    if setting.kind == "bool" and raw.lower() not in _TRUE + _FALSE:
        return setting.default, "must be true or false"
    try:
        value = getattr(env, setting.kind)(setting.name, default=setting.default)
    except ValueError:
        return setting.default, "must be a whole number"
    return value, setting.check(value) if setting.check else ""


def _shown(name: str, raw: str) -> str:
    """A wrong value as the error line shows it; what may hold a password is not repeated."""
    hidden = ("DATABASE_URL", "CELERY_BROKER_URL", "SECRET_KEY", "SELF_HEAL_NOTIFY_URLS", "SELF_HEAL_LOG_PUSH")
    return "(not shown)" if name in hidden else repr(raw)


def _together(values: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    wrong = []
    said = variables.get("SELF_HEAL_OBSERVE_ONLY", "").strip().lower() in _TRUE
    if values["SELF_HEAL_EXECUTE"] and said:
        wrong.append("SELF_HEAL_EXECUTE and SELF_HEAL_OBSERVE_ONLY are both true: set one of them to false")
    if values["SELF_HEAL_EXECUTE"] and values["SELF_HEAL_CHANGE_WINDOW"] and not values["SELF_HEAL_TIME_ZONE"]:
        wrong.append(
            "SELF_HEAL_TIME_ZONE is not set, and SELF_HEAL_EXECUTE needs it for the change window: "
            "set it to your zone, for example Europe/Berlin"
        )
    if values["SELF_HEAL_BACKOFF_BASE_MIN"] > values["SELF_HEAL_BACKOFF_MAX_MIN"]:
        wrong.append("SELF_HEAL_BACKOFF_BASE_MIN is greater than SELF_HEAL_BACKOFF_MAX_MIN: swap them")
    wrong += _address(
        "DATABASE_URL", values, ("postgres", "postgresql", "sqlite"), "postgres:// (or be unset for SQLite in the home)"
    )
    wrong += _address("CELERY_BROKER_URL", values, ("redis", "rediss", "redis+socket"), "redis:// (or be unset: embedded broker)")
    return wrong


def _address(name: str, values: Mapping[str, Any], schemes: tuple[str, ...], hint: str) -> list[str]:
    try:
        parts = urlparse(values[name])
        fits = not values[name] or (parts.scheme in schemes and parts.port != 0)
    except ValueError as error:  # a port that is no number; the message does not repeat the password
        return [f"{name} is no URL: {error}"]
    return [] if fits else [f"{name} must begin with {hint}"]


def _derived(values: Mapping[str, Any]) -> dict[str, Any]:
    home = Path(values["SELF_HEAL_HOME"]).absolute()
    config, secrets = _ours_or_shipped(values["SELF_HEAL_CONFIG_DIR"]), Path(values["SELF_HEAL_SECRETS_DIR"])
    embedded = not values["CELERY_BROKER_URL"]
    socket = broker_socket(home)
    return {
        "SELF_HEAL_HOME": home,
        "SELF_HEAL_CONFIG_DIR": config,
        "SELF_HEAL_PLAYBOOK_DIRS": [_ours_or_shipped(path) for path in values["SELF_HEAL_PLAYBOOK_DIRS"]],
        "SELF_HEAL_SECRETS_DIR": secrets,
        "SELF_HEAL_SSH_KEY_FILE": Path(values["SELF_HEAL_SSH_KEY_FILE"] or secrets / "ssh_key").absolute(),
        "SELF_HEAL_SSH_KNOWN_HOSTS": Path(values["SELF_HEAL_SSH_KNOWN_HOSTS"] or config / "ssh_known_hosts").absolute(),
        "SELF_HEAL_SIGNING_KEY_FILE": Path(values["SELF_HEAL_SIGNING_KEY_FILE"] or home / "signing.key"),
        "SELF_HEAL_BASE_URL": (values["SELF_HEAL_BASE_URL"] or f"http://localhost:{values['SELF_HEAL_PORT']}").rstrip("/"),
        "SELF_HEAL_MAX_CONCURRENT_RUNS": values["SELF_HEAL_MAX_CONCURRENT_RUNS"] or (4 if embedded else 10),
        "EMBEDDED_BROKER_SOCKET": socket if embedded else None,
        "CELERY_BROKER_URL": values["CELERY_BROKER_URL"] or f"redis+socket://{quote(str(socket))}",
    }


def _ours_or_shipped(path: str) -> Path:
    """A directory below the current one; where the default is not there, the one that comes with the package."""
    here = Path(path).absolute()
    if path in ("config", "config/playbooks") and not here.exists():
        return HERE.parent / path
    return here


def broker_socket(home: Path) -> Path:
    """The embedded broker's socket: in the home, or, where that path is too long for a socket, in a short directory of our own.

    Both are private to the user, and two homes never share one, by whatever path they are named.
    """
    real = os.path.realpath(home)
    socket = Path(real, "run", "broker.sock")
    if len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT:
        return socket
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"selfheal-{os.getuid()}-{name}", "broker.sock")
