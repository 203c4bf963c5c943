"""Asking the forced command of a host, from inside the work of a step.

Rules that this module keeps:
1. The request is one line of JSON on standard input; nothing of it stands in an argument list.
2. Standard input stays open, and gets an empty line every few seconds: when that ends, whoever dies first, the far side ends the
   program. So ending the ssh client here ends the program there.
3. Waiting is bounded here as well, for a far side that does not keep its bound.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healing.forking import clean_environment
from healing.result import Result

from .ssh import CONNECT_SECONDS, Remote, command

BEAT = 5.0
MARGIN = CONNECT_SECONDS + 10.0  # to connect, and for the far side to end what it started
MAX_OUTPUT = 1024 * 1024
TAIL = 2000
SSH_FAILED = 255
OWN = "selfheal: "

Take = Callable[[int, bytes], None]  # (1 or 2, what came on that output)


class RemoteError(Exception):
    """The host could not be asked; the message says which and why, in ssh's own words."""


@dataclass(frozen=True)
class Keys:
    """The files that say who we are, and whom we believe."""

    key_file: Path
    known_hosts: Path


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str  # the end of it

    @property
    def own(self) -> str:
        """What the forced command itself had to say, at the end."""
        last = self.err.rstrip().rpartition("\n")[2]
        return last.removeprefix(OWN) if last.startswith(OWN) else ""


def ask(remote: Remote, keys: Keys, argv: Sequence[str], seconds: float) -> Answer:
    """What a tool said there. Raises RemoteError."""
    return _collected(remote, keys, {"argv": list(argv), "bound_seconds": seconds}, seconds)


def ping(remote: Remote, keys: Keys) -> Answer:
    """What the forced command says of itself, as JSON. Raises RemoteError."""
    return _collected(remote, keys, {"ping": True}, MARGIN)


def run(
    remote: Remote, keys: Keys, argv: Sequence[str], seconds: float, *, env: Mapping[str, str], limits: Mapping[str, int]
) -> Result:
    """Run a program there, under limits {memory_mib, file_size_mib}; its outputs come out here."""
    err = bytearray()

    def pass_on(number: int, chunk: bytes) -> None:
        if number == 2:
            _keep_end(err, chunk)
        while chunk:
            chunk = chunk[os.write(number, chunk) :]

    request = {"argv": list(argv), "env": dict(env), "bound_seconds": seconds, "limits": dict(limits)}
    try:
        answer = _answer(remote, _call(remote, keys, request, seconds, pass_on), b"", err)
    except RemoteError as error:
        return Result(False, str(error))
    return Result(answer.code == 0, f"{answer.own or f'exit code {answer.code}'} on {remote.host}", {"exit_code": answer.code})


def _collected(remote: Remote, keys: Keys, request: Mapping[str, Any], seconds: float) -> Answer:
    out, err = bytearray(), bytearray()

    def collect(number: int, chunk: bytes) -> None:
        if number == 2:
            _keep_end(err, chunk)
        elif len(out) + len(chunk) > MAX_OUTPUT:
            raise RemoteError(f"{remote.host} said more than {MAX_OUTPUT:,} bytes")
        else:
            out.extend(chunk)

    return _answer(remote, _call(remote, keys, request, seconds, collect), out, err)


def _keep_end(kept: bytearray, chunk: bytes) -> None:
    kept += chunk
    del kept[:-TAIL]


def _answer(remote: Remote, code: int, out: bytes | bytearray, err: bytes | bytearray) -> Answer:
    """Raises RemoteError if it was ssh that failed: only the far side begins its last line with `selfheal: `."""
    answer = Answer(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    if (code == SSH_FAILED or code < 0) and not answer.own:
        said = " ".join(answer.err.split())[-500:] or "it said nothing"
        raise RemoteError(f"{remote} cannot be asked by ssh: {said}")
    return answer


def _call(remote: Remote, keys: Keys, request: Mapping[str, Any], seconds: float, take: Take) -> int:
    """Send the request, hand out what comes, and return ssh's exit code: that of the far side, 255, or negative for a signal."""
    argv = command(remote, keys.key_file, keys.known_hosts)
    pipe = subprocess.PIPE
    try:
        ssh = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, cwd="/", env=clean_environment())
    except OSError as error:
        raise RemoteError(f"{argv[0]} cannot be started: {error.strerror}") from error
    with ssh:
        try:
            _say(ssh, json.dumps(request).encode())
            _listen(remote, ssh, time.monotonic() + seconds + MARGIN, take)
            return ssh.wait(MARGIN)
        except subprocess.TimeoutExpired as error:
            raise RemoteError(f"ssh to {remote} does not end") from error
        finally:
            ssh.kill()  # without effect on one that has ended


def _say(ssh: subprocess.Popen[bytes], line: bytes) -> None:
    rest = line + b"\n"
    with contextlib.suppress(BrokenPipeError):  # it has ended, and its exit code tells
        while rest:
            rest = rest[os.write(ssh.stdin.fileno(), rest) :]  # type: ignore[union-attr]


def _listen(remote: Remote, ssh: subprocess.Popen[bytes], until: float, take: Take) -> None:
    """Hand out what comes until both outputs are closed, and say every few seconds that we are here."""
    beat = time.monotonic() + BEAT
    with selectors.DefaultSelector() as streams:
        for number, stream in ((1, ssh.stdout), (2, ssh.stderr)):
            streams.register(stream, selectors.EVENT_READ, number)  # type: ignore[arg-type]
        while streams.get_map():
            for key, _ in streams.select(max(0.0, beat - time.monotonic())):
                chunk = os.read(key.fd, 65536)
                if chunk:
                    take(key.data, chunk)
                else:
                    streams.unregister(key.fileobj)
            if time.monotonic() >= until:
                raise RemoteError(f"{remote} gave no answer in its time")
            if time.monotonic() >= beat:
                _say(ssh, b"")
                beat = time.monotonic() + BEAT
