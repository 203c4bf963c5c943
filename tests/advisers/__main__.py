"""`make advisers`: what each adviser is worth on data that nobody here made. ARGS names the judges that are wanted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.advisers import alerts, deep, forecasts, nab, petshop

Figures = Callable[[], Iterator[tuple[str, str, str]]]
JUDGES: dict[str, Figures] = {
    "rootcause": petshop.figures,
    "diagnosis": alerts.figures,
    "anomaly": nab.figures,
    "forecast": forecasts.figures,
    "deep": deep.figures,
}


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - JUDGES.keys()
    if unknown:
        print(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(JUDGES)}", file=sys.stderr)
        return 2
    table = Table("what", "figure", "to be", box=None, pad_edge=False, header_style="bold")
    for name in wanted or JUDGES:
        try:
            for row in JUDGES[name]():
                table.add_row(*row)
        except FileNotFoundError as missing:
            table.add_row(name, "left out", f"needs {missing.filename}")
    Console(width=160).print(table)
    return 0


sys.exit(main(sys.argv[1:]))
