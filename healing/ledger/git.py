"""A head in a git repository: one file, a commit a head, so the repository's history keeps what the file was before.

The `git` program does it, with its own keys and credential helpers, in a directory that is thrown away. Only the file is read
of the repository, as text: hooks and symbolic links of others do nothing here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from selfheal.errors import LedgerError

FILE = "checkpoint"
SECONDS = 30.0  # for all of one push
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=10",
    "LC_ALL": "C",
}
_OURS = (
    *("-c", "user.name=selfheal", "-c", "user.email=selfheal@localhost", "-c", "commit.gpgsign=false"),
    *("-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=false", "-c", "protocol.ext.allow=never"),
)


def push(url: str, note: str, said: str, check: Callable[[str], None]) -> None:
    """Commit `note` and push it, once `check` has passed what is there. Raises LedgerError with what git said."""
    with tempfile.TemporaryDirectory(prefix="selfheal-git-") as directory:
        git = _Git(Path(directory), SECONDS)
        git("clone", "--quiet", "--depth", "1", "--no-tags", "--", url, ".")
        file = Path(directory, FILE)
        if file.exists():
            check(file.read_text())
            if file.read_text() == note:
                return
        file.write_text(note)
        git("add", "--", FILE)
        git("commit", "--quiet", "-m", said)
        git("push", "--quiet", "origin", "HEAD")


def history(url: str) -> list[str]:
    """Every head that the repository's history has, the newest first. Raises LedgerError."""
    with tempfile.TemporaryDirectory(prefix="selfheal-git-") as directory:
        git = _Git(Path(directory), SECONDS)
        git("clone", "--quiet", "--bare", "--no-tags", "--", url, ".")
        commits = git("log", "--format=%H", "--", FILE).split()
        return [git("show", f"{commit}:{FILE}") for commit in commits]


class _Git:
    def __init__(self, directory: Path, seconds: float) -> None:
        self._directory, self._until = directory, time.monotonic() + seconds

    def __call__(self, *arguments: str) -> str:
        """Standard output. Raises LedgerError if git fails, or is not done in time: then all that it has started is ended."""
        started = subprocess.Popen(
            ["git", *_OURS, *arguments],
            cwd=self._directory,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said, wrong = started.communicate(timeout=max(0.1, self._until - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.communicate()
            raise LedgerError(f"git {arguments[0]} was not done within {SECONDS:.0f} s") from error
        if started.returncode:
            words = " ".join(wrong.decode(errors="replace").split())
            raise LedgerError(f"git {arguments[0]} failed: {words[-300:] or f'status {started.returncode}'}")
        return said.decode(errors="replace")
