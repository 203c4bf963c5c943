"""Other people's command line tools, asked from inside the work, on this machine or on a host that is reached by ssh."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from healing.forking import PATH, clean_environment
from healing.remote import Remote, client

from .base import Context


class ToolError(Exception):
    """A tool is missing, hangs, or failed; the message says which, with its own words."""


def find(name: str) -> str:
    """The absolute path of a tool: in the system's directories, then in PATH, then beside this Python."""
    places = os.pathsep.join((PATH, os.environ.get("PATH", ""), os.path.dirname(sys.executable)))
    path = shutil.which(name, path=places)
    if path is None:
        raise ToolError(f"{name} is not on this machine (looked in {places})")
    return path


@dataclass(frozen=True)
class Machine:
    """Where a tool is asked: here, or on the host of a frozen step, by ssh."""

    context: Context
    remote: Remote | None = None

    @property
    def name(self) -> str:
        return f" on {self.remote.host}" if self.remote else ""

    def ask(self, tool: str, *arguments: str, seconds: float = 30.0, allow: Sequence[int] = (0,)) -> str:
        """What the tool printed. Raises ToolError for an exit code that is not in `allow`."""
        if self.remote is None:
            return ask([find(tool), *arguments], seconds=seconds, allow=allow)
        argv = [tool, *arguments]
        try:
            answer = client.ask(self.remote, self.context.ssh, argv, seconds)
        except client.RemoteError as error:
            raise ToolError(str(error)) from error
        return _judged(f"`{' '.join(argv)}`{self.name}", answer.code, answer.out, answer.err, allow)


def ask(argv: Sequence[str], *, seconds: float = 30.0, allow: Sequence[int] = (0,)) -> str:
    """Run a tool here and return what it printed. Raises ToolError for an exit code that is not in `allow`."""
    words = f"`{' '.join(argv)}`"
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds, cwd="/",
            env=clean_environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{words} gave no answer in {seconds:g} s") from error
    except OSError as error:
        raise ToolError(f"{words} cannot be started: {error.strerror}") from error
    return _judged(words, done.returncode, done.stdout, done.stderr, allow)


def _judged(words: str, code: int, out: str, err: str, allow: Sequence[int]) -> str:
    if code not in allow:
        said = " ".join(f"{err}\n{out}".split())[:500]
        raise ToolError(f"{words} failed with {code}: {said or 'it said nothing'}")
    return out
