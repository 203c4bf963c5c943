"""Take the advisers away, and healing goes on at `maintain`: nothing below imports them, and nothing waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
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
from healing import scheduler
from healing.governance import world
from healing.models import Incident, Playbook, Run
sys.path.insert(0, "tests/..")
from tests.factories import make_incident, make_playbook, make_service
at = timezone.now()
book = make_playbook()
make_incident(make_service("web"), at, next_look_at=at)
scheduler.look(at)
print(world(at).level, Incident.objects.get().why.get("skip") or Run.objects.get().status)
"""


def test_without_metafocus_and_learning_the_scheduler_looks_and_the_level_is_maintain(tmp_path: Path) -> None:
    environment = {**os.environ, "SELF_HEAL_HOME": str(tmp_path), "DATABASE_URL": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    level, came = done.stdout.split()
    assert level == "maintain"
    assert came
