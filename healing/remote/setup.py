"""What a host needs before it can be reached: the line for its authorized_keys, the script, its host key pinned here."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from healing.forking import clean_environment
from selfheal.errors import Invalid
from selfheal.places import Place

from . import client, forced_command
from .client import Answer, Keys
from .ssh import Remote, by_ssh

SCRIPT = Path(forced_command.__file__)
INSTALLED = "/usr/local/lib/selfheal/forced_command.py"
ALLOW = "/etc/selfheal/allow"
FORCED = ("/usr/bin/python3", "-I", INSTALLED, "--allow", ALLOW)
AT_ONCE = 16


@dataclass(frozen=True)
class Finding:
    """`wrong` is empty where all is well; then `found` says what is there. Of our key, `mend` is the line for authorized_keys."""

    what: str
    wrong: str
    mend: str
    found: str = ""


def authorized_key(public: str, forced: Sequence[str] = FORCED) -> str:
    """The line for authorized_keys: with this key, the forced command and nothing else."""
    command = shlex.join(forced).replace("\\", "\\\\").replace('"', '\\"')
    return f'restrict,command="{command}" {public}'


def public_key(keys: Keys) -> str:
    """The public half of our key. Raises OSError, or ValueError with what is wrong with the file."""
    path = keys.key_file
    status = path.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise ValueError(f"{path} can be read by others")
    done = _keygen("-y", "-P", "", "-f", str(path))
    if done.returncode:
        raise ValueError(f"{path} is no private key without a passphrase: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def is_pinned(remote: Remote, keys: Keys) -> bool:
    return keys.known_hosts.exists() and _keygen("-F", _known_as(remote), "-f", str(keys.known_hosts)).returncode == 0


def how_to_pin(remote: Remote, keys: Keys) -> str:
    """Commands whose result a person compares: a scan alone believes whoever answers."""
    port = f"-p {remote.port} " if remote.port else ""
    return (
        f"ssh-keyscan {port}-t ed25519 {remote.host} > scanned && ssh-keygen -lf scanned; compare with what "
        f"`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on {remote.host} itself; if it is the same: "
        f"cat scanned >> {shlex.quote(str(keys.known_hosts))}"
    )


def look(places: Iterable[Place], keys: Keys) -> Iterator[Finding]:
    """Our key, then each host, asked many at a time."""
    try:
        public = public_key(keys)
    except (OSError, ValueError) as error:
        path = shlex.quote(str(keys.key_file))
        make = f"ssh-keygen -q -t ed25519 -N '' -C selfheal -f {path}"
        yield Finding("ssh key", str(error), f"chmod 600 {path}, or make another" if keys.key_file.exists() else make)
        return
    yield Finding("ssh key", "", authorized_key(public), str(keys.key_file))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda place: _host(place, keys), places)


def instructions(public: str) -> str:
    """How a host is prepared; said once, for all of them."""
    return f"""On each host that is reached by ssh, as root:
1. Install the forced command, which is {SCRIPT} here; it needs Python 3.8 or newer:
   install -D -m 755 {SCRIPT.name} {INSTALLED}
2. Write into {ALLOW} what may run there, a program a line; it belongs to root and has mode 644.
3. Put this line, whole, into ~/.ssh/authorized_keys of the user:
{authorized_key(public)}
Here: pin the key of the host, after a person has compared it, and run `selfheal doctor` again."""


def _host(place: Place, keys: Keys) -> Finding:
    what = f"ssh {place.target}"
    try:
        remote = by_ssh(place)
        if not is_pinned(remote, keys):
            return Finding(what, f"its host key is not in {keys.known_hosts}", how_to_pin(remote, keys))
        return _answered(what, remote, client.ping(remote, keys))
    except Invalid as error:
        return Finding(what, str(error), "correct services.yaml, then `selfheal services sync`")
    except client.RemoteError as error:
        line = f"the line for authorized_keys in ~{place.user}/.ssh/authorized_keys on {place.target}"
        return Finding(what, str(error), f"if it is a matter of the key: is {line}?")


def _answered(what: str, remote: Remote, answer: Answer) -> Finding:
    try:
        about = json.loads(answer.out)
        script, allow = about["script"], about["allow"]
    except (ValueError, KeyError, TypeError):
        said = answer.own or " ".join(f"{answer.err} {answer.out}".split())[:200] or "nothing"
        return Finding(what, f"its forced command says: {said}", f"install {INSTALLED} and {ALLOW} on {remote.host}")
    if script != hashlib.sha256(SCRIPT.read_bytes()).hexdigest():
        return Finding(what, "its forced command is of another version", f"install {SCRIPT} there as {INSTALLED}")
    if not allow:
        return Finding(what, f"its {ALLOW} allows nothing", "write into it what may run there, a program a line")
    return Finding(what, "", "", f"{remote} answers; it allows {len(allow)} {'line' if len(allow) == 1 else 'lines'}")


def _known_as(remote: Remote) -> str:
    return f"[{remote.host}]:{remote.port}" if remote.port and remote.port != 22 else remote.host


def _keygen(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv, env = ["ssh-keygen", *arguments], clean_environment()
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, timeout=30, check=False)
