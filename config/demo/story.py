"""The story: one service heals by itself, one asks a person, one fix does not help and is undone; then the log is verified."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import requests
from rich.console import Console

from .installation import DemoFailed, Installation, LittleService, Person, throwaway_home, wait_for
from .storage import database, ledger_copy_with_a_changed_row

OVER = {"succeeded", "failed", "rolled_back", "aborted", "rejected"}
PASSWORDS = {"ann": "demo-approver-ann", "otto": "demo-operator-otto"}


class Teller:
    """Prints what happens, as it happens."""

    def __init__(self) -> None:
        self.console, self.began = Console(highlight=False, soft_wrap=True), time.monotonic()

    def chapter(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str, style: str = "") -> None:
        self.console.print(f"{time.monotonic() - self.began:6.1f} s  {text}", style=style, markup=False)


def tell(*, keep: bool) -> int:
    """Do everything from nothing in a throwaway home; 0 when the story went as it should."""
    teller, home = Teller(), throwaway_home()
    services = [LittleService("shop", home), LittleService("billing", home), LittleService("search", home, broken=True)]
    try:
        with database(home, keep=keep) as database_url:
            installation = Installation(services, home, database_url)
            with running(installation, services, teller, keep=keep):
                Story(installation, services, teller).tell()
                if keep:
                    _stay(installation, teller)
        return 0
    except DemoFailed as failed:
        teller.say(f"The story went wrong: {failed}", "red")
        return 1
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running(installation: Installation, services: list[LittleService], teller: Teller, *, keep: bool) -> Iterator[None]:
    """Three services and an installation, all of them ended at the end."""
    try:
        teller.chapter("Three little services and a fresh installation")
        for service in services:
            service.start()
            teller.say(f"{service.name} runs as process {service.pid} at {service.url}")
        teller.say(f"selfheal is up and ready in {installation.start():.1f} s, in {installation.home}")
        yield
    finally:
        installation.stop()
        for service in services:
            service.end()


def _stay(installation: Installation, teller: Teller) -> None:
    teller.chapter(f"It goes on running: {installation.url}/admin/")
    for name, password in PASSWORDS.items():
        teller.say(f"sign in as {name} with {password}")
    teller.say("Ctrl-C ends it")
    try:
        signal.pause()
    except KeyboardInterrupt:
        teller.say("ending it")


class Story:
    def __init__(self, installation: Installation, services: list[LittleService], teller: Teller) -> None:
        self.at, self.teller = installation, teller
        self.shop, self.billing, self.search = services

    def tell(self) -> None:
        self._people()
        self._heals_alone()
        self._asks()
        self._is_undone()
        self._is_proved()

    def _people(self) -> None:
        self.at.cli("user", "create", "alertmanager", "--role", "viewer")
        for name, role in (("otto", "operator"), ("ann", "approver")):
            self.at.cli("user", "create", name, "--role", role, "--password-stdin", given=PASSWORDS[name])
        self.ingest = self.at.token("alertmanager", "ingest")
        self.read = self.at.token("otto", "read")
        self.teller.say("otto is an operator, ann an approver; Alertmanager has a token that can only deliver alerts")

    def _heals_alone(self) -> None:
        self.teller.chapter("1. The shop is killed. Low impact: policy lets selfheal restart it.")
        dead = self.shop.pid
        self.shop.signal(signal.SIGKILL)
        self.teller.say(f"SIGKILL to process {dead}")
        run = self._follow(self._alert("InstanceDown", self.shop, "The shop does not answer"))
        self._expect(run, "succeeded", "resolved")
        self.teller.say(f"the shop runs again as process {self.shop.pid} and answers {self._health(self.shop)}", "green")

    def _asks(self) -> None:
        self.teller.chapter("2. Billing hangs. High impact: a person decides.")
        self.billing.signal(signal.SIGSTOP)
        self.teller.say(f"SIGSTOP to process {self.billing.pid}: it is there and answers nothing")
        incident = self._alert("HighLatency", self.billing, "Billing takes longer than 5 s")
        request = wait_for(lambda: self._pending(incident), "nobody is asked")
        self.teller.say(f"it asks: {request['why']}")
        page = f"/admin/healing/approvalrequest/{request['id']}/change/"
        self.teller.say(f"ann opens {self.at.url}{page} and approves")
        Person(self.at, "ann", PASSWORDS["ann"]).submit(page, "approve", comment="Known hang, restart it")
        self._expect(self._follow(incident), "succeeded", "resolved")
        self.teller.say(f"billing answers {self._health(self.billing)}", "green")

    def _is_undone(self) -> None:
        self.teller.chapter("3. Search fails, and the fix does not help: it is undone, and a person has to look.")
        self.teller.say(f"search answers {self._health(self.search)} and has {self.search.workers()} workers")
        incident = self._alert("HighErrorRate", self.search, "Search answers 503")
        run = self._follow(incident)
        self._expect(run, "rolled_back", "open")
        why = self._incident(incident)["why"]["reason"]
        self.teller.say(f"search has {self.search.workers()} workers again; the incident stays open: {why}", "yellow")

    def _is_proved(self) -> None:
        self.teller.chapter("4. The log proves it.")
        self.teller.say(self.at.cli("log", "verify").strip(), "green")
        copy = ledger_copy_with_a_changed_row(self.at)
        said = self.at.cli("log", "verify", "--database", str(copy), fails=True).strip()
        self.teller.say("one row changed in a copy:")
        for line in said.splitlines()[-3:]:
            self.teller.say(line, "yellow")

    # -- looking

    def _alert(self, alertname: str, service: LittleService, summary: str) -> str:
        """Deliver a body as Alertmanager posts it, and return the incident that it opened."""
        answer = self.at.call(
            "POST", "/api/self_heal/alerts/alertmanager", self.ingest, alertmanager_body(alertname, service.name, summary)
        )
        if not answer["incidents"]:
            raise DemoFailed(f"the alert opened no incident: {answer}")
        self.teller.say(f"alert {alertname} delivered → incident {answer['incidents'][0]}")
        return str(answer["incidents"][0])

    def _follow(self, incident: str) -> dict[str, Any]:
        """Print the incident's timeline as it grows, until its last run is over; returns that run."""
        seen: set[str] = set()

        def over() -> dict[str, Any] | None:
            for line in self._get(f"/api/self_heal/incidents/{incident}/timeline")["results"]:
                key = f"{line['at']}{line['action']}{line['reason']}"
                if key not in seen:
                    seen.add(key)
                    self._line(line)
            runs = self._get(f"/api/self_heal/runs?incident={incident}")["results"]
            return runs[0] if runs and runs[0]["status"] in OVER else None

        return dict(wait_for(over, "the run does not end", 60.0))

    def _line(self, line: dict[str, Any]) -> None:
        self.teller.say(f"  {line['action']:<18} {line['actor']:<12} {line['reason']}"[:220])

    def _expect(self, run: dict[str, Any], status: str, incident_status: str) -> None:
        incident = self._incident(run["incident"])
        if (run["status"], incident["status"]) != (status, incident_status):
            raise DemoFailed(f"the run is {run['status']} ({run['reason']}), the incident {incident['status']}")
        self.teller.say(f"run {run['status'].replace('_', ' ')}, incident {incident['status']}")

    def _incident(self, incident: str) -> dict[str, Any]:
        return dict(self._get(f"/api/self_heal/incidents/{incident}"))

    def _pending(self, incident: str) -> dict[str, Any] | None:
        runs = {run["id"] for run in self._get(f"/api/self_heal/runs?incident={incident}")["results"]}
        return next((a for a in self._get("/api/self_heal/approvals?status=pending")["results"] if a["run"] in runs), None)

    def _get(self, path: str) -> Any:
        return self.at.call("GET", path, self.read)

    @staticmethod
    def _health(service: LittleService) -> int:
        return requests.get(f"{service.url}/healthz", timeout=5).status_code


def alertmanager_body(alertname: str, service: str, summary: str) -> dict[str, Any]:
    """A webhook body of form version 4 with one firing alert."""
    labels = {"alertname": alertname, "service": service, "severity": "critical"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": summary},
        "startsAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
    }
    return {
        "receiver": "selfheal",
        "status": "firing",
        "alerts": [alert],
        "groupLabels": {"alertname": alertname},
        "commonLabels": labels,
        "commonAnnotations": {"summary": summary},
        "externalURL": "http://alertmanager.example",
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alertname}", service="{service}"}}',
        "truncatedAlerts": 0,
    }
