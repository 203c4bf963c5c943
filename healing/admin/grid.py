"""A run over several targets as a table: a row a target, a column a step, so that one sees how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from healing.models import Run, Step, TimelineEvent
from selfheal.states import StepStatus

VERIFY, UNDO = "comes back", "undone"
WORST = (  # what a cell says of several steps: the first of these that one of them is
    StepStatus.UNKNOWN,
    StepStatus.TIMED_OUT,
    StepStatus.FAILED,
    StepStatus.RUNNING,
    StepStatus.PENDING,
    StepStatus.SUCCEEDED,
)


@dataclass
class Row:
    target: str
    batch: int | None = None
    cells: list[str] = field(default_factory=list)  # a status for each column; empty: nothing yet


@dataclass
class Grid:
    columns: list[str]
    rows: list[Row]


def grid(run: Run, steps: Iterable[Step]) -> Grid | None:
    """The table; None for a run on one target, whose steps say all."""
    plan = run.plan
    if len(plan["targets"]) < 2:
        return None
    columns = list(dict.fromkeys(step["id"] for step in plan["steps"]))
    found = _by_place(steps)
    undone = any(name == UNDO for _, name in found)
    shown = [*columns, *([VERIFY] if plan["verify"] else []), *([UNDO] if undone else [])]
    batches = _batches(run)
    rows = [
        Row(target, batches.get(target), [_worst(found.get((target, column), [])) for column in shown])
        for target in plan["targets"]
    ]
    return Grid(shown, rows)


def _by_place(steps: Iterable[Step]) -> dict[tuple[str, str], list[str]]:
    """(target, column) → the statuses of the rows that stand in it."""
    found: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        column = {"step": step.name, "verify": VERIFY, "rollback": UNDO}.get(step.phase)
        if column:
            found.setdefault((step.target, column), []).append(step.status)
    return found


def _worst(statuses: list[str]) -> str:
    return next((status for status in WORST if status in statuses), statuses[0] if statuses else "")


def _batches(run: Run) -> dict[str, int]:
    """Target → the number of the batch in which it was touched, from 1."""
    events = TimelineEvent.objects.filter(run=run, action="run.batch").order_by("outbox_id").values_list("data", flat=True)
    return {target: number for number, data in enumerate(events, 1) for target in data.get("batch", ())}
