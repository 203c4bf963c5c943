"""The how-to on systemd, carried out as root on a machine whose /etc, /opt and /var/lib are its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, run

PAGE = "how-to/run-under-systemd.md"


@pytest.mark.soak
@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("bwrap"), reason="needs root, and bubblewrap (apt-get install bubblewrap)"
)
def test_who_follows_the_page_has_units_that_systemd_can_start(tmp_path: Path) -> None:
    for folder in ("opt", "lib"):
        (tmp_path / folder).mkdir()
    shutil.copytree("/etc", tmp_path / "etc", symlinks=True)
    bare, files = blocks(PAGE, under="Install")
    start, look = blocks(PAGE, under="Start")
    # No systemd runs there: what `enable` writes is checked, and tests/config/test_systemd.py starts what the units start.
    started = "\n".join(line.replace(" --now", "") for line in start.splitlines() if line.startswith("systemctl enable"))
    units = "systemd-analyze verify --man=no /etc/systemd/system/selfheal*"
    asked = look.replace(" smoke", " --help")
    seen = "test -L /etc/systemd/system/multi-user.target.wants/selfheal.target; cd /etc/selfheal; stat -c '%U %a' secrets *.env"
    shared = [each for child in sorted(Path("/opt").iterdir()) for each in ("--bind", child, child)]
    inside = [
        "bwrap", "--cap-add", "ALL", "--dev-bind", "/", "/", "--bind", tmp_path / "etc", "/etc", "--bind", tmp_path / "opt",
        "/opt", "--bind", tmp_path / "lib", "/var/lib", *shared, "--chdir", ROOT, "--",
    ]  # fmt: skip
    script = tmp_path / "script"
    script.write_text("\n".join(["set -euo pipefail", bare, files, started, units, asked, seen]))
    out = run(" ".join(map(str, [*inside, "bash", script])), os.environ | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert "A self-healing control plane" in out
    assert out.splitlines()[-2:] == ["selfheal 700", "root 600"]
