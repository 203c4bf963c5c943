"""Settings govern what runs, so a change of one has its entry in the log, like everything else that governs.

Rules that this module keeps:
1. Every setting of the table counts, but for those that only say where this process runs. A new one counts without being named.
2. What may hold a secret, by its name, is never written down: only whether it is set.
3. A process compares at its start with what the log says last, and writes one entry, `settings.changed`, when that differs.
"""

from __future__ import annotations

import json
import logging
import socket
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from config.cli.base import actor
from config.env import SETTINGS
from healing import ledger
from healing.catalog.services import told
from healing.governance import control
from healing.models import LedgerEntry, LedgerOutbox

log = logging.getLogger(__name__)
ACTION = "settings.changed"
LOCAL = frozenset(
    ("SELF_HEAL_HOME", "SELF_HEAL_PORT", "SELF_HEAL_LISTEN", "SELF_HEAL_BASE_URL", "SELF_HEAL_ALLOWED_HOSTS",
     "SELF_HEAL_SIGNING_KEY_FILE", "SELF_HEAL_LOG_LEVEL", "SELF_HEAL_LOG_FORMAT", "SELF_HEAL_DOCS_URL")
)  # fmt: skip
SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "KEY", "URL")  # an address may hold a password, or be one
PLACES = ("_DIR", "_FILE")  # only say where something lies


def note(process: str) -> None:
    """At the start of `process`. A database that is not there, or not migrated, keeps nothing from starting: it is said."""
    try:
        record(process, timezone.now())
    except DatabaseError as error:
        log.warning("whether settings were changed is not in the log: %s", str(error).strip())
    finally:
        connections.close_all()


def record(process: str, at: datetime) -> bool:
    """Write the entry if anything differs from what the log says last; whether it did."""
    now = governing()
    with transaction.atomic():
        control(lock=True)  # of two processes that start at once, the second sees what the first has written
        before = last_recorded()
        names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if not names:
            return False
        payload = {
            "process": process,
            "host": socket.gethostname(),
            "before": {name: before.get(name) for name in names} if before else {},
            "after": {name: now.get(name) for name in names},
            "settings": now,
        }
        ledger.append(actor=actor("", ""), action=ACTION, resource="settings", payload=payload, at=at)
    return True


def governing() -> dict[str, Any]:
    """Each setting that governs, as a leaf can hold it."""
    names = [setting.name for setting in SETTINGS if setting.name not in LOCAL]
    return {name: _said(name, getattr(settings, name, None)) for name in names}


def may_hold_a_secret(name: str) -> bool:
    return any(word in name for word in SECRET_WORDS) and not name.endswith(PLACES)


def last_recorded() -> dict[str, Any]:
    """The settings as the newest entry has them; empty where there is none.

    The sequencer may not have seen the newest: what waits for it is looked at first, and what it moves meanwhile is found after.
    """
    mark = f'"action":"{ACTION}"'.encode()
    waiting = LedgerOutbox.objects.order_by("-id").values_list("leaf", flat=True)
    leaf = next((each for each in waiting.iterator() if mark in bytes(each)), None)
    leaf = leaf or LedgerEntry.objects.filter(action=ACTION).order_by("-index").values_list("leaf", flat=True).first()
    return dict(json.loads(bytes(leaf))["payload"]["settings"]) if leaf else {}


def _said(name: str, value: Any) -> Any:
    if may_hold_a_secret(name):
        return "set" if value else "not set"
    if isinstance(value, (list, tuple)):
        return told([str(part) for part in value])
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
