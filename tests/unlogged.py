"""Whether code of ours changes what is governed without an entry in the log: looked at in every test that has a database.

Each statement that writes is seen with the function of ours that made it. What tests write themselves is their own business. A
change of a governed table has to come with a leaf in the same call from a test, and in a test that is rolled back also in the
same transaction, which there is the outermost savepoint that code of ours has made.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from django.apps import apps
from django.db import connection

ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(f"{ROOT / name}/" for name in ("healing", "learning", "metafocus", "config"))
TESTS = f"{ROOT / 'tests'}/"
OUTBOX = "healing_ledgeroutbox"
_WRITE = re.compile(r'^(INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM) "?(\w+)"?(.*)', re.DOTALL)
_SET = re.compile(r'"(\w+)" = ')

# What is not governed, and why. A model that stands nowhere here is.
FREE = {
    "healing.LedgerOutbox": "is the log",
    "healing.LedgerEntry": "is the log",
    "healing.LedgerTile": "is the log",
    "healing.LedgerHead": "is the log",
    "healing.LedgerKey": "is the log",
    "healing.LedgerCosignature": "is signed itself",
    "healing.LedgerPlace": "how handing over went; that a log does not go on is an entry",
    "healing.LedgerPatrol": "how far the patrol is; that it found something is an entry",
    "healing.Lease": "which process does a job; it decides nothing",
    "healing.Heartbeat": "a sign of life",
    "healing.JobSlot": "which process does a job",
    "healing.JobRun": "how a job went",
    "healing.Counter": "a count of what has entries",
    "healing.IdempotentCall": "an answer to be sent again; what the call did has its entry",
    "healing.Notification": "a message about what has an entry",
    "healing.SavedFilter": "how somebody looks at a list",
    "healing.Sample": "a measurement",
    "healing.Sensed": "when something was looked at, and what could not be seen",
    "healing.Signal": "what measurements say; an incident that follows has its entry",
    "healing.Backoff": "computed from runs, which have entries",
    "learning.Cursor": "how far the log is read",
    "learning.Lesson": "read from the log, and made again from it",
    "learning.Course": "read from the log",
    "learning.Hour": "read from the log",
    "learning.Repair": "read from the log",
    "learning.Weight": "read from the log",
    "learning.Advised": "what an adviser was asked and said; a cycle that goes by it has its entry",
    "metafocus.Finding": "what a source was to be judged by; an incident that it opened has its entry",
    "metafocus.SourceDay": "counts of these",
    "memory.Pattern": "read from the log",
    "memory.Question": "how often something was asked; each asking has its entry",
    "memory.Asked": "the sliding window of the quota; each asking has its entry",
}
# Columns that may change alone without an entry, and why.
FREE_COLUMNS: dict[str, dict[str, str]] = {
    "healing.Token": {"last_used_at": "each use, which has an entry if it changed something"},
    "healing.User": {"last_login": "the entry is written at the next statement", "time_zone": "how somebody sees times"},
    "healing.Run": dict.fromkeys(("lease_expires_at", "due_at", "deadline_at", "reason"), "who works on it, and until when"),
    "healing.Step": dict.fromkeys(("stdout", "stderr", "stdout_bytes", "stderr_bytes"), "its digest has an entry"),
    "healing.Incident": dict.fromkeys(("why", "looked_at", "next_look_at"), "what the last look found"),
    "healing.Adviser": dict.fromkeys(("failures", "reason", "tried_until"), "counted until it is switched off"),
    "healing.PutBack": dict.fromkeys(("due_at", "attempts", "message"), "when it is tried next; its end has an entry"),
}
# Functions of ours that write without an entry, themselves or by what they call, and why.
FREE_FUNCTIONS = {
    "healing/governance.py: control": "makes the one row, as it is by default",
    "healing/catalog/services.py: lock": "makes the one row, as it is by default",
    "healing/runs/steps.py: plan_steps": "rows for the steps of a plan whose digest has an entry",
    "healing/found.py: _locked": "makes the row of a source, as it is by default",
    "healing/breaker.py: _locked": "makes the row of an adviser, as it is by default",
    "healing/guardrail.py: _locked": "makes the one row, as it is by default",
    "healing/guardrail.py: say": "the same level said again; another one has its entry, as the tests of it say",
    "learning/shadow.py: save": "reads from the log",
    "learning/follow.py: again": "forgets what was read from the log",
    "metafocus/loop.py: probe": "counts the samples that a cycle asked for",
    "healing/trust.py: _locked": "counts evidence that was read from the log",
    "healing/trust.py: _count": "counts evidence that was read from the log",
    "learning/broker/outcomes.py: save": "reads from the log",
    "learning/broker/outcomes.py: _remember_pattern": "reads from the log",
    "learning/broker/search.py: remove": "its time is over by policy; the entry of the storing says when",
}
# Functions by which tests fill a table, when a test calls them itself.
FILLED_BY = {"learning/broker/search.py: add"}


def governed() -> dict[str, str]:
    """Table → model, of all that is governed."""
    ours = [model for model in apps.get_models() if model.__module__.split(".")[0] in ("healing", "learning", "metafocus")]
    return {model._meta.db_table: model._meta.label for model in ours if model._meta.label not in FREE}


class Watch:
    def __init__(self) -> None:
        self.tables = governed()
        self.base = len(connection.savepoint_ids) if connection.in_atomic_block else None
        self.changed: dict[Any, set[str]] = defaultdict(set)
        self.logged: set[Any] = set()
        self._held: list[FrameType] = []  # so that no other frame has the address of one that is a key

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.startswith("ROLLBACK TO SAVEPOINT"):
            self._forget(sql.split('"')[1])
        answer = execute(sql, params, many, context)
        found = _WRITE.match(sql) if sql[:1] in "IUD" else None
        # SQLite counts the rows of an INSERT that returns something only once they are read.
        if found and (context["cursor"].rowcount or "RETURNING" in sql):
            self._saw(found[1], found[2], found[3])
        return answer

    def _forget(self, savepoint: str) -> None:
        for key in [key for key in self.changed if savepoint in key]:
            del self.changed[key]

    def rolled_back(self) -> None:
        if frames := _frames_of_ours(sys._getframe(1)):
            self.changed.pop((id(frames[-1]),), None)

    def _saw(self, verb: str, table: str, rest: str) -> None:
        if table != OUTBOX and (table not in self.tables or (verb == "UPDATE" and self._is_free(table, rest))):
            return
        frames = _frames_of_ours(sys._getframe(3))
        if not frames:
            return
        outer = frames[-1]
        self._held.append(outer)
        savepoints = connection.savepoint_ids[self.base : self.base + 1] if self.base is not None else []
        key = (id(outer), *savepoints)
        if table == OUTBOX:
            self.logged.add(key)
        elif not {_place(frame) for frame in frames} & FREE_FUNCTIONS.keys() and _place(outer) not in FILLED_BY:
            self.changed[key].add(f"{verb} {self.tables[table]} in {_place(frames[0])}")

    def _is_free(self, table: str, rest: str) -> bool:
        free = FREE_COLUMNS.get(self.tables[table], {})
        columns = set(_SET.findall(rest.partition(" WHERE ")[0]))
        return bool(columns) and columns <= set(free)

    def unlogged(self) -> list[str]:
        """What changed without an entry. A call that is in no transaction of its own is the part of one that a test took out."""
        calls = {key[:1] for key in self.logged}
        return sorted({said for key, found in self.changed.items() if key not in self.logged | calls for said in found})


def _frames_of_ours(frame: FrameType | None) -> list[FrameType]:
    """Our frames above the test, the innermost first; none if a test writes by itself."""
    found = []
    while frame is not None and not frame.f_code.co_filename.startswith(TESTS):
        if frame.f_code.co_filename.startswith(OURS):
            found.append(frame)
        frame = frame.f_back
    return found


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT)}: {frame.f_code.co_name}"


@contextmanager
def watched() -> Iterator[Watch]:
    watch, rollback = Watch(), connection.rollback

    def seen() -> None:
        watch.rolled_back()
        rollback()

    connection.rollback = seen  # type: ignore[method-assign]
    try:
        with connection.execute_wrapper(watch):
            yield watch
    finally:
        del connection.rollback
