"""bubblewrap around a command, where this machine has it and lets it work.

Rules that this module keeps:
1. A command in it has a process namespace of its own: whatever it starts ends with it, `setsid` daemons included, and it sees no
   other process (nor what stands in another's environment). It gains no privileges (sudo and other setuid programs do not work).
2. It does not see what selfheal keeps for itself: keys, secrets, the embedded database.
3. Everything else is as it was, files, network and devices: it is there to mend this machine.
4. Whether it works is found out once a process, by doing it. Where it does not, the launcher ends what a command leaves.

A command that has to see or end other processes, or that needs sudo, says `sandbox: false` in commands.yaml.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from healing.forking import PATH, clean_environment

PROBE_SECONDS = 5.0
PROFILE = ("--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--new-session", "--die-with-parent")


def prefix(hidden: Iterable[Path] = ()) -> tuple[str, ...]:
    """What stands before a command's argument list; empty where there is no sandbox. `hidden` files and directories are empty."""
    program, _ = found()
    if not program:
        return ()
    return (program, *PROFILE, *(word for path in hidden for word in _hide(Path(os.path.realpath(path)))), "--")


def _hide(path: Path) -> tuple[str, ...]:
    if path.is_dir():
        return ("--tmpfs", str(path))
    return ("--ro-bind", os.devnull, str(path)) if path.exists() else ()


@functools.cache
def found() -> tuple[str, str]:
    """The path of bubblewrap if it works here, else the empty string; and a line that says so or why not."""
    program = shutil.which("bwrap", path=PATH)
    if program is None:
        return "", "not used: bubblewrap is not installed"
    try:
        done = subprocess.run(
            [program, *PROFILE, "--", "/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=PROBE_SECONDS, cwd="/", env=clean_environment(), check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"not used: bubblewrap cannot be tried: {type(error).__name__}"
    if done.returncode:
        return "", f"not used: bubblewrap may not make namespaces here: {' '.join(done.stderr.split())[:200]}"
    return program, "bubblewrap"
