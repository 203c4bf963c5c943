"""The command line.

Each command has a module of this package that is loaded when it is called: `command` for a command of its own, `app` (a typer
app) for several below one name. A module loads typer at its top and everything else inside its functions, after `base.ready()`.

Exit status: 0, 1 (it failed, or found something wrong), 2 (used wrongly, or a setting is wrong). What went wrong is one line.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

COMMANDS = {
    "up": "Run everything on this machine, in the foreground.",
    "demo": "Show it at work, from nothing, in a throwaway home.",
    "doctor": "Look at settings, database, broker, processes and files; say how to mend what is wrong.",
    "smoke": "Prove that the important parts work, here or at a server, and change nothing; say how to mend what does not.",
    "user": "Make users, list them, unlock them, sign them out, reset a second factor.",
    "token": "Make, list and revoke API tokens.",
    "services": "List services, read them from services.yaml.",
    "domains": "Say how the parts of each domain are, and of selfheal itself; what to look at first.",
    "playbooks": "List, check, sync and try playbooks.",
    "incidents": "List, show, acknowledge, assign, comment, resolve, close incidents.",
    "why": "Say why an alert or an incident is not healed.",
    "backtest": "Say what would have become of the alerts of the past, with this policy or another.",
    "advise": "Say what the advisers see in a file: anomalies, a forecast, the root of an incident; and how they stand.",
    "approvals": "List, show, approve, reject what waits for a person.",
    "runs": "List, show, follow, abort runs.",
    "problems": "List what is healed again and again, acknowledge it.",
    "autonomy": "List what playbooks may do alone; grant and revoke it.",
    "guardrail": "Say how far healing may go alone; pin the level, take the pin away.",
    "trust": "Say how far actors are trusted and why; set it, take that back.",
    "learning": "Judge the ranker, or a playbook that was only observed; read what was learnt again.",
    "windows": "List change windows and freezes, say what comes next, check a time or a file.",
    "silences": "List silences; propose nothing for a service, labels or an incident for a while.",
    "kill-switch": "Stop or pause all healing, release it.",
    "log": "Verify, prove, export the log, replay a run or a cycle from it.",
    "database": "Print or apply the grants of a role that may add to the log and do no more to it.",
    "backup": "Write the database and the keys into one file, while everything runs.",
    "restore": "Put a backup into an empty home and database, and verify the log in it.",
    "migrate": "Bring the database up to date, read services and playbooks into it.",
    "web": "The web process alone.",
    "worker": "One worker alone, for the queue control, runs or advice.",
    "beat": "The clock alone.",
    "sequencer": "The process that orders and signs the log, alone.",
}
_MODULES = {
    **dict.fromkeys(("up", "migrate", "web", "worker", "beat", "sequencer"), "processes"),
    **dict.fromkeys(("backup", "restore"), "backups"),
}


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; its exit status."""
    from config.cli.base import explained

    root = _root(arguments[0] if arguments else _being_typed())
    return explained(lambda: root(args=list(arguments), prog_name="selfheal"))


def _being_typed() -> str:
    """The command of the line that a shell asks to have completed; empty if none does."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    try:
        words = shlex.split(line)
    except ValueError:  # a quote is still open
        words = line.split()
    return words[1] if len(words) > 1 else ""


def _root(wanted: str) -> typer.Typer:
    """The command line with the one command that is wanted loaded; the others only have their line of help."""
    root = typer.Typer(
        help="A self-healing control plane: alerts in, policy decides, people are asked, fixes are verified, a log proves it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for name, line in COMMANDS.items():
        if name == wanted:
            _load(root, name, line)
        else:
            root.command(name, help=line)(_elsewhere)
    return root


def _elsewhere() -> None:
    """Stands for a command that is not wanted now."""


def _load(root: typer.Typer, name: str, line: str) -> None:
    module = import_module(f"config.cli.{_MODULES.get(name, name.replace('-', '_'))}")
    command = getattr(module, name if name in _MODULES else "command", None)
    if command:
        root.command(name, help=line)(command)
    else:
        root.add_typer(module.app, name=name, help=line, no_args_is_help=True)
