"""One example of every action and check of ours, for the suites that try them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfheal.commands import Command
from selfheal.places import Place
from selfheal.queries import Query
from tests.processes import PYTHON

COMMANDS = {
    "say": Command.model_validate(
        {"argv": ["/bin/echo", "${args.word}"], "args": {"word": {"type": "string", "pattern": "^[a-z]+$"}}}
    ),
    "ok": Command.model_validate({"argv": ["/bin/true"]}),
    "bad": Command.model_validate({"argv": ["/bin/false"]}),
}
QUERIES = {"load": Query(promql="load"), "none": Query(promql="none")}

# what an action is given, whether it may be run again, and what it leaves for its undo
ACTIONS: dict[str, tuple[dict[str, Any], bool, dict[str, Any]]] = {
    "process.start": ({}, True, {}),
    "process.restart": ({}, False, {}),
    "process.stop": ({}, True, {}),
    "command.run": ({"command": "say", "args": {"word": "hello"}}, False, {}),
    "http.request": ({"url": "SERVER/200"}, True, {}),
    "notify": ({"title": "Down", "body": "web is down"}, False, {}),
    "wait": ({"duration": "5ms"}, True, {}),
    "noop": ({}, True, {}),
    "flag.set": ({"flag": "new-checkout", "value": False}, False, {"before": True}),
    "instances.scale": ({"delta": 1}, False, {"before": 4}),
    "log_level.set": ({"level": "DEBUG"}, False, {"before": None}),
    "cache.warm": ({}, True, {}),
    "breakers.flush": ({"breakers": ["db"]}, True, {}),
}
GOOD: dict[str, dict[str, Any]] = {
    "http_health": {},
    "process_up": {},
    "command": {"command": "ok"},
    "cli_smoke": {"command": "ok"},
    "metrics_threshold": {"query": "load", "gte": 1, "lte": 2.5},
    "metrics_trend": {"query": "load", "direction": "rising"},
}
BAD: dict[str, dict[str, Any]] = {
    "http_health": {"expect": {"status": 500}},
    "process_up": {"unit": "selfheal-no-such-unit.service"},
    "command": {"command": "bad"},
    "cli_smoke": {"command": "bad"},
    "metrics_threshold": {"query": "load", "lte": 1},
    "metrics_trend": {"query": "load", "direction": "falling"},
}


def place(directory: Path, marker: str, url: str) -> Place:
    """Of a service that can be controlled at `url`, whose process carries `marker`."""
    start = [PYTHON, "-c", "import time; time.sleep(60)", marker]
    labels = {"pidfile": str(directory / "web.pid"), "start": json.dumps(start)}
    labels |= {f"{name}_url": f"{url}/control/{name}" for name in ("flags", "instances", "log_level", "cache", "breakers")}
    return Place("web", "web-01", target_url=url, labels=labels, commands=COMMANDS, queries=QUERIES, min_instances=2)
