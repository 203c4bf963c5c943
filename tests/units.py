"""systemd's units without systemd: read them, and start what they start, with the environment and the sockets that they give."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

UNITS = Path(__file__).resolve().parents[1] / "config" / "systemd"
INSTALLED = "/opt/selfheal/bin/selfheal"
# systemd hands over sockets from descriptor 3 on, and says for which process they are.
WITH_SOCKET = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"

Unit = Mapping[str, list[str]]  # `Section.Key`: its values, in order


def read(name: str) -> Unit:
    """A unit of ours. Raises ValueError for a line that is neither section, comment nor assignment."""
    found, section = defaultdict(list), ""
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            key, assigned, value = line.partition("=")
            if not assigned or not section or key != key.strip():
                raise ValueError(f"{name}: {line}")
            found[f"{section}.{key}"].append(value)
    return dict(found)


def one(unit: Unit, key: str) -> str:
    (value,) = unit[key]
    return value


def services() -> dict[str, Unit]:
    return {path.stem: read(path.name) for path in sorted(UNITS.glob("*.service"))}


def assigned(text: str) -> dict[str, str]:
    """The variables of an environment file."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


class Machine:
    """A machine on which the units are installed: their paths lead below `root`, the port is a free one, users are this one."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.root = root
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = int(self.socket.getsockname()[1])
        self.file = assigned((UNITS / "selfheal.env").read_text())
        self.file |= {"SELF_HEAL_PORT": str(self.port), "SELF_HEAL_BASE_URL": f"http://127.0.0.1:{self.port}", **variables}
        for folder in ("etc/selfheal/playbooks", "etc/selfheal/secrets", "var/lib"):
            (root / folder).mkdir(parents=True)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, unit: Unit) -> dict[str, str]:
        """As systemd has it: nothing of ours but the path, then the unit's own, over which the file wins."""
        own = dict(value.split("=", 1) for value in unit.get("Service.Environment", []))
        said = {name: self.here(value) for name, value in (own | self.file).items()}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **said}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a unit; of a oneshot only what came of it is left."""
        unit = read(f"{name}.service")
        (self.root / "var/lib" / one(unit, "Service.StateDirectory")).mkdir(mode=0o700, exist_ok=True)
        command, environment = self.command(unit), self.environment(unit)
        descriptors: tuple[int, ...] = ()
        if "Unit.Requires" in unit:  # its socket
            environment["LISTEN_FDS"] = "1"
            command = [sys.executable, "-c", WITH_SOCKET, *command]
            descriptors = (3,)
        with (self.root / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=descriptors,
                preexec_fn=(lambda: os.dup2(self.socket.fileno(), 3)) if descriptors else None,
            )
        return self.running[name]

    def restart(self, name: str) -> None:
        """As `systemctl restart`: what ran is ended and waited for; a oneshot is over on return."""
        if name in self.running:
            self.running[name].terminate()
            self.running[name].wait(60)
        process = self.start(name)
        if one(read(f"{name}.service"), "Service.Type") == "oneshot":
            assert process.wait(60) == 0, self.logs()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, unit: Unit) -> list[str]:
        program, *arguments = shlex.split(one(unit, "Service.ExecStart"))
        assert program == INSTALLED
        return [str(Path(sys.executable).parent / "selfheal"), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command line with what the environment file says."""
        environment = {"PATH": os.environ["PATH"]} | {name: self.here(value) for name, value in self.file.items()}
        command = [str(Path(sys.executable).parent / "selfheal"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def here(self, value: str) -> str:
        for place in ("/var/lib/", "/etc/selfheal"):
            if value.startswith(place):
                return str(self.root) + value
        return value

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.root.glob("*.log")))

    def end(self) -> dict[str, int]:
        """TERM to each; the exit statuses."""
        for process in self.running.values():
            process.terminate()
        found = {name: process.wait(60) for name, process in self.running.items()}
        self.socket.close()
        return found
