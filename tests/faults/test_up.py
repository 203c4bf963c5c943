"""`selfheal up` with its real processes: what it starts, refuses, and starts again, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.installation import Installation
from tests.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up")]
CHILDREN = ["web", "worker-control", "worker-runs", "worker-advice", "beat", "sequencer"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One `up` that the tests of this file share; the last of them ends it."""
    with Installation(tmp_path_factory.mktemp("up")) as installation:
        yield installation.start()


def children(house: Installation) -> list[str]:
    return CHILDREN if house.database else [*CHILDREN, "broker"]


def test_it_prints_its_addresses_and_the_first_password_once(house: Installation) -> None:
    output = house.output()
    assert f"http://localhost:{house.port}/admin/" in output
    assert f"http://localhost:{house.port}/api/docs" in output
    assert "observe: decisions are made and shown, nothing is run" in output
    assert output.count("sign in as admin with the password") == 1
    assert len(house.password()) == 16


def test_all_processes_are_there_each_in_a_session_of_its_own(house: Installation) -> None:
    pids = [house.pid(name) for name in children(house)]
    assert all(pids)
    assert [os.getsid(pid) for pid in pids] == pids
    assert house.status("/readyz") == 200


def test_the_home_and_what_is_secret_in_it_is_private(house: Installation) -> None:
    private = {name: (house.home / name).stat().st_mode & 0o077 for name in (".", "run", "secret.key", "signing.key")}
    assert set(private.values()) == {0}


def test_the_embedded_broker_has_no_port(house: Installation) -> None:
    listening = [c.laddr.port for p in house.alive() for c in p.net_connections("tcp") if c.status == "LISTEN"]
    assert set(listening) == {house.port}


def test_a_second_one_in_the_same_home_says_so(house: Installation) -> None:
    done = house.run("up", SELF_HEAL_PORT=str(house.port + 1))
    assert done.returncode == 1
    assert done.stderr == f"selfheal: another `selfheal up` (process {house.process.pid}) is running in {house.home}\n"  # type: ignore[union-attr]


def test_a_port_that_is_taken_is_a_line(house: Installation, tmp_path: Path) -> None:
    done = house.run("up", SELF_HEAL_HOME=str(tmp_path / "other"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"selfheal: 127.0.0.1:{house.port} cannot be listened on (Address already in use)")


def test_the_doctor_finds_nothing(house: Installation) -> None:
    done = house.run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_finds_that_everything_works(house: Installation) -> None:
    done = house.run("smoke", SELF_HEAL_BASE_URL=f"http://localhost:{house.port}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/readyz" in done.stdout


@pytest.mark.parametrize("name", [*CHILDREN, "broker"])
def test_a_child_that_is_killed_comes_back(house: Installation, name: str) -> None:
    before = house.pid(name)
    if name not in children(house):
        assert before == 0
        return
    os.kill(before, signal.SIGKILL)
    assert until(lambda: house.pid(name) not in (0, before)), house.output()
    assert until(lambda: house.status("/readyz") == 200), house.output()
    assert f"{name} ({before}) was ended by SIGKILL" in house.output()


def test_a_web_process_that_comes_back_loses_no_connection(house: Installation) -> None:
    before = house.pid("web")
    family = [psutil.Process(before), *psutil.Process(before).children(recursive=True)]
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs(family, 5)  # a dying one may still have taken a connection
    assert house.status("/healthz", 20) == 200  # asked while nobody is there: it waits in the socket that the supervisor holds
    assert until(lambda: house.pid("web") not in (0, before))


def test_on_term_all_of_it_is_gone_within_ten_seconds_and_the_status_is_0(house: Installation) -> None:
    begun = time.monotonic()
    assert house.signal(signal.SIGTERM) == 0, house.output()
    assert time.monotonic() - begun < 10
    assert house.alive() == []
    assert not list((house.home / "run").glob("*.pid"))


def test_it_starts_again_without_a_new_password_and_a_killed_supervisor_takes_all_along(house: Installation) -> None:
    house.start()
    assert "with the password" not in house.output()
    house.signal(signal.SIGKILL)
    assert until(lambda: not house.alive()), [process.cmdline() for process in house.alive()]


def test_a_wrong_setting_is_a_line_and_status_2(tmp_path: Path) -> None:
    with Installation(tmp_path, SELF_HEAL_POLL_SECONDS="soon") as house:
        done = house.run("up")
    assert done.returncode == 2
    assert done.stderr == "selfheal: SELF_HEAL_POLL_SECONDS='soon' must be a whole number\n"


def test_a_fault_in_a_file_keeps_it_from_starting_and_names_the_place(tmp_path: Path) -> None:
    with Installation(tmp_path) as house:
        (house.config / "services.yaml").write_text("services:\n  - name: web\n    colour: red\n")
        done = house.run("up")
        assert done.returncode == 1
        assert f"{house.config}/services.yaml:3:" in done.stderr
        assert "Traceback" not in done.stderr
        assert house.alive() == []
