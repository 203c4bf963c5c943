"""The argument list of the system's OpenSSH client. Pure: values in, a list out.

Rules that this module keeps:
1. Host and user are what services.yaml declares, of a form that no option can have; `--` stands before the host.
2. Only a host key that a person pinned is believed. No configuration file, no agent, no other key, no password is used.
3. Nothing is forwarded, nothing is shared, no local command and no proxy is run, and nobody is asked anything.
4. No command is sent: what runs there is the forced command of the key, and what it is to do goes to it by standard input.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from healing.parameters import Strict, validated
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.services import Host

SSH = "/usr/bin/ssh"
CONNECT_SECONDS, ALIVE_SECONDS, ALIVE_COUNT = 10, 5, 3

User = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class Remote(Strict):
    """Where a frozen step runs, if it is not here."""

    host: Host
    user: User
    port: Annotated[int, Field(ge=1, le=65535)] | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port else "")


def remote_of(place: Place) -> Remote | None:
    """The remote host of a place; None: it is this machine. Raises Invalid naming what services.yaml lacks."""
    return None if place.via == "local" else by_ssh(place)


def by_ssh(place: Place) -> Remote:
    """The host of a place that is reached by ssh. Raises Invalid."""
    if not place.user:
        raise Invalid(f"services.yaml does not say as which user {place.target} is reached by ssh: add it", field="targets.user")
    return validated(Remote, {"host": place.target, "user": place.user, "port": place.port})


def command(remote: Remote, key_file: Path, known_hosts: Path) -> list[str]:
    """What to start. Raises Invalid for a path that ssh would read as something else."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _path(known_hosts),
        "GlobalKnownHostsFile": "none",
        "KnownHostsCommand": "none",
        "UpdateHostKeys": "no",
        "VerifyHostKeyDNS": "no",
        "CheckHostIP": "no",
        "PreferredAuthentications": "publickey",
        "IdentityFile": _path(key_file),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "AddKeysToAgent": "no",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "Tunnel": "no",
        "PermitLocalCommand": "no",
        "ProxyCommand": "none",
        "ControlMaster": "no",
        "ControlPath": "none",
        "CanonicalizeHostname": "no",
        "ConnectionAttempts": "1",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": str(ALIVE_SECONDS),
        "ServerAliveCountMax": str(ALIVE_COUNT),
        "LogLevel": "ERROR",
    }
    said = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return [SSH, "-F", "none", "-T", "-e", "none", *said, "-p", str(remote.port or 22), "-l", remote.user, "--", remote.host]


def _path(path: Path) -> str:
    """As ssh reads it: in quotes, without its own `%` and `${…}`."""
    text = str(path)
    if not path.is_absolute() or re.search(r'["\\\n\r\0]|\$\{', text):
        raise Invalid(f"{text!r} is no path that ssh can be given: it must be absolute, without quotes, backslashes and ${{")
    return '"' + text.replace("%", "%%") + '"'
