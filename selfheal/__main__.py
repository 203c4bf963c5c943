"""What an auditor runs on an exported log, with nothing but this package. Exit 0, 1 (wrong), 2 (used wrongly).

`python -m selfheal verify DIR [VKEY …]` checks every entry and head, by as many processes as there are cores, and that each
witness whose VKEY is given has signed for one of these heads. `python -m selfheal replay DIR RUN` tells a run from its entries,
as JSON; it reads them and checks no signature.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selfheal.errors import LedgerError
from selfheal.exported import entries_of, verify_export, verify_witness
from selfheal.replay import Story, as_document, replay

USAGE = "usage: python -m selfheal verify DIR [VKEY of a witness …] | replay DIR RUN"


def replay_export(directory: Path, run: str) -> Story:
    """The story of a run from the exported entries. Raises LedgerError where they cannot be read, or have none of it."""
    try:
        leaves = ((entry.index, json.loads(entry.leaf)) for entry in entries_of(directory))
        story = replay((index, leaf) for index, leaf in leaves if leaf["resource"] == f"run:{run}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{directory} is no export of a log: {error!r}") from error
    if not story.lines:
        raise LedgerError(f"{directory} has no entry about a run {run}")
    return story


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["verify", directory, *witnesses]:
                return _verify(Path(directory), witnesses)
            case ["replay", directory, run]:
                return _replay(Path(directory), run)
    except LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    print(USAGE, file=sys.stderr)
    return 2


def _verify(directory: Path, witnesses: list[str]) -> int:
    with _progress() as progress:
        report = verify_export(directory, progress, processes=os.cpu_count() or 1)
    for vkey in witnesses:
        verify_witness(directory, vkey, report)
    for failure in report.failures:
        print(failure)
    print(f"{report.size:,} entries, {report.heads:,} signed heads: {'good' if report.ok else f'{report.count:,} failures'}")
    return 0 if report.ok else 1


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A line on a terminal's stderr that is gone at the end; elsewhere nothing."""
    shown = sys.stderr.isatty()
    try:
        yield lambda size: print(f"\rverifying: {size:,} entries", end="", file=sys.stderr, flush=True) if shown else None
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _replay(directory: Path, run: str) -> int:
    story = replay_export(directory, run)
    print(json.dumps(as_document(story), indent=2, ensure_ascii=False))
    return 1 if story.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
