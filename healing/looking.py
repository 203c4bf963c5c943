"""Looking at something outside of a run: read-only actions and checks, under the launcher, in their bounds.

The launcher forks, and a process with several threads must not: it has a process of ours look, `python -m healing.looking`, which
reads what to do on its standard input, says what it saw on its standard output, and knows neither Django nor the database.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from healing.actions import ACTIONS
from healing.actions.base import Context
from healing.checks import CHECKS
from healing.launcher import Launched, launch

START_SECONDS = 15.0  # for a process of ours to begin and to end, beside what it does


@dataclass(frozen=True)
class Look:
    """`kind`: action or check."""

    kind: str
    name: str
    arguments: Mapping[str, Any]
    context: Context

    @property
    def bound_seconds(self) -> float:
        return self.context.bound_seconds


@dataclass(frozen=True)
class Seen:
    """`answered`: it came to an end by itself, so that `ok` is what it says."""

    answered: bool
    ok: bool
    message: str
    output: str
    data: Mapping[str, Any]


def seen(launched: Launched) -> Seen:
    answered = not launched.timed_out and not launched.cancelled
    return Seen(answered, launched.result.ok, launched.message, launched.stdout, launched.result.data)


def take(look: Look) -> Seen:
    """What it shows."""
    return _here(look) if threading.active_count() == 1 else _apart(look)


def _here(look: Look) -> Seen:
    doer = ACTIONS.get(look.name) if look.kind == "action" else CHECKS.get(look.name)
    if doer is None:
        return _unseen(f"there is no {look.kind} {look.name!r}")
    return seen(
        launch(
            lambda channel: doer.run(look.arguments, look.context.on(channel)),
            bound_seconds=look.bound_seconds,
            title=look.name,
        )
    )


def _apart(look: Look) -> Seen:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "healing.looking"],
            input=pickle.dumps(look),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            timeout=look.bound_seconds + START_SECONDS,
            check=True,
        )
        return Seen(**json.loads(done.stdout))
    except subprocess.SubprocessError as error:
        return _unseen(f"the process that looks failed: {error}")


def _unseen(message: str) -> Seen:
    return Seen(False, False, message, "", {})


def _main() -> None:
    look = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    json.dump(asdict(_here(look)), sys.stdout)


if __name__ == "__main__":
    _main()
