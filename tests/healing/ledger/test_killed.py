"""Processes of their own on a database of their own: what is killed here is really killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KILLS = 5
BEGIN = """
import sys, django; django.setup()
from datetime import UTC, datetime, timedelta
from django.db import transaction
from healing import ledger
from healing.ledger import sequencer
from healing.models import LedgerEntry, LedgerOutbox
"""
# Its lease is short, so that the next one need not wait 15 s for the lease of a dead one; small batches, to be killed in between.
SEQUENCER = """
sequencer.LEASE, sequencer.BATCH, sequencer.POLL, sequencer.AGAIN = timedelta(seconds=0.3), 5, 0, 0.05
print("begun", flush=True)
sequencer.run(lambda: False)
"""
WRITER = """
print("begun", flush=True)
for n in range(600):
    with transaction.atomic():
        ledger.append(actor="tester", action="test", resource=f"thing:{n}", at=datetime.now(UTC))
"""
READ = """
import json, time
until = time.monotonic() + 60
while LedgerOutbox.objects.exists() and time.monotonic() < until:
    time.sleep(0.05)
print(json.dumps(list(LedgerEntry.objects.order_by("index").values_list("resource", flat=True))))
"""


class Home:
    def __init__(self, path: Path) -> None:
        self.environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "SELF_HEAL_HOME": str(path)}
        self.environment.pop("DATABASE_URL", None)

    def start(self, code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", BEGIN + code]
        return subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def begun(self, code: str) -> subprocess.Popen[str]:
        process = self.start(code)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    def said(self, code: str) -> str:
        process = self.start(code)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return output


@pytest.fixture
def home(tmp_path: Path, migrated: Path) -> Home:
    (tmp_path / "home").mkdir(mode=0o700)
    shutil.copy(migrated, tmp_path / "home" / "selfheal.sqlite3")
    return Home(tmp_path / "home")


@pytest.mark.soak
@pytest.mark.xdist_group("killed")
def test_a_sequencer_that_is_killed_again_and_again_loses_and_doubles_nothing(home):
    moment = random.Random(7)
    writer = home.begun(WRITER)
    for _ in range(KILLS):
        process = home.begun(SEQUENCER)
        time.sleep(moment.uniform(0.2, 0.9))  # the moment of death is what is tried here
        process.kill()
        process.communicate()
    assert writer.wait(timeout=120) == 0
    last = home.begun(SEQUENCER)
    resources = json.loads(home.said(READ))
    last.kill()
    last.communicate()
    assert resources[0].startswith("key:")
    assert sorted(resources[1:]) == sorted(f"thing:{n}" for n in range(600))
    code = "from config.cli import run; code = run(['log', 'verify', '--json']); sys.exit(code)"
    assert json.loads(home.said(code))["size"] == 601
