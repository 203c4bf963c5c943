"""Django's settings, from `config.env`. A wrong variable ends the process with a line that says what to do, status 2."""

from __future__ import annotations

import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.templatetags.static import static
from django.urls import reverse_lazy

from config.env import ConfigError, load
from config.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    _values = load(os.environ)
except ConfigError as error:
    print("\n".join(f"selfheal: {line}" for line in error.lines), file=sys.stderr)
    raise SystemExit(2) from None
SELF_HEAL_EXECUTE: bool = _values["SELF_HEAL_EXECUTE"]
SELF_HEAL_OBSERVE_ONLY: bool = _values["SELF_HEAL_OBSERVE_ONLY"]
SELF_HEAL_RUN_TIMEOUT_MIN: int = _values["SELF_HEAL_RUN_TIMEOUT_MIN"]
SELF_HEAL_BASE_URL: str = _values["SELF_HEAL_BASE_URL"]
ENABLE_CLI_VERIFY: bool = _values["ENABLE_CLI_VERIFY"]
SELF_HEAL_POLL_SECONDS: int = _values["SELF_HEAL_POLL_SECONDS"]
SELF_HEAL_SIGNAL_WINDOW_MIN: int = _values["SELF_HEAL_SIGNAL_WINDOW_MIN"]
SELF_HEAL_DUPLICATE_WINDOW_MIN: int = _values["SELF_HEAL_DUPLICATE_WINDOW_MIN"]
SELF_HEAL_BACKOFF_BASE_MIN: int = _values["SELF_HEAL_BACKOFF_BASE_MIN"]
SELF_HEAL_BACKOFF_MAX_MIN: int = _values["SELF_HEAL_BACKOFF_MAX_MIN"]
SELF_HEAL_PROPOSALS_PER_HOUR: int = _values["SELF_HEAL_PROPOSALS_PER_HOUR"]
SELF_HEAL_MAX_CONCURRENT_RUNS: int = _values["SELF_HEAL_MAX_CONCURRENT_RUNS"]
SELF_HEAL_STORM_PERCENT: int = _values["SELF_HEAL_STORM_PERCENT"]
SELF_HEAL_STORM_MIN_SERVICES: int = _values["SELF_HEAL_STORM_MIN_SERVICES"]
SELF_HEAL_PROBLEM_HEALS: int = _values["SELF_HEAL_PROBLEM_HEALS"]
SELF_HEAL_PROBLEM_DAYS: int = _values["SELF_HEAL_PROBLEM_DAYS"]
SELF_HEAL_AUTOAPPROVE_LOW_RISK: bool = _values["SELF_HEAL_AUTOAPPROVE_LOW_RISK"]
SELF_HEAL_GUARDRAIL_CEILING: str = _values["SELF_HEAL_GUARDRAIL_CEILING"]
SELF_HEAL_PREDICTIVE_SHADOW: bool = _values["SELF_HEAL_PREDICTIVE_SHADOW"]
SELF_HEAL_FORECASTER: str = _values["SELF_HEAL_FORECASTER"]
META_LOOP_CYCLE_SECONDS: int = _values["META_LOOP_CYCLE_SECONDS"]
SELF_HEAL_RANKER: str = _values["SELF_HEAL_RANKER"]
SELF_HEAL_CHANGE_WINDOW: str = _values["SELF_HEAL_CHANGE_WINDOW"]
SELF_HEAL_TIME_ZONE: str = _values["SELF_HEAL_TIME_ZONE"]
SELF_HEAL_APPROVAL_TTL_MIN: int = _values["SELF_HEAL_APPROVAL_TTL_MIN"]
SELF_HEAL_START_TTL_MIN: int = _values["SELF_HEAL_START_TTL_MIN"]
SELF_HEAL_FOUR_EYES_FROM: str = _values["SELF_HEAL_FOUR_EYES_FROM"]
SELF_HEAL_COMMAND_ALLOW: list[str] = _values["SELF_HEAL_COMMAND_ALLOW"]
SELF_HEAL_HTTP_ALLOW: list[str] = _values["SELF_HEAL_HTTP_ALLOW"]
SELF_HEAL_SECRETS_DIR: Path = _values["SELF_HEAL_SECRETS_DIR"]
SELF_HEAL_SSH_KEY_FILE: Path = _values["SELF_HEAL_SSH_KEY_FILE"]
SELF_HEAL_SSH_KNOWN_HOSTS: Path = _values["SELF_HEAL_SSH_KNOWN_HOSTS"]
SELF_HEAL_PROMETHEUS_URL: str = _values["SELF_HEAL_PROMETHEUS_URL"]
SELF_HEAL_SENSE: list[str] = _values["SELF_HEAL_SENSE"]
SELF_HEAL_ALERTMANAGER_URL: str = _values["SELF_HEAL_ALERTMANAGER_URL"]
SELF_HEAL_HEARTBEAT_URL: str = _values["SELF_HEAL_HEARTBEAT_URL"]
SELF_HEAL_LOG_STRICT: str = _values["SELF_HEAL_LOG_STRICT"]
SELF_HEAL_LOG_ORIGIN: str = _values["SELF_HEAL_LOG_ORIGIN"]
SELF_HEAL_LOG_WITNESSES: list[str] = _values["SELF_HEAL_LOG_WITNESSES"]
SELF_HEAL_LOG_PUSH: list[str] = _values["SELF_HEAL_LOG_PUSH"]
SELF_HEAL_LOG_PUSH_MIN: int = _values["SELF_HEAL_LOG_PUSH_MIN"]
SELF_HEAL_NOTIFY_URLS: list[str] = _values["SELF_HEAL_NOTIFY_URLS"]
SELF_HEAL_PLAYBOOK_DIRS: list[Path] = _values["SELF_HEAL_PLAYBOOK_DIRS"]
SELF_HEAL_CONFIG_DIR: Path = _values["SELF_HEAL_CONFIG_DIR"]
SELF_HEAL_HOME: Path = _values["SELF_HEAL_HOME"]
SELF_HEAL_PORT: int = _values["SELF_HEAL_PORT"]
SELF_HEAL_LISTEN: str = _values["SELF_HEAL_LISTEN"]
SELF_HEAL_ALLOWED_HOSTS: list[str] = _values["SELF_HEAL_ALLOWED_HOSTS"]
SELF_HEAL_PROXIES: int = _values["SELF_HEAL_PROXIES"]
SELF_HEAL_SECOND_FACTOR_ROLES: list[str] = _values["SELF_HEAL_SECOND_FACTOR_ROLES"]
SELF_HEAL_INGEST_PER_MINUTE: int = _values["SELF_HEAL_INGEST_PER_MINUTE"]
SELF_HEAL_SIGNING_KEY_FILE: Path = _values["SELF_HEAL_SIGNING_KEY_FILE"]
CELERY_BROKER_URL: str = _values["CELERY_BROKER_URL"]
SELF_HEAL_KEEP_OUTPUT_DAYS: int = _values["SELF_HEAL_KEEP_OUTPUT_DAYS"]
SELF_HEAL_KEEP_SIGNALS_HOURS: int = _values["SELF_HEAL_KEEP_SIGNALS_HOURS"]
SELF_HEAL_DOCS_URL: str = _values["SELF_HEAL_DOCS_URL"]
SELF_HEAL_LOG_LEVEL: str = _values["SELF_HEAL_LOG_LEVEL"]
SELF_HEAL_LOG_FORMAT: str = _values["SELF_HEAL_LOG_FORMAT"]
DEBUG: bool = _values["DEBUG"]
EMBEDDED_BROKER_SOCKET: Path | None = _values["EMBEDDED_BROKER_SOCKET"]


