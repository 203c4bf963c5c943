"""A house with real little services; the broker's part is played by a list, so that a test decides when a worker comes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from config.demo.installation import HERE, LittleService
from healing import catalog, intake, scheduler
from healing.models import Incident, Run
from healing.runs import held, runner, starting
from healing.runs.intent import wait_until_signed


class House:
    """What a test talks to: it delivers alerts, looks, and lets a worker come."""

    def __init__(self, root: Path, settings: Any) -> None:
        self.root, self.settings = root, settings
        self.config, self.playbooks = root / "config", root / "playbooks"
        self.config.mkdir()
        self.playbooks.mkdir()
        self.services: dict[str, LittleService] = {}
        for source in (HERE / "playbooks").glob("*.yaml"):
            (self.playbooks / source.name).write_text(source.read_text())
        settings.SELF_HEAL_CONFIG_DIR = self.config
        settings.SELF_HEAL_PLAYBOOK_DIRS = [self.playbooks]
        settings.SELF_HEAL_HOME = root

    def service(self, name: str, *, mode: str = "auto", broken: bool = False, up: bool = True, **more: Any) -> LittleService:
        little = self.services[name] = LittleService(name, self.root, broken=broken)
        if up:
            little.start()
        else:
            little.pidfile.write_text("999999999")
        self.declare(**{name: {"mode": mode, **more}})
        return little

    def declare(self, **more: dict[str, Any]) -> None:
        path = self.config / "services.yaml"
        document = json.loads(path.read_text()) if path.exists() else {"map": [], "services": []}
        known = {service["name"]: service for service in document["services"]}
        for name, fields in more.items():
            base = self.services[name].document() if name in self.services else {"name": name}
            known[name] = {**base, **known.get(name, {}), **fields}
        path.write_text(json.dumps({**document, "services": list(known.values())}))
        self.sync()

    def playbook(self, name: str, text: str) -> None:
        (self.playbooks / f"{name}.yaml").write_text(text)
        self.sync()

    def sync(self) -> None:
        report = catalog.sync(self.config, [self.playbooks], actor="test", at=timezone.now())
        assert not report.errors, report.errors

    def alert(
        self, alertname: str, service: str, *, status: str = "firing", starts: datetime | None = None, **labels: str
    ) -> dict:
        """Deliver one alert as Alertmanager posts it."""
        starts = starts or timezone.now() - timedelta(minutes=1)
        alert = {
            "status": status,
            "labels": {"alertname": alertname, "service": service, "severity": "critical", **labels},
            "annotations": {"summary": f"{alertname} on {service}"},
            "startsAt": starts.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "endsAt": timezone.now().isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
        }
        group = {"receiver": "selfheal", "status": status, "version": "4", "groupKey": "{}", "truncatedAlerts": 0}
        body = {**group, "alerts": [alert], "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": ""}
        return intake.receive(json.dumps(body).encode(), actor="alertmanager", at=timezone.now())

    def look(self, at: datetime | None = None) -> None:
        scheduler.look(at or timezone.now())

    def propose(self, alertname: str, service: str, **labels: str) -> Run:
        """Alert in, look, and the run that came of it."""
        self.alert(alertname, service, **labels)
        self.look()
        return Run.objects.latest("created_at")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that were sent to the workers; the look that an accepted alert asks for is left to the test."""
    from healing import tasks

    ids: list[str] = []
    monkeypatch.setattr(tasks.execute_run, "apply_async", lambda args, **_: ids.append(args[0]))
    monkeypatch.setattr(tasks.look, "apply_async", lambda *_, **__: None)
    return ids


@pytest.fixture
def house(transactional_db: None, tmp_path: Path, settings: Any, sent: list[str]) -> Iterator[House]:
    built = House(tmp_path, settings)
    yield built
    for little in built.services.values():
        if little.child or little.pidfile.read_text() != "999999999":
            little.end()


@pytest.fixture
def sequencer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a signed head finds that the sequencer has just been."""
    from healing.ledger import keys, sequencer

    def sequenced(outbox_id: int, wake: Callable[[], str]) -> bool:
        sequencer.sequence_once(keys.load(), timezone.now())
        return wait_until_signed(outbox_id, wake)

    monkeypatch.setattr(held, "wait_until_signed", sequenced)


@pytest.fixture
def work(sent: list[str], sequencer: None) -> Callable[..., Run]:
    """Let a worker take a run and work on it until it is over."""

    def worker(run: Run, *, at: datetime | None = None, holder: str = "worker test") -> Run:
        lease = starting.claim(uuid.UUID(str(run.pk)), holder, at or timezone.now())
        if lease:
            runner.execute(lease)
        return Run.objects.select_related("incident", "service").get(pk=run.pk)

    return worker


@pytest.fixture
def incident_of() -> Callable[[Run], Incident]:
    return lambda run: Incident.objects.get(pk=run.incident_id)
