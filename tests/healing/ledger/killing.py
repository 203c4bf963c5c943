"""Writers and sequencers that are killed, or whose every write fails once. Run by test_killed.py in a process of its own.

Everything is loaded once; each of those that die is a fork on a real file. What one has committed it says in the file
`acknowledged`, a line each. After each death the log is brought to its end and judged: it verifies, it has everything that was
acknowledged once, and nothing twice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from healing import ledger  # noqa: E402
from healing.ledger import keys, sequencer  # noqa: E402
from healing.ledger.verify import verify_database  # noqa: E402
from healing.models import LedgerEntry, LedgerOutbox  # noqa: E402

# The lease of a dead one runs out quickly; batches are small, to be killed in between.
sequencer.LEASE, sequencer.BATCH, sequencer.POLL, sequencer.AGAIN = timedelta(seconds=0.05), 5, 0, 0.01
ACKNOWLEDGED = Path("acknowledged")
WRITING = ("pwrite64", "write", "fdatasync", "fsync", "ftruncate", "unlink")
MOST = 200  # times that a call is made; more means that the loop does not end


def forked(do: Callable[[], None]) -> int:
    connection.close()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    return pid


def write(label: str, count: int) -> None:
    for n in range(count):
        with transaction.atomic():
            ledger.append(actor="tester", action="test", resource=f"{label}:{n}", at=datetime.now(UTC))
        with ACKNOWLEDGED.open("a") as file:
            file.write(f"{label}:{n}\n")


def recovered() -> int:
    """Bring the log to its end and judge it; its size."""
    last = sequencer.Sequencer()
    while LedgerOutbox.objects.exists() or not LedgerEntry.objects.exists():
        time.sleep(last.look(datetime.now(UTC)))
    last.end(datetime.now(UTC))
    report = verify_database()
    found = list(LedgerEntry.objects.order_by("index").values_list("resource", flat=True))
    acknowledged = ACKNOWLEDGED.read_text().split() if ACKNOWLEDGED.exists() else []
    lost, doubled = set(acknowledged) - set(found), len(found) - len(set(found))
    if not report.ok or lost or doubled:
        fail(f"{[str(each) for each in report.failures[:3]]}, lost {sorted(lost)[:3]}, {doubled} doubled")
    return report.size


def fail(what: str) -> NoReturn:
    sys.exit(f"after {ACKNOWLEDGED.read_text().count(chr(10))} acknowledged: {what}")


def kills(count: int, seed: int) -> None:
    """Kill a writer or a sequencer, while the other one goes on, at a moment that chance says."""
    chance = random.Random(seed)
    for n in range(count):
        pids = [forked(lambda n=n: write(f"thing:{n}", 1_000)), forked(lambda: sequencer.run(lambda: False))]
        time.sleep(chance.uniform(0.01, 0.12))  # the moment of death is what is tried here
        chance.shuffle(pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            time.sleep(chance.uniform(0, 0.03))
        if n % 20 == 19:
            recovered()
    print(f"{2 * count} kills, {recovered()} entries")


def faults() -> None:
    """Each call that writes fails once with EIO, and is once the last: the process is killed when it makes it."""
    recovered()
    tried = 0
    for how in ("error=EIO", "signal=SIGKILL"):
        for call in WRITING:
            for nth in range(1, MOST):
                if not injected(call, nth, how, f"{how}:{call}:{nth}"):
                    break
                recovered()
                tried += 1
            else:
                fail(f"{call} is made more than {MOST} times")
    print(f"{tried} faults, {recovered()} entries")


def injected(call: str, nth: int, how: str, label: str) -> bool:
    """Write and sequence in a fork whose `nth` such call fails; whether there was one."""
    pid = forked(lambda: stopped_first(label))
    os.waitpid(pid, os.WUNTRACED)
    command = ["strace", "-f", "-qq", "-p", str(pid), "-e", f"trace={call}", "-e", f"inject={call}:{how}:when={nth}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline()  # it has taken hold once it says that the process is stopped
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
        said = first + tracer.stderr.read()
    if "attach" in first and "not permitted" in first:
        sys.exit(f"strace may not look at a process here: {first}")
    return "INJECTED" in said or "killed by SIGKILL" in said


def stopped_first(label: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    write(label, 3)
    sequencer.sequence_once(keys.load(), datetime.now(UTC))


if __name__ == "__main__":
    {"kills": lambda: kills(int(sys.argv[2]), int(sys.argv[3])), "faults": faults}[sys.argv[1]]()