def _secret_key() -> str:
    """The key from the environment, or one made once for this home."""
    if _values["SECRET_KEY"]:
        return str(_values["SECRET_KEY"])
    path = SELF_HEAL_HOME / "secret.key"
    try:
        return path.read_text()
    except FileNotFoundError:
        SELF_HEAL_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            os.link(fresh, path)  # whoever comes second takes the first one's
        except FileExistsError:
            pass  # the key that stands is as good as ours
        finally:
            fresh.unlink()
        return path.read_text()


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", environ.urlparse(_values["SELF_HEAL_BASE_URL"]).hostname or "localhost"]
ALLOWED_HOSTS += _values["SELF_HEAL_ALLOWED_HOSTS"]

INSTALLED_APPS = [
    "healing",  # before unfold, so that its templates of the same name win
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig",  # `config.urls` finds the pages: a process without any starts sooner
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "knox",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "learning",
    "learning.broker",
    "metafocus",
    "config",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "healing.middleware.HeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "healing.middleware.SignedInMiddleware",
    "healing.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Bounded waits: a server that went away is noticed in seconds, not in the two hours of the kernel's defaults.
_POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "selfheal",
}
# A commit that was answered survives a killed process and a power cut.
_SQLITE = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}
_database: dict[str, Any] = (
    environ.Env.db_url_config(_values["DATABASE_URL"])
    if _values["DATABASE_URL"]
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": SELF_HEAL_HOME / "selfheal.sqlite3"}
)
_options = _POSTGRESQL if _database["ENGINE"].endswith("postgresql") else _SQLITE
DATABASES = {
    "default": {
        **_database,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**_options, **_database.get("OPTIONS", {})},
    }
}

