"""A real sshd on loopback, whose only key has the forced command; the tests write its allow-list."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from healing.actions.base import Context
from healing.remote import Remote, forced_command, setup
from healing.remote.client import Keys
from selfheal.places import Place
from tests.healing.actions.conftest import context as local_context
from tests.healing.actions.conftest import marker, perform
from tests.processes import until

__all__ = ["local_context", "marker", "perform"]

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or ""
HOST = "127.0.0.1"

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {home}/host_key
AuthorizedKeysFile {home}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
LogLevel ERROR
"""


@dataclass(frozen=True)
class Sshd:
    """`allow(*lines)` writes the allow-list of the forced command."""

    home: Path
    port: int

    @property
    def keys(self) -> Keys:
        return Keys(self.home / "key", self.home / "known_hosts")

    @property
    def remote(self) -> Remote:
        return Remote(host=HOST, user=getpass.getuser(), port=self.port)

    def allow(self, *lines: str) -> None:
        (self.home / "allow").write_text("".join(f"{line}\n" for line in lines))

    def place(self, **fields: Any) -> Place:
        return Place("web", HOST, via="ssh", user=getpass.getuser(), port=self.port, **fields)


def keygen(path: Path) -> str:
    """A new key pair; its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    text = CONFIG.format(home=home, port=port)
    for penalties in ("PerSourcePenalties no\n", ""):  # sshd before 9.8 does not know them
        (home / "sshd_config").write_text(text + penalties)
        if subprocess.run([SSHD, "-t", "-f", home / "sshd_config"], capture_output=True, check=False).returncode == 0:
            break
    daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", home / "sshd_config"], stderr=subprocess.DEVNULL)
    return daemon, port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not SSHD:
        pytest.skip("sshd is not installed (apt-get install openssh-server)")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it for its unprivileged half
    home = tmp_path_factory.mktemp("sshd")
    host_key, public = keygen(home / "host_key"), keygen(home / "key")
    script = [sys.executable, "-I", forced_command.__file__, "--allow", str(home / "allow")]
    (home / "authorized_keys").write_text(setup.authorized_key(public, script) + "\n")
    process, port = start(home)
    (home / "known_hosts").write_text(f"[{HOST}]:{port} {host_key}\n")
    assert until(lambda: listens(port), 60)
    yield Sshd(home, port)
    process.terminate()
    process.wait()


@pytest.fixture
def sshd(daemon: Sshd) -> Sshd:
    daemon.allow()
    return daemon


@pytest.fixture
def context(local_context: Context, sshd: Sshd) -> Context:
    return replace(local_context, ssh=sshd.keys)


@pytest.fixture
def tool(tmp_path: Path, sshd: Sshd) -> Callable[..., Path]:
    """A program of that name, in the allow-list, that the host alone has."""

    def made(name: str, body: str) -> Path:
        path = tmp_path / name
        path.write_text(body)
        path.chmod(0o755)
        lines: Sequence[str] = (sshd.home / "allow").read_text().splitlines()
        sshd.allow(*lines, str(path))
        return path

    return made
