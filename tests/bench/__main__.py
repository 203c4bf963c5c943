"""`make bench`: each quantity against the bare limit that is measured beside it, in the same run. Prints a table, writes JSON.

Only ratios count: the machine's speed drifts, both sides drift with it. `python -m tests.bench tick` measures that one alone.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from tests.bench.alerts import alert_bodies  # noqa: E402
from tests.bench.decisions import decisions  # noqa: E402
from tests.bench.group import alert_group  # noqa: E402
from tests.bench.log import log_append, log_one_by_one  # noqa: E402
from tests.bench.measure import Row, alone  # noqa: E402
from tests.bench.proofs import log_proofs  # noqa: E402
from tests.bench.ticks import tick  # noqa: E402
from tests.bench.verifying import log_verify  # noqa: E402

QUANTITIES = {
    "decide": decisions,
    "alerts": alert_bodies,
    "group": alert_group,
    "append": log_one_by_one,
    "log": log_append,
    "proofs": log_proofs,
    "verify": log_verify,
    "tick": tick,
}


def main(names: list[str]) -> int:
    if unknown := set(names) - QUANTITIES.keys():
        print(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(QUANTITIES)}", file=sys.stderr)
        return 2
    call_command("migrate", verbosity=0)
    measured = [alone(quantity) for name, quantity in QUANTITIES.items() if not names or name in names]
    rows = [row for row in measured if row]
    path = settings.SELF_HEAL_HOME / "bench.json"
    path.write_text(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=1))
    show(rows)
    print(f"written: {path}")
    return 0


def show(rows: list[Row]) -> None:
    table = Table("quantity", "ours", "bare limit", "ratio", "goal", title=f"{connection.vendor}, {os.cpu_count()} cores")
    for row in rows:
        table.add_row(row.quantity, f"{row.ours:,.0f}", f"{row.limit:,.0f}", f"{row.ratio:.2f}", row.goal)
    console = Console()
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.quantity}: {row.note}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
