"""What an action or a check may use while it runs here, from settings and from what is declared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from healing import catalog, notifications, sandbox
from healing.actions.base import Context
from healing.remote.client import Keys
from healing.signals.samples import recent


def context_of(
    service: str,
    target: str,
    *,
    key: str,
    bound_seconds: float,
    earlier: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Context:
    """The context of one step: `key` is its idempotency key, `earlier` what an earlier attempt noted and returned.

    What does the work has no database: the samples of a signal that its `arguments` name are read here.
    """
    return Context(
        idempotency_key=key,
        service=service,
        target=target,
        allowed=catalog.allowed_origins(),
        networks=tuple(settings.SELF_HEAL_HTTP_ALLOW),
        secrets_dir=settings.SELF_HEAL_SECRETS_DIR,
        home=settings.SELF_HEAL_HOME,
        bound_seconds=bound_seconds,
        ssh=Keys(settings.SELF_HEAL_SSH_KEY_FILE, settings.SELF_HEAL_SSH_KNOWN_HOSTS),
        notify_urls=notifications.addresses(service),
        sandbox=sandbox.prefix(_our_own()),
        prometheus_url=settings.SELF_HEAL_PROMETHEUS_URL,
        samples=recent(service, target, arguments or {}, timezone.now()),
        cli_verify=settings.ENABLE_CLI_VERIFY,
        earlier=earlier or {},
    )


def _our_own() -> list[Path]:
    """What no command has to read: it is hidden from those in the sandbox."""
    files = [
        settings.SELF_HEAL_SIGNING_KEY_FILE,
        settings.SELF_HEAL_SSH_KEY_FILE,
        settings.SELF_HEAL_HOME / "secret.key",
        settings.SELF_HEAL_SECRETS_DIR,
    ]
    embedded = str(connection.settings_dict["NAME"]) if connection.vendor == "sqlite" else ""
    return [*files, *(Path(f"{embedded}{end}") for end in ("", "-wal", "-shm") if embedded)]
