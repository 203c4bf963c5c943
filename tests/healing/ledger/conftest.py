from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from django.db import transaction

from healing import ledger
from healing.ledger import keys
from healing.ledger.sequencer import sequence_once
from selfheal.signing import Signer


@pytest.fixture(autouse=True)
def key_file(settings, tmp_path: Path) -> Path:
    settings.SELF_HEAL_LOG_ORIGIN = ""
    settings.SELF_HEAL_SIGNING_KEY_FILE = tmp_path / "home" / "signing.key"
    return settings.SELF_HEAL_SIGNING_KEY_FILE


@pytest.fixture
def signer() -> Signer:
    return keys.load()


@pytest.fixture
def write(db, at: datetime) -> Callable[..., list[int]]:
    """Append `count` leaves in one transaction."""

    def append(count: int, **changes) -> list[int]:
        with transaction.atomic():
            return [
                ledger.append(**{"actor": "tester", "action": "test.written", "resource": f"thing:{n}", "at": at} | changes)
                for n in range(count)
            ]

    return append


@pytest.fixture
def grow(write, signer: Signer, at: datetime) -> Callable[[int], None]:
    """Make the log `count` entries longer, the key's own entry counted with them."""

    def sequence(count: int) -> None:
        from healing.models import LedgerKey

        write(count - (not LedgerKey.objects.exists()))
        while sequence_once(signer, at):
            pass

    return sequence
