"""Debian's own Alertmanager in a directory of its own, and our receiver in this process for it to post to."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.test.testcases import QuietWSGIRequestHandler
from django.utils import timezone

from config.demo.installation import free_port, wait_for
from healing import access
from healing.models import Service, Target

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
ANSWERS = 60.0  # seconds in which a group of 10,000 is taken in
EACH = 10  # alerts of one place in `group`

CONFIGURATION = """
route: {{receiver: selfheal, group_by: [alertname], group_wait: {wait}, group_interval: 1s, repeat_interval: {repeat}}}
receivers:
  - name: selfheal
    webhook_configs:
      - url: {url}/api/self_heal/alerts/alertmanager
        send_resolved: true
        http_config: {{authorization: {{credentials_file: {token}}}}}
"""


class Alertmanager:
    """`wait`: before a new group is posted; `repeat`: before it is posted again though nothing of it has changed."""

    def __init__(self, home: Path, url: str, token: str, *, wait: str = "200ms", repeat: str = "1h") -> None:
        self.port = free_port()
        (home / "token").write_text(token)
        configuration = CONFIGURATION.format(url=url, token=home / "token", wait=wait, repeat=repeat)
        (home / "alertmanager.yml").write_text(configuration)
        flags = [f"--config.file={home}/alertmanager.yml", f"--storage.path={home}/data", "--cluster.listen-address="]
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.process = subprocess.Popen([str(ALERTMANAGER), *flags, listen], stderr=subprocess.DEVNULL)
        wait_for(lambda: requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=1).ok, "Alertmanager is not ready")

    def post(self, service: str, starts: datetime, ends: datetime | None = None) -> None:
        alert = {
            "labels": {"alertname": "InstanceDown", "service": service, "severity": "page"},
            "annotations": {"summary": f"{service} is down"},
            "startsAt": starts.isoformat(),
            **({"endsAt": ends.isoformat()} if ends else {}),
        }
        self.post_all([alert])

    def post_all(self, alerts: list[dict[str, Any]]) -> None:
        requests.post(f"http://127.0.0.1:{self.port}/api/v2/alerts", json=alerts, timeout=ANSWERS).raise_for_status()

    def silence(self, service: str) -> str:
        """Silence the service for an hour; the id of the silence."""
        now = datetime.now(UTC)
        matchers = [{"name": "service", "value": service, "isRegex": False, "isEqual": True}]
        span = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        body = {"matchers": matchers, **span, "createdBy": "test", "comment": "maintenance"}
        answer = requests.post(f"http://127.0.0.1:{self.port}/api/v2/silences", json=body, timeout=5)
        answer.raise_for_status()
        return str(answer.json()["silenceID"])

    def expire(self, silence: str) -> None:
        requests.delete(f"http://127.0.0.1:{self.port}/api/v2/silence/{silence}", timeout=5).raise_for_status()

    def states(self) -> list[str]:
        found = requests.get(f"http://127.0.0.1:{self.port}/api/v2/alerts", timeout=5).json()
        return [alert["status"]["state"] for alert in found]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@dataclass
class Receiver:
    """What was posted to us: the answer to each body, and the seconds until it was given."""

    url: str = ""
    answers: list[tuple[Mapping[str, Any], float]] = field(default_factory=list)

    def unchanged(self, count: int) -> list[float]:
        """The seconds of each body of `count` alerts that were all known."""
        return [seconds for answer, seconds in self.answers if answer["deduplicated"] == count]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Our site on a port of its own. Its threads have connections of their own: a database in memory is not for it."""
    site, found = WSGIHandler(), Receiver()

    def timed(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()
        response = site(environ, start)
        found.answers.append((json.loads(response.content), time.perf_counter() - began))
        return response

    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietWSGIRequestHandler)
    server.set_app(timed)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sender() -> str:
    """The token of a user who may only deliver alerts."""
    at = timezone.now()
    access.ensure_roles(at)
    user = access.create_user("alertmanager", "viewer", "correct horse battery", "test", at)
    return access.create_token(user, ["ingest"], timedelta(days=1), "test", "test", at)[1]


def group(service: str, count: int) -> list[dict[str, Any]]:
    """So many alerts of one name, EACH of them of every host of a service, which is made."""
    hosts = [f"{service}-{n:05d}" for n in range(count // EACH)]
    made = Service.objects.create(name=service, mode="observe", targets_spec={"hosts": hosts})
    Target.objects.bulk_create(Target(service=made, name=host) for host in hosts)
    starts = datetime.now(UTC).isoformat()
    return [
        {
            "labels": {"alertname": "InstanceDown", "service": service, "instance": host, "severity": "page", "job": f"job-{n}"},
            "annotations": {"summary": f"{host} is down", "runbook": f"https://wiki.internal/runbooks/{host}"},
            "startsAt": starts,
        }
        for host in hosts
        for n in range(EACH)
    ]
