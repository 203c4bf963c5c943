"""`selfheal smoke --throwaway`: the whole way of an alert through an installation of its own, where nothing may be carried out.

Nothing of the installation that the environment names is touched: home, broker and database are new, and gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import requests

from selfheal.findings import Finding

from .installation import DemoFailed, Installation, LittleService, throwaway_home, wait_for
from .storage import database

SECONDS = 60.0  # for an alert to be decided on


def smoke() -> Iterator[Finding]:
    """A finding for each part of the way, then those of `selfheal smoke` in that home. Ends with the first that fails."""
    home = throwaway_home()
    try:
        with database(home, keep=False) as database_url:
            installation = Installation([LittleService("shop", home)], home, database_url)
            installation.environment = _alone(installation.environment)
            try:
                yield from _way(installation)
            finally:
                installation.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _alone(environment: dict[str, str]) -> dict[str, str]:
    """Without what the environment says of another installation, its broker above all; and nothing is carried out."""
    inherited = [name for name, value in environment.items() if name.startswith("SELF_HEAL_") and os.environ.get(name) == value]
    kept = {name: value for name, value in environment.items() if name not in (*inherited, "CELERY_BROKER_URL")}
    return kept | {"SELF_HEAL_EXECUTE": "false", "SELF_HEAL_OBSERVE_ONLY": "true"}


def _way(installation: Installation) -> Iterator[Finding]:
    way = _Way(installation)
    for what, step in {"start": way.start, "alert": way.alert, "decision": way.decision, "counters": way.counters}.items():
        finding = _tried(what, step, installation)
        yield finding
        if not finding.ok:
            return
    yield from way.look()
    yield _tried("whole log", way.verify, installation)


def _tried(what: str, step: Callable[[], str], installation: Installation) -> Finding:
    try:
        return Finding(what, True, step())
    except (DemoFailed, requests.RequestException, OSError, KeyError, ValueError) as error:
        said = installation.log.read_text(errors="replace")[-1000:] if installation.log.exists() else ""
        return Finding(what, False, str(error), said.strip() or "it wrote nothing")


class _Way:
    def __init__(self, installation: Installation) -> None:
        self.at = installation
        self.incident = ""

    def start(self) -> str:
        took = self.at.start()
        self.at.cli("user", "create", "smoke", "--role", "viewer")
        self.ingest, self.read = self.at.token("smoke", "ingest"), self.at.token("smoke", "read")
        return f"ready in {took:.1f} s, from an empty home"

    def alert(self) -> str:
        body = {
            "service": "shop", "target": "shop", "diagnosis": "service_down", "title": "A smoke test",
            "severity": "low", "starts_at": datetime.now(UTC).isoformat(), "fingerprint": "smoke",
        }  # fmt: skip
        answer = self.at.call("POST", "/api/self_heal/alerts", self.ingest, body)
        if answer["accepted"] != 1 or len(answer["incidents"]) != 1:
            raise DemoFailed(f"the alert made no incident: {answer}")
        self.incident = answer["incidents"][0]
        return f"made the incident {self.incident}"

    def decision(self) -> str:
        """Proposed with every rule reported, and denied for its mode alone: nothing may be carried out here."""
        found = wait_for(self._decided, "the scheduler proposes nothing", SECONDS)
        denied = [rule["rule"] for rule in found["rules"] if rule["verdict"] == "deny"]
        run = found["run"]
        if denied != ["global_mode"] or run["status"] != "aborted" or run["started_at"]:
            raise DemoFailed(f"{run['playbook']} is {run['status']}, denied by {denied}, where only the mode was to deny it")
        return f"{run['playbook']} proposed by the {run['requested_by']}, {len(found['rules'])} rules reported; only observed"

    def _decided(self) -> Any:
        found = self.at.call("GET", f"/api/self_heal/incidents/{self.incident}/why", self.read)
        return found if found["run"] and found["rules"] else None

    def counters(self) -> str:
        found = self.at.call("GET", "/api/self_heal/scheduler_counters", self.read)["per_service"].get("shop", {})
        counted = {name: found.get(name) for name in ("proposed", "skipped_mode")}
        if counted != {"proposed": 1, "skipped_mode": 1}:
            raise DemoFailed(f"one proposal and one for the mode were to be counted: {counted}")
        return "one proposal, one kept back for the mode"

    def look(self) -> Iterator[Finding]:
        for row in json.loads(self.at.anyway("smoke", "--json")):
            yield Finding(**{name: row[name] for name in ("what", "ok", "found", "mend")})

    def verify(self) -> str:
        report = json.loads(self.at.cli("log", "verify", "--json"))
        return f"{report['size']:,} entries, {report['heads']:,} signed heads"
