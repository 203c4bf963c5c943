"""Take the advisers away, and healing goes on at `maintain`: nothing below imports them, and nothing waits for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = """
playbook: mend
title: Mend it
domain: host
diagnoses: [service_down]
impact: low
reversible: false
steps:
  - {id: only, action: noop, timeout: 5s, rollback: none}
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 1s, every: 200ms}
"""
SCRIPT = """
import json, sys
from pathlib import Path
sys.modules["metafocus"] = sys.modules["learning"] = sys.modules["config.celery"] = None  # an import of them is an error
from django.conf import settings
import config.settings as own
above = ("metafocus", "learning", "learning.broker", "config")
values = {name: getattr(own, name) for name in dir(own) if name.isupper()}
settings.configure(**{**values, "INSTALLED_APPS": [app for app in own.INSTALLED_APPS if app not in above], "SEEN_BEFORE": ""})
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.utils import timezone
from healing import catalog, intake, scheduler
from healing.governance import world
from healing.models import Run
intake.look = lambda: None
here, at = Path(sys.argv[1]), timezone.now()
assert not catalog.sync(here, [here / "playbooks"], actor="test", at=at).errors
alert = {"service": "web", "diagnosis": "service_down", "title": "down", "severity": "high", "labels": {}}
intake.receive_plain(json.dumps(alert).encode(), actor="test", at=at)
scheduler.look(at)
run = Run.objects.get()
print(world(at).level, run.decision["verdict"], run.status)
"""


def test_without_metafocus_and_learning_an_alert_still_becomes_a_run_at_maintain(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "mend.yaml").write_text(PLAYBOOK)
    service = {"name": "web", "mode": "auto", "url": "http://web.internal"}
    (tmp_path / "services.yaml").write_text(json.dumps({"map": [], "services": [service]}))
    own = {"SELF_HEAL_HOME": str(tmp_path), "SELF_HEAL_EXECUTE": "true", "SELF_HEAL_CHANGE_WINDOW": "", "DATABASE_URL": ""}
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["maintain", "auto", "queued"]
