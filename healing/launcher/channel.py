"""The line between the work and the worker: JSON, one message a line, over a socket pair.

The work says `{"result": {ok, message, data}}` once at its end, `{"mask": text}` before it uses a secret,
`{"within": seconds}` if it wants less time than it has, `{"note": {…}}` for facts that are kept however it ends, and
`{"spawn": {…}}`, which the worker answers with `{"pid", "started"}` or `{"errno", "error"}`. Whatever the work executes does
not have this line: it closes at exec.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from healing.detached import Spawned, spawn
from healing.result import Result

Work = Callable[["Channel"], Result | None]

MAX_LINE = 1024 * 1024
MAX_RESULT = 256 * 1024


class Channel:
    """The end that the work holds."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._input = end, end.makefile("rb")

    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        record: Path | None = None,
    ) -> Spawned:
        """Have the worker start `argv` detached, outside of this launcher. Raises OSError if it cannot be started."""
        asked = {
            "argv": list(argv),
            "cwd": cwd,
            "env": dict(env or {}),
            "log": log and str(log),
            "record": record and str(record),
        }
        self._send({"spawn": asked})
        answer = json.loads(self._input.readline(MAX_LINE) or b'{"errno": 0, "error": "the worker is gone"}')
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"])
        return Spawned(**answer)

    def mask(self, secret: str) -> None:
        """Have `secret` shown as *** in whatever this work leaves behind."""
        self._send({"mask": secret})

    def within(self, seconds: float) -> None:
        """Bind the work to less time than its launch has."""
        self._send({"within": seconds})

    def note(self, data: Mapping[str, Any]) -> None:
        """Keep `data` in the result's own, also if this work is ended before it has one."""
        self._send({"note": dict(data)})

    def finish(self, result: Result) -> None:
        message = {"ok": result.ok, "message": result.message[:4096], "data": result.data}
        if len(json.dumps(message)) > MAX_RESULT:
            message["data"] = {"left_out": f"over {MAX_RESULT:,} bytes"}
        self._send({"result": message})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._end.sendall(json.dumps(message).encode() + b"\n")


class WorkerEnd:
    """The end that the worker holds: it collects the result and the secrets, and starts what is asked for."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._rest = end, b""
        self.result: Result | None = None
        self.secrets: list[str] = []
        self.notes: dict[str, Any] = {}
        self.within: float | None = None  # seconds, from `since`
        self.since = time.monotonic()

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def waits(self) -> bool:
        """Whether there is something to receive at once."""
        line = select.poll()
        line.register(self, select.POLLIN)
        return bool(line.poll(0))

    def receive(self, *, may_spawn: bool = True) -> bool:
        """Take what has come; False at the end of the line, or if it breaks the rules."""
        try:
            chunk = self._end.recv(65536)
        except ConnectionError:
            return False
        self._rest += chunk
        try:
            for message in self._messages():
                self._take(message, may_spawn)
        except (ValueError, TypeError, KeyError):
            return False
        return bool(chunk) and len(self._rest) <= MAX_LINE

    def _messages(self) -> Iterator[dict[str, Any]]:
        while b"\n" in self._rest:
            line, self._rest = self._rest.split(b"\n", 1)
            yield json.loads(line)

    def _take(self, message: dict[str, Any], may_spawn: bool) -> None:
        if "result" in message:
            self.result = Result(**message["result"])
        elif "mask" in message:
            self.secrets.append(message["mask"])
        elif "note" in message:
            self.notes |= message["note"]
        elif "within" in message:
            self.within, self.since = message["within"], time.monotonic()
        elif "spawn" in message:
            self._answer(_start(message["spawn"]) if may_spawn else {"errno": 0, "error": "this step is being ended"})

    def _answer(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # who asked is gone, and the launcher says so
            self._end.sendall(json.dumps(answer).encode() + b"\n")


def _start(asked: dict[str, Any]) -> dict[str, Any]:
    paths = {name: asked[name] and Path(asked[name]) for name in ("log", "record")}
    try:
        spawned = spawn(asked["argv"], cwd=asked["cwd"], env=asked["env"], **paths)
    except OSError as error:
        return {"errno": error.errno or 0, "error": error.strerror or os.strerror(error.errno or 0)}
    return {"pid": spawned.pid, "started": spawned.started}