AUTH_USER_MODEL = "healing.User"
KNOX_TOKEN_MODEL = "healing.Token"  # noqa: S105  (a model, no password)
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": timedelta(days=90), "TOKEN_PREFIX": "sh_"}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# Wrong passwords; see healing.lockout. Our log tells who was locked, so axes keeps no list of sign-ins and has no pages.
AXES_HANDLER = "healing.lockout.Handler"
AXES_LOCKOUT_CALLABLE = "healing.lockout.refused"
AXES_CLIENT_IP_CALLABLE = "healing.throttle.address_of"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
OTP_TOTP_ISSUER = f"selfheal {environ.urlparse(_values['SELF_HEAL_BASE_URL']).hostname}"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["config.formats"]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True

LOGGING = logging_config(_values["SELF_HEAL_LOG_LEVEL"], _values["SELF_HEAL_LOG_FORMAT"])

# Behind https (a proxy speaks it for us) cookies and redirects insist on it; on plain http, as on localhost, they cannot.
SECURE = _values["SELF_HEAL_BASE_URL"].startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked from beside the process, without the proxy
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600  # healing.sessions ends them sooner
SESSION_COOKIE_NAME = "selfheal_session"
CSRF_COOKIE_NAME = "selfheal_csrf"
CSRF_TRUSTED_ORIGINS = [_values["SELF_HEAL_BASE_URL"]]
X_FRAME_OPTIONS = "DENY"
# Whether every sub-domain speaks https, and whether browsers are told in advance, is not ours to say for somebody's domain.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_ROUTES = {
    "healing.tasks.execute_run": {"queue": "runs"},
    "healing.tasks.put_back": {"queue": "runs"},
    "healing.tasks.tick": {"queue": "clock"},
    "healing.tasks.watchdog": {"queue": "clock"},
    "learning.tasks.advise": {"queue": "advice"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SOFT_TIME_LIMIT = 45
CELERY_TASK_TIME_LIMIT = 60
# The last bound on a run, behind its own deadline and the watchdog: 120 min at most, its verification, its rollback, 60 s.
# Whoever sends one run may give a tighter `time_limit` with the message. A soft limit of None would be the one above, not none.
CELERY_TASK_ANNOTATIONS = {
    "healing.tasks.execute_run": {"soft_time_limit": 3 * 3600, "time_limit": 3 * 3600},
    "healing.tasks.put_back": {"soft_time_limit": 360, "time_limit": 360},
    "learning.tasks.advise": {"soft_time_limit": 10, "time_limit": 15},  # one call of an adviser
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 4 * 3600,
    "queue_order_strategy": "priority",
    "unacked_restore_throttle": 1,
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}

# What the floors above give advice with, by dotted path: nothing below imports them. Empty: there is no such advice.
SEEN_BEFORE = "learning.broker.before.seen_before"  # (incident, at) → what an incident's page shows of earlier ones
SHADOW_SCORE = "learning.shadow.score"  # (name of a playbook) → what would have come of it where services are only observed
PLAYBOOK_ORDER = "learning.ranker.advise"  # (selfheal.ranking.Question) → the playbooks in the order in which to try them

# Pages of the sidebar that are no lists: title, icon, name of the address, what one must be allowed to see.
ADMIN_PAGES = (
    ("Health", "monitor_heart", "health", "healing.view_run"),
    ("Domains", "hub", "domains", "healing.view_run"),
    ("Meta loop", "center_focus_strong", "meta", "healing.view_run"),
    ("The log", "verified_user", "log", "healing.view_ledgerentry"),
    ("Learning", "school", "learning", "healing.view_run"),
    ("Memory", "psychology", "memory", "healing.view_run"),
    ("What if", "science", "what-if", "healing.view_playbook"),
)
UNFOLD = {
    "SITE_TITLE": "selfheal",
    "SITE_HEADER": "selfheal",
    "SITE_SYMBOL": "healing",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("healing/favicon.svg")}],
    "ACCOUNT": {"navigation": [{"title": "Your account", "link": reverse_lazy("account")}]},
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "healing.admin.navigation.environment",
    "DASHBOARD_CALLBACK": "healing.admin.dashboard.fill",
    "GLOBAL_CALLBACK": "healing.admin.navigation.everywhere",
    "STYLES": [lambda request: static("healing/healing.css")],
    "SCRIPTS": [lambda request: static("healing/healing.js")],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": "healing.admin.navigation.sidebar"},
    "TABS": "healing.admin.navigation.tabs",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        }
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["healing.api.auth.BearerAuthentication", "healing.api.auth.BrowserSession"],
    "DEFAULT_PERMISSION_CLASSES": ["healing.api.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["healing.throttle.ApiThrottle"],
    "DEFAULT_PARSER_CLASSES": ["healing.api.bodies.JSONBody"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "healing.api.problems.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "selfheal",
    "DESCRIPTION": "Alerts in, policy decides, people are asked, fixes are verified, a signed log proves it.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api(/self_heal)?/",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["healing.api.schema.complete"],
}
