"""From an impact on, a step waits until a signed head covers its intent (`SELF_HEAL_LOG_STRICT`)."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings

from healing.ledger.selectors import is_covered
from selfheal.states import Impact


def is_strict(impact: str) -> bool:
    """Whether a step of this impact waits for a signed head."""
    since = settings.SELF_HEAL_LOG_STRICT
    if since in ("all", "off"):
        return since == "all"
    return Impact(impact).rank >= Impact(since).rank


def wait_until_signed(outbox_id: int, wake: Callable[[], str]) -> bool:
    """Wait for the sequencer; False when the run has to end first. The run's deadline bounds it."""
    woken = 0.0
    while not is_covered(outbox_id):
        if time.monotonic() >= woken + 1.0:
            if wake():
                return False
            woken = time.monotonic()
        time.sleep(0.05)
    return True
