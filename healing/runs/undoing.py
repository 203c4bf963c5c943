"""Undoing what a run has done, and how it ends when something stops it.

Rules that this module keeps:
1. What was begun is undone, the last first, as its step says: after a step or a verification that failed, and after the deadline.
   The kill switch, a person's abort and a changed mode leave everything as it is. What was never started is not undone.
2. A run is `rolled_back` if at least one step was undone, and every undo said by its action's own answer that it worked.
3. Then the checks of the verification look once more at the targets on which something was undone. What they see is evidence, in
   rows of its own and in the reason; it changes no outcome: the service may be as unwell as it was before the fix.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, NoReturn

from django.db import transaction
from django.utils import timezone

from healing.actions import ACTIONS
from healing.models import Step
from healing.runs import steps
from healing.runs.held import STOPS, Held
from healing.runs.steps import Work
from healing.transitions import move
from selfheal.states import AbortReason, RunStatus, StepStatus

LOOK_AGAIN = timedelta(seconds=5)  # at a check after the undo, or as long as the playbook waits for it, if that is less
AFTER_UNDO = "after the undo"


class Undoing(Held):
    def _undo(self, reason: str, targets: Collection[str] | None = None) -> NoReturn:
        """Undo what was done (on `targets` only), in reverse; then the outcome. With nothing to undo the run has failed."""
        todo = self._undoable(targets)
        if not todo:
            self._finish(RunStatus.FAILED, reason)
        if self.run.status != RunStatus.ROLLING_BACK:
            self._to(RunStatus.ROLLING_BACK, reason)
        self.undoing = True
        undone = {row: self._undo_one(row, undo) for row, undo in todo}
        names = ", ".join(row.name for row, well in undone.items() if well)
        if self.stopped:
            why, words = STOPS[self.stopped]
            self._finish(RunStatus.ABORTED, f"{reason}; {words} while it was undone{self._half_done()}", why)
        failed = "; the undo failed as well, a person has to look" if False in undone.values() else ""
        seen = self._look_again({row.target for row, well in undone.items() if well})
        if reason == STOPS["deadline"][1]:
            self._finish(RunStatus.ABORTED, f"{reason}; undone: {names or 'nothing'}{failed}{seen}", AbortReason.TIMEOUT)
        if failed:
            self._finish(RunStatus.FAILED, f"{reason}{failed}{seen}")
        if not names:
            self._finish(RunStatus.FAILED, f"{reason}; nothing had been changed that could be undone")
        self._finish(RunStatus.ROLLED_BACK, f"{reason}; undone: {names}{seen}")

    def _undoable(self, targets: Collection[str] | None = None) -> list[tuple[Step, Mapping[str, Any]]]:
        """What can be undone, the last first: on `targets`, or wherever something is left undecided."""
        found = [
            (row, planned["rollback"])
            for row, planned in self._planned()
            if planned["rollback"] and (row.status == StepStatus.ROLLED_BACK or self._is_touched(row))
        ]
        return [(row, undo) for row, undo in reversed(found) if targets is None or row.target in targets]

    def _undo_one(self, row: Step, undo: Mapping[str, Any]) -> bool | None:
        """Whether the step is undone; None: it had changed nothing."""
        if row.status == StepStatus.ROLLED_BACK:
            return True
        arguments = _undo_arguments(row, undo)
        if arguments is None:
            return None if row.status in (StepStatus.FAILED, StepStatus.TIMED_OUT) else False
        work = Work("rollback", row.position, row.name, undo["action"], row.target, arguments, undo["timeout_ms"] / 1000)
        own = steps.write_down(self.run, work)
        if own.status == StepStatus.PENDING and not self._stop_asked():
            steps.begin(own, self.lease, timezone.now())
            steps.end(own, self._act(own), self.lease)
        if own.status != StepStatus.SUCCEEDED:
            return False
        at = timezone.now()
        with transaction.atomic():
            steps.renew(self.lease, at)
            return move(row, StepStatus.ROLLED_BACK, actor=self.lease.holder, at=at, reason=own.message)

    def _look_again(self, targets: Collection[str]) -> str:
        """What the checks of the verification say after the undo, in words. Each looks once, whoever takes the run over."""
        checks, failing = self.run.plan["verify"], []
        here = [(position, check) for position, check in enumerate(checks, len(checks)) if check["target"] in targets]
        for position, check in here:
            within = min(LOOK_AGAIN, timedelta(milliseconds=check["within_ms"]))
            passes = not self._stop_asked() and self._look(check, "verify", position, within, AFTER_UNDO)
            if self.stopped:
                return "; nobody could look at it again"
            if not passes:
                failing.append(check["check"])
        if not here:
            return ""
        fail = f"{', '.join(dict.fromkeys(failing))} does not pass" if failing else "every check passes"
        return f"; looked at again, {fail}"

    def _end_if_stopped(self) -> None:
        """End the run for the reason that stopped it, if something did. Only a timeout undoes what was done."""
        if not self.stopped:
            return
        why, words = STOPS[self.stopped]
        if self.stopped == "deadline" and self._undoable():
            self._undo(words)
        if self.run.status == RunStatus.VERIFYING:
            self._finish(RunStatus.FAILED, f"{words} before it was verified{self._half_done()}", why)
        self._finish(RunStatus.ABORTED, f"{words}{self._half_done()}", why)


def _undo_arguments(row: Step, undo: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the undo is called with; None if the action's own undo does not know what was before, or nothing was changed."""
    if not undo.get("own"):
        return dict(undo["with"])
    if row.status in (StepStatus.FAILED, StepStatus.TIMED_OUT) and "before" not in row.result:
        return None  # an action notes what was before it changes anything
    action = ACTIONS.get(undo["action"])
    return action.undo(row.arguments, row.result) if action else None
